"""Inputs that ir_measures' libraries cannot take: large grades, odd ids, meaningless parameters."""

import functools
import math

import ir_measures
import numpy as np
import pytest
import pytrec_eval

from t5rank import cli
from t5rank.evaluation import figures
from t5rank.evaluation.measures import evaluate, evaluate_runs, parse_measures

RUN = {"q": {"d1": 9.0, "d2": 8.0}}
BINARY = "RR RR@1 AP AP@5 P@2 R@2 Rprec Bpref Success@2 NumRet NumRel SetP SetAP infAP IPrec@0.1"
EXPONENTIAL = "nDCG(dcg='exp-log2')@10"


@pytest.mark.parametrize("grade", [1, 10, 31, 32, 61, 64, 1000, 2**31, 2**63, 10**20])
def test_ndcg_of_one_relevant_document_is_its_discount(grade):
    measures = f"nDCG@10 nDCG {EXPONENTIAL} nDCG(gains={{{grade}:{grade}}})@5"
    result = evaluate(RUN, {"q": {"d2": grade}}, measures)
    assert list(result.aggregate.values()) == pytest.approx([1 / math.log2(3)] * 4)


@pytest.mark.parametrize("grade", [32, 64, 10**20])
def test_exponential_gains_of_neighbouring_grades_are_as_two_to_one(grade):
    result = evaluate(RUN, {"q": {"d1": grade - 1, "d2": grade}}, EXPONENTIAL)
    expected = (0.5 + 1 / math.log2(3)) / (1 + 0.5 / math.log2(3))
    assert result.aggregate[EXPONENTIAL] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("grade", [2, 1000, 2**31, 2**62, 10**20])
def test_only_whether_a_large_grade_is_relevant_counts_for_other_measures(grade):
    ours = evaluate(RUN, {"q": {"d2": grade, "d3": 0}}, BINARY)
    assert ours.aggregate == evaluate(RUN, {"q": {"d2": 1, "d3": 0}}, BINARY).aggregate


def random_set(seed):
    rng = np.random.default_rng(seed)
    docs = [f"d{n}" for n in range(12)]
    run = {f"q{q}": dict(zip(docs[:9], rng.permutation(9) + 0.5, strict=True)) for q in range(4)}
    qrels = {
        f"q{q}": {doc: int(rng.integers(-2, 5)) for doc in rng.choice(docs, 8, replace=False)}
        for q in range(4)
    }
    return run, qrels


MEASURES = BINARY + (
    " nDCG nDCG@3 nDCG(gains={1:7,2:3})@5 nDCG(judged_only=True)@3 AP(rel=3) P(rel=2)@3 RR(rel=2)@2"
    " Bpref(rel=2) SetF(beta=2.) P(judged_only=True)@3 NumRet(rel=2) Judged@5 Accuracy(rel=2)@5"
    " Compat(p=0.9) NumQ"
)


@pytest.mark.parametrize("measure", MEASURES.split())
def test_figures_are_those_of_ir_measures(measure):
    (parsed,) = parse_measures(measure)
    for seed in range(3):
        run, qrels = random_set(seed)
        expected = ir_measures.calc([parsed], qrels, run).per_query
        ours = evaluate(run, qrels, measure).per_query[str(parsed)]
        # Accuracy gives none for queries of which no relevant document was found.
        expected = {each.query_id: each.value for each in expected}
        assert ours == pytest.approx(dict.fromkeys(qrels, 0.0) | expected)


@pytest.mark.parametrize("measure", ["nDCG", "nDCG@3", "nDCG(judged_only=True)@3"])
def test_ndcg_of_large_gains_is_by_the_formula_of_trec_eval(measure, monkeypatch):
    for seed in range(3):
        run, qrels = random_set(seed)
        expected = evaluate(run, qrels, measure).per_query[measure]
        with monkeypatch.context() as patch:
            patch.setattr(figures, "_LARGEST_GAIN", 0)
            ours = evaluate(run, qrels, measure).per_query[measure]
        assert ours == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("relevant", [0, -1, 10**12])
def test_any_grade_may_be_the_smallest_relevant_one(relevant):
    (parsed,) = parse_measures("AP(rel=1)")
    measure = type(parsed)(rel=relevant)
    qrels = {"q": {"d1": relevant - 1, "d2": relevant}}
    assert figures.figures(measure, qrels, {"q": ["d1", "d2"]}) == {"q": 1 / 2}


@pytest.mark.parametrize("grade", [1.5, "1", None, math.nan])
def test_relevance_that_is_no_integer_is_an_error(grade):
    with pytest.raises(ValueError, match=r"Document 'd2' of query 'q' has the relevance .*; exp"):
        evaluate(RUN, {"q": {"d2": grade}})


def test_relevance_may_be_of_numpy_or_a_bool():
    for grade in (np.int64(1), True):
        assert evaluate(RUN, {"q": {"d2": grade}}, "RR").aggregate["RR"] == 0.5


def test_grades_that_gdeval_refuses_are_an_error():
    with pytest.raises(
        ValueError, match=r"Measure 'ERR@5' has the relevance 5 to score; expected at mo"
    ):
        evaluate(RUN, {"q": {"d2": 5}}, "ERR@5")


@pytest.mark.parametrize(
    "measure",
    [
        "nDCG@0",
        "nDCG@-1",
        "P@0",
        "R@0",
        "RR@0",
        "AP@0",
        "Judged@0",
        "ERR@0",
        "Accuracy@0",
        "Success@0",
        "nDCG@1.5",
        "P@99999999999999999999999",
        "nDCG@True",
        "IPrec@0.123",
        "IPrec@5.0",
        "Compat(p=2.0)",
        "AP(rel=-1)",
        "SetF(beta=1e300)",
        "nDCG(gains={1:2.5})@5",
        "AP(rel=True)",
    ],
)
def test_parameter_without_meaning_is_an_error_that_names_the_measure(measure):
    with pytest.raises(ValueError) as caught:
        parse_measures(measure)
    assert f"'{measure}' (" in str(caught.value)


@pytest.mark.parametrize("ids", [("", " "), ("a b", "a\tb"), ("d\0a", "d\0b"), ("\ud800", "é")])
def test_ids_are_any_strings(ids):
    first, second = ids
    run = {first: {first: 2.0, second: 1.0}}
    result = evaluate(run, {first: {second: 1}}, "RR nDCG AP Judged@1")
    assert list(result.aggregate.values()) == pytest.approx([1 / 2, 1 / math.log2(3), 1 / 2, 0])


# As BEIR's `EvaluateRetrieval.evaluate`: pytrec_eval on the run without those documents.
IDENTICAL = {"q1": {"q1": 3.0, "d2": 2.0, "q2": 1.0}, "q2": {"q2": 1.0}}
IDENTICAL_QRELS = {"q1": {"d2": 1, "q1": 1}, "q2": {"d1": 1}}


def test_documents_with_the_id_of_their_query_are_left_out_as_by_beir():
    popped = {q: {d: s for d, s in docs.items() if d != q} for q, docs in IDENTICAL.items()}
    oracle = pytrec_eval.RelevanceEvaluator(IDENTICAL_QRELS, {"ndcg_cut.10", "recall.100"})
    expected = oracle.evaluate(popped)["q1"]
    result = evaluate(IDENTICAL, IDENTICAL_QRELS, "nDCG@10 R@100", ignore_identical_ids=True)
    assert result.per_query["nDCG@10"]["q1"] == pytest.approx(expected["ndcg_cut_10"])
    assert result.per_query["R@100"]["q1"] == pytest.approx(expected["recall_100"])
    assert (result.identical_ids, result.missing_queries) == (2, 1)


def test_documents_with_the_id_of_their_query_count_by_default():
    assert evaluate(IDENTICAL, IDENTICAL_QRELS, "RR").per_query["RR"]["q1"] == 1.0


def test_runs_by_name_leave_them_out_too():
    ignoring = functools.partial(evaluate_runs, measures="RR", ignore_identical_ids=True)
    assert ignoring({"a": IDENTICAL}, {"q1": {"d2": 1}})["a"].aggregate["RR"] == 1.0


@pytest.mark.parametrize("option", ["--protocol=beir", "--ignore_identical_ids", "--protocol=dl"])
def test_command_leaves_them_out_for_beir(option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.qrels").write_text("q1 0 d2 1\n")
        (tmp_path / f"{name}.run").write_text("q1 Q0 q1 1 2 x\nq1 Q0 d2 2 1 x\n")
    arguments = ["evaluate", "--qrels={set}.qrels", "--run=a={set}.run", option]
    assert cli.main(arguments) == 0
    output = capsys.readouterr().out
    figure = f"{1 / math.log2(3):.4f}" if option == "--protocol=dl" else "1.0000"
    assert f"| average |         | {figure} |" in output
    left_out = "Set 'b': Run 'a' has 1 documents with the id of their query"
    assert (left_out in output) == (option != "--protocol=dl")


def test_command_refuses_a_foreign_run_and_names_its_set(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.qrels").write_text("q1 0 d2 1\n")
    (tmp_path / "a.run").write_text("x1 Q0 d2 2 1 x\n")
    assert cli.main(["evaluate", "--qrels={set}.qrels", "--run=bm25={set}.run"]) != 0
    assert "Set 'a': Run 'bm25': The run has the queries 'x1'" in capsys.readouterr().err


def test_command_warns_of_a_run_without_judged_documents(tmp_path, capsys):
    (tmp_path / "qrels").write_text("q1 0 d2 1\n")
    (tmp_path / "run").write_text("q1 Q0 x2 2 1 x\n")
    assert cli.main(["evaluate", f"--qrels={tmp_path}/qrels", f"--run=bm25={tmp_path}/run"]) == 0
    output = capsys.readouterr().out
    assert "WARNING: run 'bm25' has none of the documents that the qrels judge" in output
