"""The pages under docs/."""

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_api_page_is_made_from_the_docstrings():
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs/make_api.py")
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    assert make_api.PAGE.read_text() == make_api.page(), "run python docs/make_api.py"


def test_choosing_a_loss_names_every_loss_that_a_recipe_can_have():
    text = (ROOT / "docs/choosing_a_loss.md").read_text()
    table = text.partition("## What each optimizes")[2].partition("## What was measured")[0]
    named = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.M)
        for name in re.findall(r"`(\w+)`", row)
    }
    files = {file.stem for file in (ROOT / "gin/losses").glob("*.gin")}
    files |= {*re.findall(r"@losses\.(\w+),", (ROOT / "gin/runs/losses.gin").read_text())}
    assert files - named == {
        "lambda_labeldiff",
        "softmax_and_sigmoid",
    }  # the same as arp2, a mixture
    assert named <= files


def test_links_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")]:
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
