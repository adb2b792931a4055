import ctypes
import gzip
import itertools

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from t5rank.data import trec
from t5rank.data.trec import (
    rank_documents,
    read_qrels,
    read_queries,
    read_run,
    sort_run,
    write_msmarco_run,
    write_qrels,
    write_queries,
    write_run,
)

# Ids of the Basic Latin block and beyond: their order as strings is that of their UTF-8 bytes.
IDS = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=4)
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
RUNS = st.dictionaries(IDS, st.dictionaries(IDS, FLOAT32, min_size=1, max_size=6), max_size=4)

WIDE = "\uff11\uff12"  # digits to Python, and to no C library


def written(folder, text):
    path = folder / "file.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def ranked(scored):
    doc_ids = list(scored)
    return [doc_ids[n] for n in rank_documents(doc_ids, list(scored.values()))]


def test_higher_scores_come_first():
    assert rank_documents(["a", "b", "c"], [1.0, 3.0, 2.0]) == [1, 2, 0]


def test_ties_are_broken_by_doc_id_descending_as_strings():
    assert ranked({"10": 1.0, "9": 1.0, "1": 1.0, "b": 1.0}) == ["b", "9", "10", "1"]


def test_scores_are_compared_as_float32():
    tied = 1.0 + 2.0**-30  # rounds to 1.0 in float32
    assert ranked({"a": tied, "b": 1.0}) == ["b", "a"]


def test_nothing_is_ranked_as_nothing():
    assert rank_documents([], []) == []


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 1e39])
def test_score_that_is_no_finite_float32_is_an_error(score):
    with pytest.raises(ValueError, match=r"Document 'b' has the score .*; expected a finite"):
        rank_documents(["a", "b"], [1.0, score])


def test_another_number_of_scores_is_an_error():
    with pytest.raises(ValueError, match=r"shape \(1,\); expected \(2,\)"):
        rank_documents(["a", "b"], [1.0])


@given(st.dictionaries(IDS, st.sampled_from([0.0, -0.0, 0.1, 0.1 + 1e-12, 2.0])), st.randoms())
def test_order_does_not_depend_on_the_input_order(scored, random):
    shuffled = list(scored.items())
    random.shuffle(shuffled)
    assert ranked(dict(shuffled)) == ranked(scored)


@pytest.mark.parametrize("relevant", ["d1", "d5", "d9", "é", "d10"])
def test_ties_are_ranked_as_trec_eval_ranks_them(relevant):
    """pytrec_eval gives 1 / rank of the only relevant document, by trec_eval's own order."""
    scored = {name: 1.0 for name in ["d5", "d1", "é", "d10", "d9"]} | {"d2": 1.0 + 1e-9, "d3": 0.5}
    oracle = pytrec_eval.RelevanceEvaluator({"q": {relevant: 1}}, {"recip_rank"})
    expected = oracle.evaluate({"q": scored})["q"]["recip_rank"]
    assert 1 / (1 + ranked(scored).index(relevant)) == pytest.approx(expected)


def test_sorted_run_names_the_query_of_a_bad_score():
    with pytest.raises(ValueError, match="Query 'q2' of the run: Document 'd'"):
        sort_run({"q1": {"d": 1.0}, "q2": {"d": float("nan")}})


def test_queries_are_read_in_file_order(tmp_path):
    path = written(tmp_path, "q2\twhat is é\nq1\tcost\n")
    assert list(read_queries(path).items()) == [("q2", "what is é"), ("q1", "cost")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1\ta\nq1\tb\n", "Query 'q1' is again in file '.*', line 2"),
        ("q1 cost\n", "Line 1 of file '.*' has 1 columns; expected 2"),
        ("q1\ta\tb\n", "Line 1 of file '.*' has 3 columns; expected 2"),
        ("q 1\ta\n", "query id 'q 1'"),
        ("q1\t \n", "expected an id without white space, and a text"),
        (b"q1\t\xff\n", "File '.*', line 1 has broken UTF-8"),
    ],
)
def test_malformed_queries_are_an_error(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_queries(written(tmp_path, text))


@pytest.mark.parametrize("text", ["q1 0 d1 1\nq1 0 d2 -1\n", "q1\t0\td1\t1\nq1\t0\td2\t-1\n"])
def test_qrels_are_read_with_tabs_or_spaces(tmp_path, text):
    assert read_qrels(written(tmp_path, text)) == {"q1": {"d1": 1, "d2": -1}}


NUMBERS = ("7", "+3", "-0", "007", ".5", "5.", "1e2", "1E+2", "-1.5e-3", "0x10", "0x1.8p1", "1e-60")


@pytest.mark.parametrize("text", NUMBERS)
def test_scores_are_those_of_c(tmp_path, text):
    """`strtod` of the C library, by which trec_eval's `atof` is defined."""
    strtod = ctypes.CDLL(None).strtod
    strtod.restype = ctypes.c_double
    expected = np.float32(strtod(text.encode(), None))
    assert read_run(written(tmp_path, f"q Q0 d 1 {text} t\n")) == {"q": {"d": expected}}


@pytest.mark.parametrize("text", ["7", "+3", "-2", "007", "-0", str(2**63 - 1), str(-(2**63))])
def test_relevances_are_those_of_c(tmp_path, text):
    atol = ctypes.CDLL(None).atol
    atol.restype = ctypes.c_long
    assert read_qrels(written(tmp_path, f"q 0 d {text}\n")) == {"q": {"d": atol(text.encode())}}


def test_beir_qrels_are_read(tmp_path):
    path = written(tmp_path, "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n")
    assert read_qrels(path) == {"q1": {"d1": 2, "d2": 0}}


def test_same_judgement_twice_is_read_once(tmp_path):
    assert read_qrels(written(tmp_path, "q1 0 d1 1\n" * 2)) == {"q1": {"d1": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 0 d1 1\nq1 0 d1 2\n", "'d1' of query 'q1' has relevance 1 and, in .*, line 2, 2"),
        ("q1 0 d1 1\nq1 0 d1 x\n", "Line 2 of file '.*' has the relevance 'x'"),
        ("q1 0 d1 1.0\n", "relevance '1.0'; expected an integer"),
        *(
            (f"q1 0 d0 1\nq1 0 d1 {text}\n", f"Line 2 of file .* has the relevance '{text:.50}")
            for text in ("1_000", "1e5", WIDE, "nan", "0x1", "--1", str(2**63), "9" * 5000)
        ),
        ("q1 d1 1\n", "Line 1 of file '.*' has 3 columns, 'q1 d1 1'; expected 4 .* Is it a run?"),
        ("query-id\tcorpus-id\tscore\nq1\t0\td1\t1\n", "has 4 columns; expected 3"),
        ("q1 0 d 1 1\n", "has 5 columns"),
    ],
)
def test_malformed_qrels_are_an_error(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_qrels(written(tmp_path, text))


def test_trec_run_is_read_in_score_order_whatever_its_ranks(tmp_path):
    path = written(tmp_path, "q1 Q0 d1 1 0.5 tag\nq1 Q0 d2 2 1e1 tag\nq1\tQ0\td3\t3\t0.5\ttag\n")
    assert list(read_run(path)["q1"].items()) == [("d2", 10.0), ("d3", 0.5), ("d1", 0.5)]


def test_msmarco_run_is_read_in_rank_order(tmp_path):
    path = written(tmp_path, "q1\td1\t2\nq1\td2\t1\nq2\td1\t1\n")
    run = read_run(path)
    assert list(run["q1"].items()) == [("d2", -1.0), ("d1", -2.0)]
    assert run["q2"] == {"d1": -1.0}


def test_gzip_run_is_read_like_plain(tmp_path):
    assert read_run(written(tmp_path, gzip.compress(b"q1 Q0 d1 1 0.5 t"))) == {"q1": {"d1": 0.5}}


def test_empty_run_has_no_queries(tmp_path):
    assert read_run(written(tmp_path, "")) == {}


def test_ids_may_hold_spaces_that_are_not_ascii(tmp_path):
    assert read_run(written(tmp_path, "q1 Q0 d\u00a01 1 0.5 t")) == {"q1": {"d\u00a01": 0.5}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "q1 Q0 d1 1 2 t\nq2 Q0 d1 1 2 t\nq1 Q0 d1 2 1 t\n",
            "'d1' of query 'q1' is again .*line 3",
        ),
        ("q1 d1 1\nq1 d1 2\n", "'d1' of query 'q1' is again .*line 2"),
        ("q1 Q0 d1 1 nan t\n", "Line 1 of file '.*' has the score 'nan'; expected a finite"),
        ("q1 Q0 d1 1 1e99 t\n", "score '1e99'"),
        *(
            (f"q1 Q0 d0 1 2 t\nq1 Q0 d1 1 {text} t\n", f"Line 2 .* has the score '{text}'")
            for text in (
                "high",
                "1_000",
                "infinity",
                "-inf",
                "nan",
                WIDE,
                "1e",
                "0x1p9999",
                "1,5",
            )
        ),
        ("q1 d1 " + "9" * 5000, "Line 1 of file .* has the rank"),
        ("q1 Q0 d1 1 1 t\nq1 d2 2\n", "Line 2 of file '.*' has 3 columns; expected 6"),
        ("q1 d1 1\nq1 Q0 d2 1 1 t\n", "Line 2 of file '.*' has 6 columns; expected 3"),
        ("q1 Q0 d 1 1 1 t\n", "Line 1 of file '.*' has 7 columns"),
        ("q1 d1 0\n", "rank '0'; expected an integer from 1"),
        ("q1 d1 1.5\n", "rank '1.5'"),
        ("q1 d1 1\nq1 d2 1\n", "Query 'q1' in file '.*' has the rank 1 where 2 is due"),
        ("q1 d1 1\nq1 d2 3\n", "has the rank 3 where 2 is due; expected the ranks 1 to 2"),
        (b"q1 d\xff 1\n", "File '.*', line 1 has broken UTF-8"),
    ],
)
def test_malformed_run_is_an_error(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_run(written(tmp_path, text))


@given(RUNS)
def test_written_run_reads_back_with_scores_and_order(tmp_path_factory, run):
    path = tmp_path_factory.mktemp("runs") / "run.txt"
    write_run(path, run)
    got = read_run(path)
    assert got == {q: {d: float(np.float32(s)) for d, s in docs.items()} for q, docs in run.items()}
    assert [list(docs) for docs in got.values()] == [list(d) for d in sort_run(run).values()]


@given(RUNS)
def test_written_msmarco_run_reads_back_in_order(tmp_path_factory, run):
    path = tmp_path_factory.mktemp("runs") / "run.tsv"
    write_msmarco_run(path, run)
    assert [list(docs) for docs in read_run(path).values()] == [
        list(docs) for docs in sort_run(run).values()
    ]


def test_written_run_holds_ranks_from_1_and_short_scores(tmp_path):
    write_run(tmp_path / "run.txt", {"q1": {"d1": 0.1, "d2": 0.1, "d3": 7}}, tag="bm25")
    assert (tmp_path / "run.txt").read_text() == (
        "q1 Q0 d3 1 7.0 bm25\nq1 Q0 d2 2 0.1 bm25\nq1 Q0 d1 3 0.1 bm25\n"
    )


def test_written_run_is_read_by_ir_measures(tmp_path):
    write_run(tmp_path / "run.txt.gz", {"q1": {"d1": 0.1}})
    (scored,) = ir_measures.read_trec_run(str(tmp_path / "run.txt.gz"))
    assert scored == ir_measures.ScoredDoc("q1", "d1", 0.1)


@given(st.dictionaries(IDS, st.dictionaries(IDS, st.integers(-2, 4), min_size=1)))
def test_written_qrels_read_back(tmp_path_factory, qrels):
    path = tmp_path_factory.mktemp("qrels") / "qrels.txt"
    write_qrels(path, qrels)
    assert read_qrels(path) == qrels


LINES = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n"), min_size=1)


@given(st.dictionaries(IDS, LINES.filter(str.strip)))
def test_written_queries_read_back(tmp_path_factory, queries):
    path = tmp_path_factory.mktemp("queries") / "queries.tsv"
    write_queries(path, queries)
    assert read_queries(path) == queries


@pytest.mark.parametrize(
    ("query_id", "doc_id", "tag"), [("q 1", "d", "t"), ("q", "", "t"), ("q", "d", "my run")]
)
def test_names_that_would_break_the_columns_are_an_error(tmp_path, query_id, doc_id, tag):
    with pytest.raises(ValueError, match="has white space or is empty; expected one word"):
        write_run(tmp_path / "run.txt", {query_id: {doc_id: 1.0}}, tag)


@pytest.mark.parametrize("text", ["a\tb", "a\nb", " "])
def test_query_text_that_would_break_the_lines_is_an_error(tmp_path, text):
    with pytest.raises(ValueError, match="Query 'q1' has the text"):
        write_queries(tmp_path / "queries.tsv", {"q1": text})


@pytest.mark.parametrize(
    ("folder", "queries", "rows"),
    [("msmarco_passage_dev", 207, 207 * 20), ("trec_dl21", 53, 53 * 100)],
)
def test_real_run_is_read_in_its_given_order(shared_data, folder, queries, rows):
    path = shared_data / folder / "run.bm25.txt"
    run = read_run(path)
    given_order = [tuple(line.split()[:3:2]) for line in path.read_text().splitlines()]
    assert (len(run), len(given_order)) == (queries, rows)
    assert given_order == list(
        itertools.chain.from_iterable(((q, d) for d in docs) for q, docs in run.items())
    )


@pytest.mark.parametrize("order", ["together", "apart"])
@pytest.mark.parametrize("columns", [3, 6])
def test_a_run_read_by_query_is_the_run(tmp_path, order, columns):
    places = [(q, d) for q in ("q2", "q1", "q3") for d in range(1, 4)]
    if order == "apart":
        places.sort(key=lambda place: place[1])
    line = "{0} d{1} {1}\n" if columns == 3 else "{0} Q0 d{1} 0 {1} x\n"
    (tmp_path / "run").write_text("".join(line.format(*place) for place in places))
    by_query = list(trec.iterate_run(tmp_path / "run"))
    assert by_query == list(trec.read_run(tmp_path / "run").items())
    assert trec.count_documents(tmp_path / "run") == {"q1": 3, "q2": 3, "q3": 3}
