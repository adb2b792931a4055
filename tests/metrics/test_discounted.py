from math import log2

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank.metrics import arp_metric, dcg_metric, ndcg_metric
from t5rank.metrics.gains import linear_gain

# By score the labels read 2, 0, 1.
SCORES, LABELS = jnp.array([1.0, 3.0, 2.0]), jnp.array([1.0, 2.0, 0.0])
DCG = (2**2 - 1) / log2(2) + (2**0 - 1) / log2(3) + (2**1 - 1) / log2(4)
IDEAL_DCG = (2**2 - 1) / log2(2) + (2**1 - 1) / log2(3)


def test_dcg_and_ndcg_of_three_documents():
    assert dcg_metric(SCORES, LABELS) == pytest.approx(DCG)
    assert ndcg_metric(SCORES, LABELS) == pytest.approx(DCG / IDEAL_DCG)


def test_linear_gain():
    dcg, ideal = 2 / log2(2) + 1 / log2(4), 2 / log2(2) + 1 / log2(3)
    assert dcg_metric(SCORES, LABELS, gain_fn=linear_gain) == pytest.approx(dcg)
    assert ndcg_metric(SCORES, LABELS, gain_fn=linear_gain) == pytest.approx(dcg / ideal)


def test_another_discount():
    expected = (3 / 1 + 1 / 3) / (3 / 1 + 1 / 2)
    ndcg = ndcg_metric(SCORES, LABELS, discount_fn=lambda rank: 1 / rank)
    assert ndcg == pytest.approx(expected)


def test_cut_is_also_that_of_the_ideal_list():
    expected = (3 / log2(2)) / (3 / log2(2) + 1 / log2(3))
    assert dcg_metric(SCORES, LABELS, topn=2) == pytest.approx(3 / log2(2))
    assert ndcg_metric(SCORES, LABELS, topn=2) == pytest.approx(expected)


def test_weights_multiply_gains_also_of_the_ideal_list():
    weights = jnp.array([5.0, 1.0, 1.0])
    dcg, ideal = 3 / log2(2) + 5 / log2(4), 5 / log2(2) + 3 / log2(3)
    assert dcg_metric(SCORES, LABELS, weights=weights) == pytest.approx(dcg)
    assert ndcg_metric(SCORES, LABELS, weights=weights) == pytest.approx(dcg / ideal)


def test_ideal_order_is_one():
    assert ndcg_metric(LABELS, LABELS) == 1.0


@pytest.mark.parametrize("topn", [None, 1, 2])
def test_large_labels_do_not_overflow(topn):
    small, large = jnp.array([50.0, 0.0, 49.0]), jnp.array([200.0, 0.0, 199.0])
    expected = ndcg_metric(SCORES, small, topn=topn)
    assert ndcg_metric(SCORES, large, topn=topn) == pytest.approx(float(expected))


def test_large_label_of_one_list_leaves_others_alone():
    scores, labels = jnp.stack([SCORES, SCORES]), jnp.stack([LABELS, LABELS * 100])
    assert ndcg_metric(scores, labels, reduce_fn=None)[0] == ndcg_metric(SCORES, LABELS)


def test_ndcg_with_average_ties_is_that_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 4, (20, 9)), rng.integers(0, 4, (20, 9))
    labels[:, 0] = 1
    for topn in (None, 3):
        expected = sklearn.ndcg_score(labels, scores, k=topn)
        ours = ndcg_metric(scores, labels, topn=topn, ties="average", gain_fn=linear_gain)
        assert ours == pytest.approx(expected, rel=1e-5)


def test_arp_is_the_mean_rank_by_relevance():
    assert arp_metric(SCORES, LABELS) == pytest.approx((2 * 1 + 1 * 3) / 3)
    weights = jnp.array([4.0, 1.0, 1.0])
    assert arp_metric(SCORES, LABELS, weights=weights) == pytest.approx((2 * 1 + 4 * 3) / 6)


def test_arp_with_topn_is_that_of_the_first_documents():
    scores, labels = np.array([4.0, 3.0, 2.0, 1.0]), np.array([1.0, 0.0, 2.0, 5.0])
    assert arp_metric(scores, labels, topn=3) == pytest.approx((1 * 1 + 2 * 3) / 3)
    assert arp_metric(scores, np.array([0.0, 0.0, 0.0, 1.0]), topn=3, empty=1) == 1.0


def test_exact_metrics_have_no_gradient():
    assert not np.any(jax.grad(ndcg_metric)(SCORES, LABELS))
