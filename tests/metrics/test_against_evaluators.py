"""Metrics equal trec_eval's on runs with ties, graded judgments and missing judged documents."""

import functools
import shutil

import numpy as np
import pytest

from t5rank import metrics
from t5rank.metrics.gains import linear_gain

INF = float("inf")
OF_TREC_EVAL = {
    "ndcg": functools.partial(metrics.ndcg_metric, gain_fn=linear_gain),
    "map": metrics.ap_metric,
    "recip_rank": metrics.mrr_metric,
    "bpref": metrics.bpref_metric,
    "ndcg_cut": functools.partial(metrics.ndcg_metric, gain_fn=linear_gain),
    "map_cut": metrics.ap_metric,
    "P": functools.partial(metrics.precision_metric, denominator="topn"),
    "recall": metrics.recall_metric,
    "success": metrics.hits_metric,
}
CUT = ("ndcg_cut", "map_cut", "P", "recall", "success")


def run_and_qrels(seed, threshold):
    """A run with ties, and qrels. Some judged documents are missing, others are not judged."""
    rng = np.random.default_rng(seed)
    names = [f"d{i:02}" for i in rng.permutation(30)]
    labels = rng.choice([-1, 0, 1, 2, 3], 30, p=[0.3, 0.3, 0.2, 0.1, 0.1])
    labels[0] = threshold
    retrieved = rng.uniform(size=30) < 0.7
    scores = np.where(retrieved, rng.integers(0, 12, 30) / 4, -INF)
    run = {n: float(s) for n, s in zip(names, scores, strict=True) if s > -INF}
    qrels = {n: int(y) for n, y in zip(names, labels, strict=True) if y >= 0}
    # trec_eval puts tied documents in descending order of their names.
    order = np.argsort(names)[::-1]
    return scores[order], labels[order], run, qrels


@pytest.mark.parametrize("threshold", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_equals_trec_eval(seed, threshold):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    scores, labels, run, qrels = run_and_qrels(seed, threshold)
    measures = {name + (".1,5,20" if name in CUT else "") for name in OF_TREC_EVAL}
    evaluator = pytrec_eval.RelevanceEvaluator({"q": qrels}, measures, relevance_level=threshold)
    expected = evaluator.evaluate({"q": run})["q"]
    for name, value in expected.items():
        base, _, topn = name.rpartition("_") if name[-1].isdigit() else (name, "", "")
        kwargs = {"topn": int(topn)} if topn else {}
        if not base.startswith("ndcg"):
            kwargs["threshold"] = threshold
        ours = OF_TREC_EVAL[base](scores, labels, **kwargs)
        assert ours == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("seed", range(2))
def test_err_equals_gdeval(seed):
    measures = pytest.importorskip("ir_measures")
    if not shutil.which("perl"):
        pytest.skip("ir_measures runs gdeval with perl")
    scores, labels, _, _ = run_and_qrels(seed, 1)
    scores = np.where(scores > -INF, np.arange(30) / 10, -INF)  # gdeval orders ties differently
    names = [f"d{i:02}" for i in range(30)]
    run = [measures.ScoredDoc("1", n, s) for n, s in zip(names, scores, strict=True) if s > -INF]
    qrels = [measures.Qrel("1", n, max(int(y), 0)) for n, y in zip(names, labels, strict=True)]
    for topn in (5, 20):
        expected = measures.calc_aggregate([measures.ERR @ topn], qrels, run)[measures.ERR @ topn]
        ours = metrics.err_metric(scores, labels, topn=topn)
        assert ours == pytest.approx(expected, abs=1e-5)  # it prints five digits
