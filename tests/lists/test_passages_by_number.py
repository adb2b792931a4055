"""Lists of a run that are read by number are those that are read from its start."""

import pytest

from t5rank.data import trec
from t5rank.lists.passages import index_passage_lists, read_passage_lists

RUNS = {
    "trec": "q1 Q0 d2 1 2.0 x\nq1 Q0 d1 2 1.0 x\n\nq2 Q0 d3 1 5 x\n",
    "msmarco": "\ufeffq1\td2\t1\nq1\td1\t2\nq2\td3\t1",
    "queries apart": "q1 Q0 d2 1 2.0 x\nq2 Q0 d3 1 5 x\nq1 Q0 d1 2 1.0 x\n",
}


@pytest.fixture
def files(tmp_path):
    trec.write_queries(tmp_path / "collection.tsv", {f"d{i}": f"text {i}" for i in range(1, 5)})
    trec.write_queries(tmp_path / "queries.tsv", {"q1": "one", "q2": "two"})
    trec.write_qrels(tmp_path / "qrels.txt", {"q1": {"d4": 1}, "q2": {"d3": 2}})
    return {
        "collection": tmp_path / "collection.tsv",
        "queries": tmp_path / "queries.tsv",
        "qrels": tmp_path / "qrels.txt",
        "run": tmp_path / "run.txt",
    }


@pytest.mark.parametrize("text", RUNS.values(), ids=RUNS)
def test_lists_of_a_run(text, files):
    files["run"].write_text(text)
    options = {"add_missing_relevant": True, "topn": 1}
    indexed = index_passage_lists(**files, **options)
    assert [*indexed.lists([1, 0])] == [*read_passage_lists(**files, **options)][::-1]


def test_an_error_names_the_line_of_the_run(files):
    files["run"].write_text("q1 Q0 d2 1 2.0 x\n\nq2 Q0 d3 1 5 x\nq2 Q0 d4 2 nothing x\n")
    with pytest.raises(ValueError, match=r"Line 4 of file '.*run\.txt' has the score 'nothing'"):
        [*index_passage_lists(**files).lists([1])]


def test_a_line_of_a_run_in_another_format_is_an_error(files):
    files["run"].write_text("q1 Q0 d2 1 2.0 x\nq2 d3 1\n")
    with pytest.raises(ValueError, match=r"Line 2 of file '.*run\.txt' has 3 columns; expected 6"):
        [*index_passage_lists(**files).lists([1])]
