from math import log2

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t5rank.metrics import mrr_metric, ndcg_metric

# By score the labels read 2, 0, 1.
SCORES, LABELS = jnp.array([1.0, 3.0, 2.0]), jnp.array([1.0, 2.0, 0.0])
DCG = (2**2 - 1) / log2(2) + (2**0 - 1) / log2(3) + (2**1 - 1) / log2(4)
IDEAL_DCG = (2**2 - 1) / log2(2) + (2**1 - 1) / log2(3)


def linear(label):
    return label


def test_ndcg_of_three_documents():
    assert ndcg_metric(SCORES, LABELS) == pytest.approx(DCG / IDEAL_DCG)


def test_ndcg_with_linear_gain():
    expected = (2 / log2(2) + 1 / log2(4)) / (2 / log2(2) + 1 / log2(3))
    assert ndcg_metric(SCORES, LABELS, gain_fn=linear) == pytest.approx(expected)


def test_ndcg_with_another_discount():
    expected = (3 / 1 + 1 / 3) / (3 / 1 + 1 / 2)
    ndcg = ndcg_metric(SCORES, LABELS, discount_fn=lambda rank: 1 / rank)
    assert ndcg == pytest.approx(expected)


def test_ndcg_cuts_the_ideal_list_too():
    expected = (3 / log2(2)) / (3 / log2(2) + 1 / log2(3))
    assert ndcg_metric(SCORES, LABELS, topn=2) == pytest.approx(expected)


def test_ndcg_weights_multiply_gains_also_of_the_ideal_list():
    weights = jnp.array([5.0, 1.0, 1.0])
    expected = (3 / log2(2) + 5 / log2(4)) / (5 / log2(2) + 3 / log2(3))
    assert ndcg_metric(SCORES, LABELS, weights=weights) == pytest.approx(expected)


def test_ndcg_of_the_ideal_order_is_one():
    assert ndcg_metric(LABELS, LABELS) == 1.0


def test_mrr_is_the_reciprocal_rank_of_the_first_relevant_document():
    mrr = mrr_metric(jnp.array([4.0, 3.0, 2.0, 1.0]), jnp.array([0, 0, 1, 1]))
    assert mrr == pytest.approx(1 / 3)


def test_mrr_counts_labels_of_one_and_above_as_relevant():
    assert mrr_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([0.9, 1.0, 3.0])) == 1 / 2


def test_mrr_weights_multiply_the_reciprocal_rank():
    weights = jnp.array([1.0, 0.5, 1.0])
    mrr = mrr_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([0, 1, 0]), weights=weights)
    assert mrr == 0.5 / 2


METRICS = pytest.mark.parametrize("metric", [mrr_metric, ndcg_metric])


@METRICS
def test_relevant_document_after_topn_does_not_count(metric):
    scores, labels = jnp.array([3.0, 2.0, 1.0]), jnp.array([0, 0, 1])
    assert metric(scores, labels, topn=2) == 0.0
    assert metric(scores, labels, topn=3) > 0.0


@METRICS
def test_topn_beyond_the_list_is_the_whole_list(metric):
    assert metric(SCORES, LABELS, topn=100) == metric(SCORES, LABELS)


@METRICS
@pytest.mark.parametrize("topn", [0, -1])
def test_topn_below_one_is_an_error(metric, topn):
    with pytest.raises(ValueError, match=f"'topn' has {topn}; expected None or a number of at"):
        metric(SCORES, LABELS, topn=topn)


@METRICS
def test_list_without_a_relevant_document_is_zero_and_counts(metric):
    scores, labels = jnp.array([[2.0, 1.0], [2.0, 1.0]]), jnp.array([[0, 0], [1, 0]])
    assert metric(scores, labels) == (0.0 + 1.0) / 2


@METRICS
def test_list_without_a_document_does_not_count(metric):
    scores, labels = jnp.array([[2.0, 1.0], [2.0, 1.0]]), jnp.array([[1, 0], [1, 0]])
    where = jnp.array([[True, True], [False, False]])
    assert metric(scores, labels, where=where) == 1.0


@METRICS
def test_key_breaks_ties_at_random(metric):
    scores, labels = jnp.zeros((1000, 2)), jnp.tile(jnp.array([1, 0]), (1000, 1))
    assert metric(scores, labels) == 1.0
    values = metric(scores, labels, key=jax.random.key(0), reduce_fn=None)
    second = 1 / 2 if metric is mrr_metric else 1 / log2(3)
    first_share = float(jnp.mean(values == 1.0))
    assert set(np.unique(values)) == {np.float32(second), 1.0}
    assert abs(first_share - 0.5) < 0.08  # 5 standard deviations


@st.composite
def documents(draw):
    size = draw(st.sampled_from([1, 4, 12]))  # every size is compiled
    scores = draw(st.permutations(range(size)))  # tie-free
    labels = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    return np.array(scores, np.float32), np.array(labels)


@settings(max_examples=40, deadline=None)
@given(documents(), st.sampled_from([1, 5]))
def test_equals_trec_eval(lists, topn):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    scores, labels = lists
    names = [f"d{i}" for i in range(len(scores))]
    qrels = {"q": dict(zip(names, labels.tolist(), strict=True))}
    run = {"q": dict(zip(names, map(float, scores), strict=True))}
    measures = {f"ndcg_cut.{topn}", "ndcg", "recip_rank"}
    expected = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)["q"]
    ours = {
        f"ndcg_cut_{topn}": ndcg_metric(scores, labels, gain_fn=linear, topn=topn),
        "ndcg": ndcg_metric(scores, labels, gain_fn=linear),
        "recip_rank": mrr_metric(scores, labels),
    }
    assert {k: float(v) for k, v in ours.items()} == pytest.approx(expected, abs=1e-6)
