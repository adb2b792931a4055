"""`t5rank lists --pairs`."""

import gzip

import pytest

from t5rank import cli
from t5rank.data.folder import read_manifest
from t5rank.data.jsonl import read_jsonl


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "st.jsonl.gz").write_bytes(gzip.compress(b'["a", "b"]\n["c", "d", "e"]\n'))
    (tmp_path / "triples.tsv").write_text("q\tyes\tno\n")
    (tmp_path / "ids.tsv").write_text("1\t2\t3\n")
    (tmp_path / "collection.tsv").write_text("2\ttwo\n3\tthree\n")
    (tmp_path / "queries.tsv").write_text("1\tone\n")
    return tmp_path


@pytest.mark.parametrize("workers", [1, 2])
def test_files_of_several_formats(files, workers):
    arguments = ["--pairs=st.jsonl.gz", "--pairs=triples.tsv", f"--workers={workers}"]
    assert cli.main(["lists", "out", *arguments]) == 0
    found = [(one.query_id, one.query, one.documents, one.labels) for one in read_jsonl("out")]
    assert found == [
        ("0-1", "a", ("b",), (1.0,)),
        ("0-2", "c", ("d", "e"), (1.0, 0.0)),
        ("1-1", "q", ("yes", "no"), (1.0, 0.0)),
    ]
    formats = read_manifest("out")["options"]["formats"]
    assert formats == [["texts of sentence-transformers"], ["triples"]]


def test_ids_with_their_texts(files):
    texts = ["--collection=collection.tsv", "--queries=queries.tsv"]
    assert cli.main(["lists", "out", "--pairs=ids.tsv", *texts]) == 0
    (found,) = read_jsonl("out")
    assert (found.query, found.doc_ids, found.documents) == ("one", ("2", "3"), ("two", "three"))


def test_an_unknown_format_is_one_message(files, capsys):
    assert cli.main(["lists", "out", "--pairs=collection.tsv"]) == 1
    assert "no list in a known format; expected one of these" in capsys.readouterr().err


def test_what_lenient_merges(files, capsys):
    (files / "twice.jsonl").write_text('{"query": "q", "pos": ["a"], "neg": ["a"]}')
    assert cli.main(["lists", "out", "--pairs=twice.jsonl"]) == 1
    assert "or give --lenient to merge them" in capsys.readouterr().err
    assert cli.main(["lists", "out", "--pairs=twice.jsonl", "--lenient"]) == 0
    assert read_manifest("out")["counts"]["duplicate_documents_merged"] == 1
