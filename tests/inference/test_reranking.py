"""Run files: reranked, gone on with, refused."""

import json

import pytest

from t5rank import Reranker, cli
from t5rank.data import trec
from t5rank.data.ranked_list import RankedList
from t5rank.inference import reranker as reranker_module
from t5rank.inference import reranking
from t5rank.lists.passages import read_passage_lists
from t5rank.text.prompts import PairEncoder

DOCUMENTS = ["a list of numbers", "the string is returned", "", "a dict or a list " * 40, "int"]


@pytest.fixture
def files(tmp_path):
    texts = {f"d{i}": f"{text or 'none'} {i}" for i, text in enumerate(DOCUMENTS)}
    trec.write_queries(tmp_path / "collection.tsv", texts)
    trec.write_queries(tmp_path / "queries.tsv", {"q1": "list", "q2": "string", "q3": "int"})
    run = {q: {d: -i for i, d in enumerate(texts)} for q in ("q1", "q2", "q3")}
    trec.write_run(tmp_path / "run.txt", run)
    return tmp_path


def rerank_command(files, model_dir, *more) -> int:
    names = {"queries": "queries.tsv", "collection": "collection.tsv", "run": "run.txt"}
    options = [f"--{name}={files / file}" for name, file in names.items()]
    output = f"--output={files / 'out.txt'}"
    return cli.main(["rerank", f"--model={model_dir}", *options, output, *more])


def test_rerank_writes_what_the_reranker_scores(files, model_dir):
    assert rerank_command(files, model_dir) == 0
    run = trec.read_run(files / "out.txt")
    reranker = Reranker.from_pretrained(model_dir)
    texts = trec.read_queries(files / "collection.tsv")
    for query_id, query in trec.read_queries(files / "queries.tsv").items():
        expected = dict(zip(texts, reranker.score(query, list(texts.values())), strict=True))
        assert run[query_id] == pytest.approx(expected, abs=1e-5)


def test_depth_cuts_the_candidates_and_topn_the_output(files, model_dir):
    assert rerank_command(files, model_dir, "--depth=3", "--topn=2") == 0
    run = trec.read_run(files / "out.txt")
    assert all(len(scored) == 2 and set(scored) <= {"d0", "d1", "d2"} for scored in run.values())


@pytest.mark.parametrize(
    ("chunk", "more"), [(5, ["string", "int"]), (4096, ["list", "string", "int"])]
)
def test_an_interrupted_rerank_goes_on_where_it_was(files, model_dir, monkeypatch, chunk, more):
    monkeypatch.setattr(reranker_module, "CHUNK", chunk)
    assert rerank_command(files, model_dir) == 0
    whole = (files / "out.txt").read_text()
    (files / "out.txt").unlink()
    run_lines = trec.run_lines

    def interrupted(run, tag):
        lines = run_lines(run, tag)
        if "q2" in run:
            yield next(lines)
            raise KeyboardInterrupt
        yield from lines

    monkeypatch.setattr(trec, "run_lines", interrupted)
    assert rerank_command(files, model_dir) == 130
    assert not (files / "out.txt").exists()
    with (files / "out.txt.partial").open("a") as file:
        file.write('["q2", 5')  # the line that the interruption cut
    monkeypatch.setattr(trec, "run_lines", run_lines)
    encode, asked = PairEncoder.encode, []
    monkeypatch.setattr(
        PairEncoder,
        "encode",
        lambda self, query, documents: asked.append(query) or encode(self, query, documents),
    )
    assert rerank_command(files, model_dir) == 0
    assert asked == more
    assert (files / "out.txt").read_text() == whole
    assert not list(files.glob("out.txt.*"))


def test_a_run_that_lost_its_end_is_written_again_from_there(files, model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    lists = [RankedList(f"q{i}", "list", ("d1",), ("int",), (0.0,)) for i in range(3)]

    def run(lists):
        return reranking.rerank_run(reranker, lists, files / "out.txt", settings="x")

    assert run(lists) == (3, 3)
    whole = (files / "out.txt").read_text()
    for size in (0, 20, len(whole.splitlines(keepends=True)[0])):
        log = [{"settings": "x", "topn": None, "tag": "t5rank"}]
        ends = [len(whole) // 3 * (i + 1) for i in range(2)]
        log += [[f"q{i}", i + 1, end] for i, end in enumerate(ends)]
        (files / "out.txt.partial").write_text("".join(json.dumps(x) + "\n" for x in log))
        (files / "out.txt.unfinished").write_text(whole[:size])
        assert run(lists) == (3, 3)
        assert (files / "out.txt").read_text() == whole


def test_a_query_with_two_lists_is_refused(files, model_dir):
    item = RankedList("q1", "list", ("d1",), ("int",), (0.0,))
    with pytest.raises(ValueError, match="Query 'q1' has two lists"):
        reranking.rerank_run(
            Reranker.from_pretrained(model_dir), [item, item], files / "o.txt", settings="x"
        )


def test_a_partial_file_of_other_inputs_is_refused(files, model_dir, capsys):
    (files / "out.txt.partial").write_text(json.dumps({"settings": "others"}) + "\n")
    assert rerank_command(files, model_dir) == 1
    assert "results of another model or other inputs" in capsys.readouterr().err


@pytest.mark.parametrize("depth", [[], ["--depth=3"]])
def test_a_folder_of_lists_is_reranked_as_its_run(files, model_dir, depth):
    names = {"queries": "queries.tsv", "collection": "collection.tsv", "run": "run.txt"}
    options = [f"--{name}={files / file}" for name, file in names.items()]
    assert cli.main(["lists", str(files / "lists"), *options]) == 0
    assert rerank_command(files, model_dir, *depth) == 0
    options = [f"--lists={files / 'lists'}", f"--output={files / 'of_lists.txt'}", *depth]
    assert cli.main(["rerank", f"--model={model_dir}", *options]) == 0
    assert (files / "of_lists.txt").read_bytes() == (files / "out.txt").read_bytes()


def test_rerank_wants_lists_or_files(files, model_dir, capsys):
    assert rerank_command(files, model_dir, f"--lists={files}") == 1
    assert "expected the three, or --lists alone" in capsys.readouterr().err


def test_lists_without_qrels_score(files, model_dir):
    lists = list(
        read_passage_lists(files / "collection.tsv", files / "queries.tsv", None, files / "run.txt")
    )
    written = reranking.rerank_run(
        Reranker.from_pretrained(model_dir), lists, files / "run2.txt", settings="x"
    )
    assert written == (3, 15)
    assert list(trec.read_run(files / "run2.txt")) == ["q1", "q2", "q3"]
