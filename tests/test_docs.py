"""The documentation is built and run: the site, the generated pages, every block of every page."""

import importlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt

from t5rank import cli
from t5rank.train import gin_files, macros

ROOT = Path(__file__).parents[1]
SITE = ROOT / "docs/pages"
sys.path.insert(0, str(ROOT / "docs"))
make_pages = importlib.import_module("make_pages")

GENERATED = {SITE / name for name in make_pages.PAGES}
WRITTEN = sorted(
    {*ROOT.glob("*.md"), *SITE.rglob("*.md"), *ROOT.glob("examples/*/README.md")}
    - GENERATED
    - {*SITE.glob("results/*/report.md")}  # written by t5rank report
)
LANGUAGES = {"sh", "python", "gin", "json", "text", "tsv"}
TOOLS = {"docker", "git", "hf", "mypy", "pytest", "python3", "ruff", "source", "mkdocs"}


def blocks(page, language):
    """The blocks of a page in one language."""
    tokens = MarkdownIt().parse(page.read_text())
    return [t.content for t in tokens if t.type == "fence" and t.info == language]


def pages_with(language):
    found = [page for page in WRITTEN if blocks(page, language)]
    names = [page.relative_to(ROOT).as_posix() for page in found]
    return pytest.mark.parametrize("page", found, ids=names)


def commands(page):
    """Each command of a page as its words; what stands behind `<` is left out."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").replace(" && ", "\n").splitlines():
            words = shlex.split(line.partition(" < ")[0], comments=True)
            if words:
                yield words


@pytest.mark.parametrize("name", make_pages.PAGES)
def test_a_generated_page_is_what_the_code_says(name):
    assert (SITE / name).read_text() == make_pages.PAGES[name](), "run python docs/make_pages.py"


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("material", reason="mkdocs-material is missing: pip install '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)]
    done = subprocess.run(
        [*command, "-f", str(ROOT / "docs/mkdocs.yml")],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr  # -q would let warnings pass
    assert (tmp_path / "tutorials/train/index.html").is_file()


def test_every_page_is_in_the_navigation():
    text = (ROOT / "docs/mkdocs.yml").read_text()
    assert {*re.findall(r"(\S+\.md)$", text, re.M)} == {
        page.relative_to(SITE).as_posix() for page in SITE.rglob("*.md")
    }


def test_every_macro_has_a_meaning():
    found = make_pages.macros.all_macros()
    known = {macro.name for macro in found if macro.meaning}
    assert len(found) > 100 and not {macro.name for macro in found} - known


def test_the_architecture_page_has_every_room_from_the_top():
    rooms = re.findall(r"^\| `(\w+)` \|", (SITE / "architecture.md").read_text(), re.M)
    assert rooms == [*reversed(make_pages.rooms.order())]


def test_choosing_a_loss_names_every_loss_that_a_recipe_can_have():
    text = (SITE / "guides/choosing_a_loss.md").read_text()
    table = text.partition("## What each optimizes")[2].partition("## What was measured")[0]
    named = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.M)
        for name in re.findall(r"`(\w+)`", row)
    }
    files = {file.stem for file in (ROOT / "gin/losses").glob("*.gin")}
    files |= {*re.findall(r"@losses\.(\w+),", (ROOT / "gin/runs/losses.gin").read_text())}
    same_as_arp2_or_a_mixture = {"lambda_labeldiff", "softmax_and_sigmoid"}
    assert files - named == same_as_arp2_or_a_mixture
    assert named <= files


def test_links_lead_somewhere():
    for page in WRITTEN:
        for link, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", page.read_text()):
            target = page.parent / link if link else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor and target not in GENERATED:
                assert anchor in anchors(target), f"{page.name}: {link}#{anchor}"


def anchors(page):
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.lower())) for title in titles}


def test_no_sentence_begins_in_the_middle():
    start = re.compile(r"(?:^|[.:!?] |^- |\| )(Of|There|Else)\b.*", re.M)
    found = {page.name: start.findall(page.read_text()) for page in WRITTEN}
    assert not {name: starts for name, starts in found.items() if starts}


def test_every_block_says_its_language():
    for page in WRITTEN:
        fences = [t.info for t in MarkdownIt().parse(page.read_text()) if t.type == "fence"]
        assert {*fences} <= LANGUAGES, page


@pages_with("sh")
def test_commands_are_ones(page):
    for words in commands(page):
        if words[0] in CHECKS:
            CHECKS[words[0]](words[1:])
        else:
            assert words[0] in TOOLS, words


def check_t5rank(words):
    arguments = cli._parser().parse_args(cli._one_word_bindings(words))
    files = [file for file in getattr(arguments, "gin_file", ()) if file != "my_recipe.gin"]
    check_gin(files, getattr(arguments, "gin", ()))


def check_python(words):
    """A script of the checkout with its options, or T5X."""
    if words[:1] == ["-m"]:
        assert words[1].startswith("t5x.")
        files = [word.partition("=")[2] for word in words if word.startswith("--gin_file=")]
        check_gin(files, [w.removeprefix("--gin.") for w in words if w.startswith("--gin.")])
        return
    text = (ROOT / words[0]).read_text()
    for word in words[1:]:
        option = word.partition("=")[0].removeprefix("--without_").removeprefix("--")
        assert not word.startswith("--") or option in text, word


def check_gin(files, bindings):
    known = {binding.name for binding in gin_files.bindings_of(files)} | {*macros.CHECKS}
    names = [binding.partition("=")[0] for binding in bindings]
    assert {name for name in names if "." not in name} <= known


def check_pip(words):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        for named in re.findall(r"^\.?(?:t5rank)?\[(.*)\]$", word):
            assert {*named.split(",")} <= {*extras["optional-dependencies"]}, word


def check_curl(words):
    pytest.importorskip("msgspec")
    from t5rank.serve.dialects import parse

    url, flag, body = words
    assert flag == "-d"
    path = "/" + url.partition("/")[2]
    assert parse(path, body.encode()).request.work().documents()


def test_the_answer_of_the_server_is_shown_as_it_is():
    msgspec = pytest.importorskip("msgspec")
    from t5rank.serve.dialects import Answer, parse

    page = SITE / "tutorials/serve.md"
    (shown,) = map(json.loads, blocks(page, "json"))
    (body,) = [words[3] for words in commands(page) if words[0] == "curl"]
    answer = Answer("monot5", np.array([0.3, 0.2]), np.array([0.91, 0.2]), 31, "/v2/rerank")
    real = msgspec.to_builtins(parse(answer.path, body.encode()).request.answer(answer))
    assert shown["results"] == real["results"] and shown["usage"].items() <= real["usage"].items()
    assert shown.keys() <= real.keys() and shown["model"] == real["model"]


CHECKS = {"t5rank": check_t5rank, "python": check_python, "pip": check_pip, "curl": check_curl}


@pages_with("gin")
def test_gin_is_read_and_checked(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, text in enumerate(blocks(page, "gin")):
        recipe = tmp_path / f"{number}.gin"
        recipe.write_text(text)
        found = gin_files.bindings_of([str(recipe)])
        own = {binding.name for binding in found if binding.file == str(recipe)}
        named = {name for name in own if "." not in name}
        assert own and named <= {macro.name for macro in make_pages.macros.all_macros()}


@pages_with("json")
def test_json_is_json(page):
    for text in blocks(page, "json"):
        json.loads(text)


def test_the_files_of_the_tutorials_tables_exist():
    text = (SITE / "tutorials/train.md").read_text()
    named = re.findall(r"`((?:models|losses|optimizers|tasks)/[^`]*\.gin)`", text)
    assert len(named) > 8
    for name in (name for pattern in named for name in expanded(pattern)):
        assert (ROOT / "gin" / name).is_file(), name


def expanded(pattern):
    found = re.search(r"\{([^}]*)\}", pattern)
    if found is None:
        return [pattern]
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [name for choice in found[1].split(",") for name in expanded(before + choice + after)]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, vocabulary_file):
    """A folder with what the pages name: a tiny T5 as published ones come, and a few texts."""
    from t5rank.model_folder.convert import Settings, convert

    folder = tmp_path_factory.mktemp("workplace")
    write_t5x(folder / "t5x")
    for name, head in {"t5-v1_1-small": "rankt5", "monot5-base-msmarco": "monot5"}.items():
        settings = Settings(head=head, vocabulary=vocabulary_file, max_length=64)
        convert(folder / "t5x", folder / name, "huggingface", settings)
    (folder / "spiece.model").write_bytes(Path(vocabulary_file).read_bytes())
    write_texts(folder)
    return folder


def write_t5x(folder):
    """A checkpoint of T5X without anything beside it."""
    from t5rank.checkpoints import architecture, orbax_writing
    from t5rank.checkpoints.paths import path
    from t5rank.checkpoints.sources import LazyArray
    from t5rank.models import network

    sizes = {"emb_dim": 16, "num_heads": 2, "head_dim": 8, "mlp_dim": 24}
    layers = {"num_encoder_layers": 1, "num_decoder_layers": 1}
    config = network.T5Config(1152, **sizes, **layers, mlp_activations=("gelu", "linear"))
    rng = np.random.default_rng(0)
    shapes = architecture.parameter_shapes(network.Transformer(config))
    values = {name: 0.3 * rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    arrays = {n: LazyArray(v.shape, v.dtype, lambda v=v: v) for n, v in values.items()}
    orbax_writing.write_orbax(path(folder), 7, arrays)


def write_texts(folder):
    """The lists of the training tutorial, and the same as a run with its collection."""
    (block,) = blocks(SITE / "tutorials/train.md", "json")
    ranked = json.loads(block)
    (folder / "lists").mkdir()
    for split in ("train", "validation"):
        (folder / f"lists/{split}.jsonl").write_text(json.dumps(ranked) + "\n")
    texts = {document["doc_id"]: document["text"] for document in ranked["documents"]}
    lines = {
        "documents.txt": texts.values(),
        "queries.tsv": [f"q1\t{ranked['query']}"],
        "collection.tsv": [f"{doc_id}\t{text}" for doc_id, text in texts.items()],
        "bm25.txt": [f"q1 Q0 {doc_id} {i} {-i} bm25" for i, doc_id in enumerate(texts, start=1)],
        "qrels.txt": [f"q1 0 {d['doc_id']} {d['label']}" for d in ranked["documents"]],
    }
    for name, text in lines.items():
        (folder / name).write_text("\n".join(text) + "\n")
    (tsv,) = blocks(SITE / "how_to/data_source.md", "tsv")
    for split in ("train", "validation"):
        (folder / f"{split}.tsv").write_text(tsv)


def run_python(page, **replaced):
    """Runs the blocks of a page one after the other; returns their names."""
    names = {}
    for block in blocks(page, "python"):
        for old, new in replaced.items():
            block = re.sub(rf"\b{old}=\d+", f"{old}={new}", block)
        exec(compile(block, str(page), "exec"), names)
    return names


def test_the_tutorial_of_published_models_runs(workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    page = SITE / "tutorials/rerank.md"
    for words in commands(page):
        if words[0] == "t5rank":
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(open("documents.txt", "rb")))  # noqa: SIM115
            assert cli.main(words[1:]) == 0
    said = capsys.readouterr().out
    assert "monot5-base-msmarco', Hugging Face.\nWrote models/monot5.\n" in said and "RR@10" in said
    assert len(Path("reranked.txt").read_text().splitlines()) == 2
    assert len(run_python(page)["scores"]) == 3
    assert "Reranker" in run_python(ROOT / "README.md")


def test_training_from_python_runs_and_its_model_ranks(workplace, monkeypatch):
    from t5rank.train.loop import Trainer

    monkeypatch.chdir(workplace)
    small = {"train_steps": 2, "batch_size": 2, "list_size": 2, "input_length": 64}
    names = run_python(SITE / "tutorials/train_in_python.md", **small)
    assert (names["result"].step, names["result"].reason) == (2, "finished")
    assert len(names["reranker"].rank("what is a list", ["A list.", "A tuple."])) == 2
    plain = Trainer(names["model"], "model", names["task"])
    assert (plain.batch_size, plain.train_steps, plain.learning_rate_fn(0)) == (16, 1000, 1e-4)


@pytest.mark.parametrize("name", ["loss", "optimizer", "data_source", "dialect", "model_kind"])
def test_how_to_runs(name, workplace, monkeypatch):
    if name == "model_kind":
        pytest.importorskip("t5rank.models.kinds", reason="no registry of model kinds")
    monkeypatch.chdir(workplace)
    names = run_python(SITE / f"how_to/{name}.md")
    TRIED[name](names)


def try_loss(names):
    where, labels = np.array([[True, True, False]]), np.array([[1.0, 0.0, 5.0]])
    loss = names["squared_softmax_loss"]
    assert float(loss(np.zeros((1, 3)), labels, where=where)) == pytest.approx(0.5)


def try_optimizer(names):
    assert float(names["lamb"].create({"w": np.ones(2, np.float32)}).state.step) == 0


def try_data_source(names):
    import seqio

    lists = [*names["readers"]["train"]()]
    assert [ranked.labels for ranked in lists] == [(1.0, 0.0), (1.0, 0.0)]
    assert names["task"] in seqio.TaskRegistry.names()


def try_dialect(names):
    import msgspec

    from t5rank.serve.dialects import Answer

    dialect = names["DIALECT"]
    request = msgspec.convert(dialect.example, dialect.request)
    answer = Answer("m", np.array([0.1, 0.2]), np.array([0.5, 0.6]), 7, "/rerank")
    assert request.work().lists == [("what is a list", ["A list has items.", "A tree."])]
    assert request.answer(answer).order == [1, 0]


def try_model_kind(names):
    head = names["MarginHead"](1, 0)
    assert head.read(np.array([[3.0, 1.0]])).tolist() == [2.0]
    del names["kinds"]._registered["margin"]


TRIED = {
    "loss": try_loss,
    "optimizer": try_optimizer,
    "data_source": try_data_source,
    "dialect": try_dialect,
    "model_kind": try_model_kind,
}
