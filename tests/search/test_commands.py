"""`t5rank encode` and `t5rank search`, with the commands that go on from them."""

import json

import pytest

from t5rank import cli
from t5rank.data import trec
from t5rank.data.jsonl import read_jsonl

TEXTS = {f"d{i}": f"word{i} word{i + 1} word{i + 2} and more" for i in range(12)}
QUERIES = {"q1": "word3 word4 word5 and more", "d7": "word7 word8 word9 and more"}


@pytest.fixture
def work(tmp_path, model, monkeypatch):
    """A folder with a collection, queries and judgements, in which the commands are given."""
    monkeypatch.chdir(tmp_path)
    trec.write_queries("collection.tsv", TEXTS)
    trec.write_queries("queries.tsv", QUERIES)
    trec.write_qrels("qrels.txt", {"q1": {"d3": 1}, "d7": {"d8": 1}})
    return tmp_path


def given(text):
    return cli.main(text.split())


def encoded():
    assert given("encode --model model --collection collection.tsv --output vectors") == 0


def test_encode_search_evaluate_and_lists_are_a_loop(work, capsys):
    encoded()
    files = "--collection collection.tsv --queries queries.tsv --qrels qrels.txt"
    search = "search --vectors vectors --model model --queries queries.tsv --output run.txt"
    assert given(f"{search} --topk 8") == 0
    run = trec.read_run("run.txt")
    best = [*run["q1"]]
    assert best[0] == "d3" and len(best) == 8 and run["q1"]["d3"] > 0.999
    said = capsys.readouterr()
    assert "Wrote 16 documents of 2 queries to run.txt." in said.out
    assert "1 of 2 queries found a document with their own id. It stays in the run" in said.err
    assert given("evaluate --qrels qrels.txt --run run.txt --ignore_identical_ids") == 0
    assert "1.0000" in capsys.readouterr().out
    assert given(f"lists train {files} --run run.txt:2-8 --negatives 3") == 0
    (first, _) = read_jsonl("train")
    assert first.doc_ids[0] == "d3" and {*first.doc_ids[1:]} <= {*best[1:]}


def test_stored_queries_give_the_same_run_as_the_model(work):
    encoded()
    assert given("encode --model model --queries queries.tsv --output query_vectors") == 0
    search = "search --vectors vectors --output"
    assert given(f"{search} one.txt --model model --queries queries.tsv") == 0
    assert given(f"{search} two.txt --query_vectors query_vectors") == 0
    assert (work / "one.txt").read_text() == (work / "two.txt").read_text()


def test_an_encoding_that_is_done_says_what_it_kept(work, capsys):
    encoded()
    encoded()
    assert "Encoded 0 texts, kept 12: vectors." in capsys.readouterr().out


def test_hosts_say_what_is_missing(work, capsys):
    encode = "encode --model model --collection collection.tsv --output vectors"
    assert given(f"{encode} --vectors_per_shard 3 --shard 0/2") == 0
    assert "Shards of other hosts are missing: 2 of 4." in capsys.readouterr().out
    assert given(f"{encode} --vectors_per_shard 3 --shard 1/2") == 0
    assert given(f"{encode} --vectors_per_shard 3 --shard 2/2") == 1
    assert "'2/2'; expected I/N with I from 0 to N - 1" in capsys.readouterr().err


def test_faiss_and_qdrant_write_the_run_of_exact_search(work):
    for package in ("faiss", "qdrant_client"):
        pytest.importorskip(package)
    encoded()
    search = "search --vectors vectors --model model --queries queries.tsv --topk 5 --output"
    engines = {"exact": "", "faiss": " --index Flat", "qdrant": " --upload path:engine/docs"}
    for name, option in engines.items():
        assert given(f"{search} {name}.txt{option}") == 0
    runs = {name: trec.read_run(f"{name}.txt") for name in engines}
    for query_id in QUERIES:
        assert [*runs["exact"][query_id]] == [*runs["faiss"][query_id]]
        assert [*runs["exact"][query_id]] == [*runs["qdrant"][query_id]]


def test_an_upload_needs_no_queries(work, capsys):
    pytest.importorskip("qdrant_client")
    encoded()
    assert given("search --vectors vectors --upload path:engine/docs") == 0
    assert "Uploaded 12 vectors to path:engine/docs." in capsys.readouterr().out


REFUSED = {
    "--output run.txt": "Options have no queries; expected --queries with --model, or --query",
    "--output run.txt --queries queries.tsv": "have --queries; expected --queries with --model",
    "--query_vectors vectors": "'--output' is missing; expected the run to write",
    "--output run.txt --query_vectors vectors": "has vectors of documents; expected queries",
    "--output run.txt --query_vectors vectors --index_parameters nprobe=1": "without --index",
    "--output run.txt --query_vectors vectors --topk 0": "expected at least 1",
}


@pytest.mark.parametrize("options", REFUSED)
def test_options_that_make_no_search_are_refused(work, capsys, options):
    encoded()
    assert given(f"search --vectors vectors {options}") == 1
    assert REFUSED[options] in capsys.readouterr().err
    assert not (work / "run.txt").exists()


def test_a_model_that_was_trained_on_is_refused(work, capsys):
    encoded()
    (work / "model/config.json").write_text(json.dumps({"dim": 16, "changed": True}))
    search = "search --vectors vectors --model model --queries queries.tsv --output run.txt"
    assert given(search) == 1
    assert "is another one than that of 'vectors'" in capsys.readouterr().err
