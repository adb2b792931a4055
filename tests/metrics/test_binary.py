import numpy as np
import pytest

from t5rank.metrics import ap_metric, mrr_metric, precision_metric, recall_metric

SCORES, LABELS = np.array([5.0, 4.0, 3.0, 2.0, 1.0]), np.array([1, 0, 1, 0, 1])
INF = float("inf")


def test_precision_and_recall():
    assert precision_metric(SCORES, LABELS, topn=3) == pytest.approx(2 / 3)
    assert recall_metric(SCORES, LABELS, topn=3) == pytest.approx(2 / 3)
    assert precision_metric(SCORES, LABELS) == pytest.approx(3 / 5)
    assert recall_metric(SCORES, LABELS) == 1.0


def test_denominator_of_precision():
    assert precision_metric(SCORES, LABELS, topn=10) == pytest.approx(3 / 5)
    assert precision_metric(SCORES, LABELS, topn=10, denominator="topn") == pytest.approx(3 / 10)
    scores = np.array([5.0, 4.0, -INF, -INF, -INF])
    assert precision_metric(scores, LABELS, topn=4) == 1 / 2
    assert precision_metric(scores, LABELS, topn=4, denominator="topn") == 1 / 4


def test_capped_denominator_lets_a_cut_list_reach_one():
    assert recall_metric(LABELS, LABELS, topn=2) == pytest.approx(2 / 3)
    assert recall_metric(LABELS, LABELS, topn=2, denominator="capped") == 1.0
    assert recall_metric(SCORES, LABELS, topn=4, denominator="capped") == pytest.approx(2 / 3)
    assert ap_metric(LABELS, LABELS, topn=2) == pytest.approx(2 / 3)
    assert ap_metric(LABELS, LABELS, topn=2, denominator="capped") == 1.0


def test_average_precision():
    assert ap_metric(SCORES, LABELS) == pytest.approx((1 / 1 + 2 / 3 + 3 / 5) / 3)
    assert ap_metric(SCORES, LABELS, topn=3) == pytest.approx((1 / 1 + 2 / 3) / 3)


def test_average_precision_of_one_relevant_document_is_its_reciprocal_rank():
    labels = np.eye(5)
    scores = np.tile(SCORES, (5, 1))
    ap = ap_metric(scores, labels, reduce_fn=None)
    np.testing.assert_array_equal(ap, mrr_metric(scores, labels, reduce_fn=None))


def test_weights_of_relevant_documents():
    weights = np.array([2.0, 9.0, 1.0, 9.0, 1.0])
    assert precision_metric(SCORES, LABELS, topn=3, weights=weights) == pytest.approx(3 / 3)
    assert recall_metric(SCORES, LABELS, topn=3, weights=weights) == pytest.approx(3 / 4)
    expected = (2 * 1 / 1 + 1 * 2 / 3 + 1 * 3 / 5) / 4
    assert ap_metric(SCORES, LABELS, weights=weights) == pytest.approx(expected)
    capped = recall_metric(SCORES, LABELS, topn=1, weights=weights, denominator="capped")
    assert capped == 1.0
