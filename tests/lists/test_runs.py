import pytest

from t5rank.data import trec
from t5rank.lists.runs import IndexedRun

TREC = (
    "\ufeffq1 Q0 d1 1 2.5 t\n\nq1\tQ0\td2 2 2.5 t\r\n  q1 Q0 d3 3 9 t\n"
    "q10 Q0 d\u00e9 1 1e3 t\nq1x Q0 d1 1 0.1 t\nq1x Q0 d2 1 0.10000000001 t"
)
MSMARCO = "q2\td5\t2\nq2\td4\t1\nq1\td1\t1\n"


@pytest.mark.parametrize("text", [TREC, MSMARCO])
def test_queries_are_those_of_the_whole_run(tmp_path, text):
    path = tmp_path / "run.txt"
    path.write_bytes(text.encode())
    run, expected = IndexedRun(str(path)), trec.read_run(path)
    assert list(run.query_ids()) == list(expected)
    for query_id in reversed(expected):
        assert list(run[query_id].items()) == list(expected[query_id].items())
    assert run["other"] == {}


def test_ranks_are_cut_at_both_ends(tmp_path):
    trec.write_run(tmp_path / "run.txt", {"q": {f"d{i}": -i for i in range(1, 8)}})
    assert list(IndexedRun.parse(f"{tmp_path / 'run.txt'}:3-5")["q"]) == ["d3", "d4", "d5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a Q0 d 1 1 t\nb Q0 d 1 1 t\na Q0 e 1 1 t\n", "Query 'a' .* two places .again in line 3"),
        ("a Q0 d 1 1 t\na Q0 d 2 0 t\n", "Document 'd' of query 'a' is again in .* line 2"),
        ("b Q0 d 1 1 t\na Q0 d 1 x t\n", "Line 2 of file .* has the score 'x'"),
        ("a Q0 d 1 1 t t\n", "Line 1 of file .* has 7 columns"),
        ("", "is empty"),
    ],
)
def test_broken_runs_are_errors(tmp_path, text, message):
    path = tmp_path / "run.txt"
    path.write_text(text)
    run = IndexedRun(str(path))
    with pytest.raises(ValueError, match=message):
        run["a"]


def test_a_compressed_run_says_what_to_do(tmp_path):
    trec.write_run(tmp_path / "run.gz", {"q": {"d": 1.0}})
    with pytest.raises(ValueError, match="Decompress it with gunzip"):
        IndexedRun(str(tmp_path / "run.gz"))["q"]
