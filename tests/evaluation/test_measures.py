import math
import shutil

import ir_measures
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from t5rank.data.trec import read_qrels, read_run
from t5rank.evaluation.measures import evaluate, evaluate_runs, parse_measures

QRELS = {"q1": {"d2": 1}, "q2": {"d1": 1, "d3": 1}}
RUN = {"q1": {"d1": 2.0, "d2": 1.0}, "q2": {"d1": 0.5, "d2": 0.4, "d3": 0.3}}


def test_figures_are_means_over_queries():
    result = evaluate(RUN, QRELS, "RR@10 nDCG@10")
    assert result.aggregate["RR@10"] == pytest.approx((1 / 2 + 1 / 1) / 2)
    ndcg = [1 / math.log2(3), (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3))]
    assert result.aggregate["nDCG@10"] == pytest.approx(sum(ndcg) / 2)


def test_figures_of_each_query_are_given_in_the_order_of_the_qrels():
    assert list(evaluate(RUN, QRELS, "RR@10").per_query["RR@10"].items()) == [
        ("q1", 0.5),
        ("q2", 1),
    ]


def test_gain_of_ndcg_is_linear_and_exponential_on_request():
    result = evaluate(
        {"q": {"d1": 2.0, "d2": 1.0}}, {"q": {"d1": 1, "d2": 3}}, "nDCG@10 nDCG(dcg='exp-log2')@10"
    )
    linear = (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))
    exponential = (1 + 7 / math.log2(3)) / (7 + 1 / math.log2(3))
    assert list(result.aggregate.values()) == pytest.approx([linear, exponential])


def test_query_that_the_run_lacks_counts_0():
    result = evaluate({"q2": RUN["q2"]}, QRELS, "RR@10 nDCG@10")
    assert (result.aggregate["RR@10"], result.missing_queries) == ((0 + 1) / 2, 1)
    assert result.per_query["nDCG@10"]["q1"] == 0.0


def test_query_without_documents_counts_as_missing():
    result = evaluate({"q1": {}, "q2": RUN["q2"]}, QRELS, "RR@10")
    assert (result.aggregate["RR@10"], result.missing_queries) == ((0 + 1) / 2, 1)


@pytest.mark.parametrize(
    ("run", "has"),
    [
        ({}, "no documents"),
        ({"q1": {}}, "no documents"),
        ({"x2": {"d1": 1.0}, "x1": {"d1": 1.0}}, "the queries 'x1', 'x2'"),
    ],
)
def test_run_without_a_query_of_the_qrels_is_an_error(run, has):
    with pytest.raises(ValueError, match=f"The run has {has}; expected some of .* 'q1', 'q2'"):
        evaluate(run, QRELS)


@pytest.mark.parametrize(("run", "warned"), [({"q1": {"x": 1.0}}, True), (RUN, False)])
def test_run_without_a_judged_document_is_said(run, warned, caplog):
    result = evaluate(run, QRELS, "RR@10")
    assert ("none of the documents that the qrels judge" in caplog.text) is warned
    assert (result.judged_documents == 0) is warned


@pytest.mark.parametrize("judged", [{"d1": 0}, {}])
def test_query_without_relevant_document_counts_0(judged):
    result = evaluate(RUN | {"q3": {"d1": 1.0}}, QRELS | {"q3": judged}, "RR@10 nDCG@10")
    assert result.aggregate["RR@10"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert result.per_query["nDCG@10"]["q3"] == 0.0
    assert (result.queries, result.queries_without_relevant, result.missing_queries) == (3, 1, 0)


def test_query_without_qrels_is_left_out_and_counted():
    result = evaluate(RUN | {"q9": {"d1": 1.0}}, QRELS, "RR@10")
    assert (result.aggregate["RR@10"], result.ignored_queries) == ((1 / 2 + 1) / 2, 1)
    assert "q9" not in result.per_query["RR@10"]


@pytest.mark.skipif(shutil.which("perl") is None, reason="ir_measures computes ERR with Perl")
def test_query_ids_that_are_no_numbers_do_not_meet_in_gdeval():
    run = {"a-1": {"d1": 2.0, "d2": 1.0}, "b-1": {"d1": 2.0, "d2": 1.0}}
    result = evaluate(run, {"a-1": {"d1": 1}, "b-1": {"d2": 1}, "c": {"d1": 1}}, "ERR@10")
    stops = (2**1 - 1) / 2**4  # the probability that a reader stops at a document of grade 1
    assert list(result.per_query["ERR@10"].values()) == pytest.approx(
        [stops / 1, stops / 2, 0], abs=1e-5
    )
    assert result.aggregate["ERR@10"] == pytest.approx(stops * (1 + 1 / 2 + 0) / 3, abs=1e-5)


def test_counts_are_sums():
    assert evaluate(RUN, QRELS, "NumRet NumQ").aggregate == {"NumRet": 2 + 3, "NumQ": 2}


TEN = [f"d{n}" for n in range(10)]  # as strings, descending: d9, d8, ..., d0


@pytest.mark.parametrize("relevant", range(10))
def test_constant_scorer_gets_the_rank_of_the_tie_order(relevant):
    result = evaluate(
        {"q": dict.fromkeys(TEN, 1.0)}, {"q": {f"d{relevant}": 1}}, "RR@10 nDCG@10 P@1"
    )
    rank = 10 - relevant
    expected = {"RR@10": 1 / rank, "nDCG@10": 1 / math.log2(rank + 1), "P@1": float(rank == 1)}
    assert result.aggregate == pytest.approx(expected)


@pytest.mark.parametrize("first", TEN)
def test_constant_scorer_does_not_profit_from_relevant_documents_that_come_first(first):
    order = [first, *(doc_id for doc_id in TEN if doc_id != first)]
    result = evaluate({"q": dict.fromkeys(order, 1.0)}, {"q": {"d4": 1}}, "RR@10 RR nDCG@10")
    assert result.aggregate["RR@10"] == result.aggregate["RR"] == pytest.approx(1 / 6)
    assert result.aggregate["nDCG@10"] == pytest.approx(1 / math.log2(7))


SCORES = st.sampled_from([-1.5, 0.0, 0.1, 0.1 + 1e-12, 3.0])
RUNS = st.fixed_dictionaries(
    {query: st.dictionaries(st.sampled_from(TEN), SCORES, min_size=1) for query in ("q1", "q2")}
)
GRADES = st.fixed_dictionaries(
    {
        query: st.dictionaries(st.sampled_from(TEN), st.integers(0, 3), min_size=1)
        for query in ("q1", "q2")
    }
)


@settings(deadline=None)
@given(RUNS, GRADES)
def test_figures_with_ties_are_those_of_trec_eval(run, qrels):
    names = {"ndcg_cut_10": "nDCG@10", "map": "AP", "recip_rank": "RR", "P_5": "P@5"}
    expected = pytrec_eval.RelevanceEvaluator(qrels, set(names)).evaluate(run)
    per_query = evaluate(run, qrels, " ".join(names.values())).per_query
    for name, measure in names.items():
        assert per_query[measure] == pytest.approx({q: expected[q][name] for q in qrels})


@settings(deadline=None)
@given(st.permutations(TEN), st.dictionaries(st.sampled_from(TEN), st.integers(0, 3), min_size=1))
def test_figures_without_ties_are_those_of_ir_measures(order, judged):
    run = {"q": {doc_id: float(n) for n, doc_id in enumerate(order)}}
    names = "nDCG@10 RR@10 AP(rel=2) P@3 R@5 Judged@10"
    oracle = ir_measures.calc_aggregate(parse_measures(names), {"q": judged}, run)
    expected = {str(measure): value for measure, value in oracle.items()}
    assert evaluate(run, {"q": judged}, names).aggregate == pytest.approx(expected)


@pytest.mark.parametrize(
    "names",
    [
        "nDCG@10 nDCG(dcg='exp-log2')@10 nDCG(judged_only=True)@10 nDCG@5",
        "nDCG(gains={1:5})@10 AP(rel=2) nDCG@10 RR RR(rel=2) RR@10",
    ],
)
def test_measures_together_are_what_each_is_alone(names):
    """ir_measures itself loses some of these if it computes them together."""
    run = {"q": {"d3": 4.0, "d1": 3.0, "d9": 2.0, "d2": 1.0}}
    qrels = {"q": {"d1": 1, "d2": 3, "d3": 0, "d4": 2}}
    together = evaluate(run, qrels, names).aggregate
    alone = [evaluate(run, qrels, name).aggregate for name in names.split()]
    assert list(together.items()) == [item for one in alone for item in one.items()]


def test_measures_are_read_once_each_in_order():
    assert list(map(str, parse_measures("MRR@10\n nDCG@10 RR@10"))) == ["RR@10", "nDCG@10"]


def test_all_bad_measures_are_named_with_the_reason():
    with pytest.raises(ValueError) as caught:
        parse_measures("nDCG@10 foo nDCG@ten P RR(level=2) alpha_nDCG@10")
    message = str(caught.value)
    for part in (
        "'foo' (measure not found: foo)",
        "'nDCG@ten' (problem parsing",
        "'P' (invalid param cutoff has no value)",
        "'RR(level=2)' (unsupported params found: ['level'])",
        "'alpha_nDCG@10' (no installed library computes it)",
    ):
        assert part in message
    assert "'nDCG@10' (" not in message


def test_no_measure_is_an_error():
    with pytest.raises(ValueError, match="have no name"):
        parse_measures(" ")


def test_qrels_without_queries_are_an_error():
    with pytest.raises(ValueError, match="qrels have no query"):
        evaluate(RUN, {})


def test_score_that_is_not_finite_is_an_error_that_names_run_and_query():
    with pytest.raises(
        ValueError, match="Run 'mine': Query 'q1' of the run: Document 'd1' has the"
    ):
        evaluate_runs({"bm25": RUN, "mine": {"q1": {"d1": float("nan")}}}, QRELS)


@pytest.mark.parametrize(
    ("folder", "measure", "expected"),
    [
        ("trec_dl21", "nDCG@10", 0.4458),  # the published figure of this run
        ("msmarco_passage_dev", "RR@10", 0.392),
        ("msmarco_passage_dev", "nDCG@10", 0.492),
    ],
)
def test_real_bm25_run_has_its_known_figure(shared_data, folder, measure, expected):
    run = read_run(shared_data / folder / "run.bm25.txt")
    qrels = read_qrels(shared_data / folder / "qrels.txt")
    digits = len(str(expected)) - 2
    assert round(evaluate(run, qrels, measure).aggregate[measure], digits) == expected
