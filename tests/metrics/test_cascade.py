import numpy as np
import pytest

from t5rank.metrics import err_metric, hits_metric, mrr_metric

SCORES = np.array([4.0, 3.0, 2.0, 1.0])


def test_mrr_is_the_reciprocal_rank_of_the_first_relevant_document():
    assert mrr_metric(SCORES, np.array([0, 0, 1, 1])) == pytest.approx(1 / 3)
    assert mrr_metric(SCORES, np.array([0, 0, 1, 1]), topn=2) == 0.0


def test_mrr_weights_multiply_the_reciprocal_rank():
    assert mrr_metric(SCORES, np.array([0, 1, 0, 0]), weights=np.full(4, 0.5)) == 0.5 / 2


@pytest.mark.parametrize(("topn", "expected"), [(None, 1.0), (3, 1.0), (2, 0.0)])
def test_hits(topn, expected):
    assert hits_metric(SCORES, np.array([0, 0, 1, 1]), topn=topn) == expected


def test_err_of_graded_labels():
    p = [(2**y - 1) / 2**4 for y in (0, 2, 4, 1)]
    expected = p[1] / 2 + (1 - p[1]) * p[2] / 3 + (1 - p[1]) * (1 - p[2]) * p[3] / 4
    assert err_metric(SCORES, np.array([0, 2, 4, 1])) == pytest.approx(expected)
    assert err_metric(SCORES, np.array([0, 2, 4, 1]), topn=2) == pytest.approx(p[1] / 2)


def test_err_stops_at_a_document_that_satisfies_always():
    labels = np.array([0, 200, 200, 1])
    assert err_metric(SCORES, labels) == 1 / 2
