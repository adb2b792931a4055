"""MRR@10 is that of the official `ms_marco_eval.py` (github.com/microsoft/MSMARCO-Passage-Ranking).

That script, which is not part of this repository, printed the figures named OFFICIAL for these
files. It prints a warning and goes on for duplicates, and has another message if there is nothing
to evaluate. The tests state what t5rank does instead.
"""

import ir_measures
import pytest
import pytrec_eval

from t5rank.data import trec
from t5rank.evaluation import evaluate

QRELS = "1 0 11 1\n2 0 21 1\n2 0 22 1\n3 0 31 1\n4 0 41 1\n5 0 51 1\n".replace(" ", "\t")


def run_of(**ranked):
    """A run from MS MARCO's format, which has each query's documents in order."""
    return "".join(
        f"{query[1:]}\t{doc_id}\t{rank}\n"
        for query, doc_ids in ranked.items()
        for rank, doc_id in enumerate(doc_ids, start=1)
    )


OTHERS = [*range(900, 911)]
CRAFTED = {
    # Rank 2; the better of two relevant ones at 3; rank 11; a missing query; rank 1; no qrels.
    "missing query, unjudged query": (
        run_of(q1=[901, 11], q2=[901, 902, 22, 903, 21], q3=[*OTHERS[:10], 31], q5=[51], q9=[901]),
        0.36666666666666664,
        (1 / 2 + 1 / 3 + 0 + 0 + 1) / 5,
    ),
    "rank 10 counts": (
        run_of(q1=[901, 11], q3=[*OTHERS[:9], 31]),
        0.12,
        (1 / 2 + 0 + 1 / 10 + 0 + 0) / 5,
    ),
    "lines in any order": ("1\t11\t2\n5\t51\t1\n1\t901\t1\n", 0.3, (1 / 2 + 0 + 0 + 0 + 1) / 5),
}


@pytest.fixture
def files(tmp_path):
    qrels, run = tmp_path / "qrels.tsv", tmp_path / "run.tsv"
    qrels.write_text(QRELS)
    return qrels, run


@pytest.mark.parametrize(("text", "official", "arithmetic"), CRAFTED.values(), ids=CRAFTED)
def test_figures_are_the_official_ones(files, text, official, arithmetic):
    qrels, run = files
    run.write_text(text)
    got = evaluate(trec.read_run(run), trec.read_qrels(qrels), "RR@10").aggregate["RR@10"]
    assert got == pytest.approx(official) == arithmetic


def test_ties_count_by_the_ranks_that_we_write(files):
    """Tied scores get ranks when a run is written. The script reads the ranks that we evaluate."""
    qrels, run = files
    tied = {"1": {"11": 0.5, "901": 0.5, "12": 0.5}, "5": {"51": 1.0, "500": 1.0}}
    trec.write_msmarco_run(run, tied)
    assert run.read_text() == run_of(q1=[901, 12, 11], q5=[51, 500])
    official = 0.26666666666666666  # (1/3 + 1) / 5
    for ranked in (tied, trec.read_run(run)):
        figures = evaluate(ranked, trec.read_qrels(qrels), "RR@10").aggregate
        assert figures["RR@10"] == pytest.approx(official) == (1 / 3 + 0 + 0 + 0 + 1) / 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # It warns "Cannot rank a passage multiple times", and prints 0.26666666666666666.
        (run_of(q1=[901, 901, 11], q5=[51]), "Document '901' of query '1' is again"),
        ("1\t901\t1\n1\t11\t1\n", "has the rank 1 where 2 is due"),  # it keeps the last one: 0.2
        ("1\t901\t1\n1\t11\t3\n", "has the rank 3 where 2 is due"),  # 0.06666666666666667
    ],
    ids=["duplicate", "rank twice", "gap"],
)
def test_what_it_warns_of_or_takes_as_it_is_written_is_an_error(files, text, message):
    files[1].write_text(text)
    with pytest.raises(ValueError, match=message):
        trec.read_run(files[1])


@pytest.mark.parametrize("text", ["", run_of(q9=[901])], ids=["empty", "no query of the qrels"])
def test_run_without_a_query_of_the_qrels_is_an_error(files, text):
    """The script stops with "No matching QIDs found"."""
    qrels, run = files
    run.write_text(text)
    with pytest.raises(ValueError, match="expected some of the qrels' queries '1', '2', '3'"):
        evaluate(trec.read_run(run), trec.read_qrels(qrels), "RR@10")


def test_judged_grade_0_is_not_relevant(files):
    """The script takes every line of the qrels as relevant, and prints 1.0. MS MARCO has no 0."""
    figures = evaluate({"1": {"11": 2.0, "12": 1.0}}, {"1": {"11": 0, "12": 1}}, "RR@10")
    assert figures.aggregate["RR@10"] == 1 / 2


DL = {"q1": {"a": 3, "b": 1, "c": 0}, "q2": {"a": 1}, "q3": {"b": 2, "d": 2}}
DL_RUN = {"q1": {"b": 3.0, "x": 2.0, "a": 1.0}, "q2": {"a": 1.0}, "q3": {"x": 2.0, "d": 1.0}}


def test_dl_figures_are_those_of_trec_eval_and_ir_measures_with_relevance_from_2():
    got = evaluate(DL_RUN, DL, "nDCG@10 RR(rel=2) AP(rel=2) Judged@10").aggregate
    assert got["RR(rel=2)"] == pytest.approx((1 / 3 + 0 + 1 / 2) / 3)
    assert got["AP(rel=2)"] == pytest.approx((1 / 3 + 0 + 1 / 2 / 2) / 3)
    assert got["Judged@10"] == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    graded = pytrec_eval.RelevanceEvaluator(DL, {"ndcg_cut_10"})
    binary = pytrec_eval.RelevanceEvaluator(DL, {"recip_rank", "map"}, relevance_level=2)
    for evaluator, names in (
        (graded, {"ndcg_cut_10": "nDCG@10"}),
        (binary, {"recip_rank": "RR(rel=2)", "map": "AP(rel=2)"}),
    ):
        figures = evaluator.evaluate(DL_RUN)
        for theirs, ours in names.items():
            assert got[ours] == pytest.approx(sum(q[theirs] for q in figures.values()) / 3)
    measures = [ir_measures.parse_measure(name) for name in got]
    theirs = ir_measures.calc_aggregate(measures, DL, DL_RUN)
    assert got == pytest.approx({str(measure): value for measure, value in theirs.items()})
