"""The report of an experiment whose figures are known."""

import base64
import json
import re
import shutil

import pytest
from experiments import DOCUMENTS, NASTY, QUERIES, WORD, run_lines
from pages import Page, cells, markdown_page

from t5rank import cli
from t5rank.report import write_report


@pytest.fixture(scope="module")
def page(reported):
    return Page((reported / "report/index.html").read_text())


def test_the_main_table_shows_reciprocal_ranks(page):
    over_all, over_answerable = [t for t in page.tables if t and t[0] == ["System", "RR@10"]]
    values = {row[0].split("\n")[0]: row[1].split("\n")[0] for row in over_all}
    assert values["First stage"] == "0.3056"  # (4 of 1/3, 1/2 and 0) over six
    assert values["Perfect order"] == "0.8333"
    # 5 of 1/2 in one seed; 3 of 1/4 and 2 of 1/2 in the other
    assert values["Sigmoid"] == "0.3542 ± 0.0884"
    assert values["Softmax"] == "0.7292 ± 0.0295"  # (4 + 1/2) / 6 and (4 + 1/4) / 6
    answerable = {row[0].split("\n")[0]: row[1].split("\n")[0] for row in over_answerable}
    assert answerable["Sigmoid"] == "0.4250 ± 0.1061"


def test_published_figures_stand_in_a_table_of_their_own(page):
    (theirs,) = [table for table in page.tables if any("0.9870" in row for row in table)]
    assert theirs[1:] == [
        ["Official", "Their retriever", "Their model", "A paper", "RR@10", "0.9870"]
    ]


def test_gains_and_losses_are_counted(page):
    counts = page.table("Compared")
    assert counts["Softmax against Sigmoid"][1:] == ["4", "0", "1"]  # q5: 3/8 against 1/2
    assert counts["Sigmoid against first stage"][1:] == ["4", "0", "1"]  # q3: 3/8 against 1/2


def test_costs_are_those_of_the_run(page):
    cost = next(t for t in page.tables if t and t[0][0] == "Model")
    # 1,800 s on two devices; 36,000 tokens / 1,800 s; 5.4e12 / 1,800 s of 1e10 a second
    assert cost[1][4:] == ["1.000", "20", "30.0%", "2 x TPU v0"]
    assert cost[-1][4] == "4.000"


def test_arms_differ_in_their_loss_alone(page):
    assert [*page.table("Setting").values()][1:] == [["LOSS", "@sigmoid_loss", "@softmax_loss"]]


def test_both_forms_have_the_same_tables(reported, page):
    other = markdown_page((reported / "report/report.md").read_text())
    assert len(cells(other)) > 5
    assert cells(other) == cells(page)


def test_the_page_needs_nothing_else(reported, page):
    named = [v for k, v in page.attributes if k in ("src", "href", "data", "srcset", "xlink:href")]
    assert named
    assert [value for value in named if not value.startswith(("#", "data:"))] == []
    text = (reported / "report/index.html").read_text()
    assert not re.search(r"@import|url\((?!#)|https?://(?!www\.w3\.org)", text)


def test_markdown_names_its_pictures(reported):
    other = markdown_page((reported / "report/report.md").read_text())
    named = [value for name, value in other.attributes if name == "src"]
    there = {file.name for file in (reported / "report").glob("*.png")}
    assert len(named) > 5
    assert sorted(named) == sorted(there)


def test_the_page_has_every_picture(reported, page):
    shown = [v for k, v in page.attributes if k == "src" and v.startswith("data:image/png;base64,")]
    files = (reported / "report").glob("*.png")
    data = {base64.b64decode(source.partition(",")[2]) for source in shown}
    assert data == {file.read_bytes() for file in files}


def test_texts_are_shown_as_they_are(reported, page):
    other = markdown_page((reported / "report/report.md").read_text())
    assert page.tags.count("script") == 1  # ours
    assert "script" not in other.tags
    assert f"{WORD} {NASTY} c" in page.text
    assert f"{WORD} {NASTY} c" in other.text


def test_no_folder_of_the_machine_is_told(reported):
    for name in ("index.html", "report.md"):
        text = (reported / "report" / name).read_text()
        assert "somebody" not in text
        assert str(reported) not in text


def test_without_texts_none_is_written(experiment, undrawn):
    assert cli.main(["report", str(experiment), "--without_texts"]) == 0
    for file in (experiment / "report").iterdir():
        assert WORD.encode() not in file.read_bytes(), file.name
    assert "q5" in (experiment / "report/report.md").read_text()


def test_lists_are_not_needed(experiment, undrawn):
    shutil.rmtree(experiment / "lists")
    assert write_report(experiment).missing == ()


def test_an_arm_without_a_seed_is_not_compared(experiment, undrawn):
    (experiment / "runs/dev/softmax-seed_1.txt").unlink()
    written = write_report(experiment)
    assert written.missing == ("the run of arm 'softmax' on set 'dev', seed 1",)
    page = Page(written.page.read_text())
    assert "Incomplete." in page.text
    assert "only 1 of 2 seeds" in page.text
    assert "Softmax and Sigmoid are not compared" in page.text
    assert "Softmax against" not in page.text


def test_one_arm_is_compared_with_the_first_stage(experiment, undrawn):
    file = experiment / "experiment.json"
    described = json.loads(file.read_text())
    file.write_text(json.dumps(described | {"arms": described["arms"][:1]}))
    text = write_report(experiment).markdown.read_text()
    assert "Sigmoid does not differ significantly from the first stage's own order" in text
    (experiment / "runs/dev/sigmoid-seed_1.txt").unlink()
    assert write_report(experiment).missing


def test_half_a_run_is_none(experiment, undrawn):
    lines = [*run_lines([1] * len(QUERIES))]
    half = "".join(lines[: 4 * len(DOCUMENTS)])
    (experiment / "runs/dev/softmax-seed_1.txt").write_text(half)
    assert write_report(experiment).missing == (
        "2 of 6 queries of the run of arm 'softmax' on set 'dev', seed 1",
    )


def test_a_model_in_training_is_said(experiment, undrawn):
    (experiment / "arms/sigmoid/seed_0/run.json").unlink()
    written = write_report(experiment)
    assert written.missing == ("run.json (the end of training) of arm 'sigmoid', seed 0",)
    row = next(t for t in Page(written.page.read_text()).tables if t and t[0][0] == "Model")[1]
    assert row[1:5] == ["20", "-", "36,000", "-"]  # 20 steps of 1,800 tokens were logged


def test_other_candidates_are_an_error(experiment):
    file = experiment / "runs/dev/softmax-seed_0.txt"
    file.write_text(file.read_text().replace("q2 Q0 a", "q2 Q0 e"))
    with pytest.raises(ValueError, match=r"Query .q2. .* expected the same candidates"):
        write_report(experiment)


def test_no_run_is_an_error(experiment):
    shutil.rmtree(experiment / "runs")
    with pytest.raises(ValueError, match=r"no complete run.*'softmax' on set 'dev', seeds 0 and 1"):
        write_report(experiment)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "expected 'format': 1"),
        ({"baseline": "none"}, "Baseline 'none'"),
        ({"seeds": [0, 0]}, "expected each once"),
        ({"mystery": 1}, "mystery"),
        ({"sets": []}, "the sets"),
    ],
)
def test_a_wrong_description_is_an_error(experiment, change, message):
    file = experiment / "experiment.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        write_report(experiment)
