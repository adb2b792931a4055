from math import exp, log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from t5rank.losses import softmax_loss


def test_value_is_the_cross_entropy():
    scores, labels = jnp.array([1.0, 3.0, 2.0]), jnp.array([0.0, 1.0, 0.0])
    expected = -log(exp(3) / (exp(1) + exp(3) + exp(2)))
    assert softmax_loss(scores, labels) == pytest.approx(expected)


def test_labels_are_not_normalized():
    scores, labels = jnp.array([1.0, 3.0]), jnp.array([2.0, 1.0])
    total = exp(1) + exp(3)
    expected = -2 * log(exp(1) / total) - log(exp(3) / total)
    assert softmax_loss(scores, labels) == pytest.approx(expected)


def test_weights_multiply_the_labels():
    scores, labels = jnp.array([1.0, 3.0]), jnp.array([1.0, 1.0])
    total = exp(1) + exp(3)
    expected = -0.5 * log(exp(1) / total) - 2 * log(exp(3) / total)
    assert softmax_loss(scores, labels, weights=jnp.array([0.5, 2.0])) == pytest.approx(expected)


def test_masked_document_is_not_in_the_sum():
    scores, labels = jnp.array([1.0, 3.0, 2.0]), jnp.array([0.0, 1.0, 0.0])
    where = jnp.array([True, True, False])
    expected = -log(exp(3) / (exp(1) + exp(3)))
    assert softmax_loss(scores, labels, where=where) == pytest.approx(expected)


def test_mean_is_over_lists_that_hold_a_document():
    scores = jnp.array([[1.0, 3.0], [0.0, 0.0], [7.0, 8.0]])
    labels = jnp.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    where = jnp.array([[True, True], [True, True], [False, False]])
    expected = (-log(exp(3) / (exp(1) + exp(3))) + log(2)) / 2
    assert softmax_loss(scores, labels, where=where) == pytest.approx(expected)


def test_list_without_a_relevant_document_is_zero_and_counts():
    scores, labels = jnp.array([[1.0, 3.0], [0.0, 0.0]]), jnp.array([[0.0, 0.0], [1.0, 0.0]])
    assert softmax_loss(scores, labels) == pytest.approx((0 + log(2)) / 2)


def test_list_without_a_relevant_document_has_no_gradient():
    gradient = jax.grad(softmax_loss)(jnp.array([1.0, 3.0]), jnp.array([0.0, 0.0]))
    assert gradient.tolist() == [0.0, 0.0]


def test_gradient_is_softmax_minus_label():
    scores, labels = jnp.array([1.0, 3.0]), jnp.array([1.0, 0.0])
    total = exp(1) + exp(3)
    expected = [exp(1) / total - 1, exp(3) / total]
    np.testing.assert_allclose(jax.grad(softmax_loss)(scores, labels), expected, rtol=1e-6)


def test_gradient_is_the_slope_in_float64():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(3, 5)) * 3, rng.uniform(size=(3, 5))
    gradient = jax.grad(softmax_loss)(jnp.asarray(scores), jnp.asarray(labels))
    for place in np.ndindex(3, 5):
        step = np.zeros((3, 5))
        step[place] = 1e-6
        up, down = (
            np.mean(-np.sum(labels * log_softmax(s, axis=-1), axis=-1))
            for s in (scores + step, scores - step)
        )
        assert gradient[place] == pytest.approx((up - down) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("score", [1e30, -1e30, 3e38])
def test_extreme_score_of_the_relevant_document(score):
    loss = softmax_loss(jnp.array([score, 0.0]), jnp.array([1.0, 0.0]))
    assert loss == pytest.approx(max(0.0, -score))


def test_same_constant_on_all_scores_changes_nothing():
    scores, labels = jnp.array([1.0, 3.0, 2.0]), jnp.array([0.0, 1.0, 0.0])
    assert softmax_loss(scores + 1000.0, labels) == softmax_loss(scores, labels)


def test_one_document_alone_has_no_loss():
    assert softmax_loss(jnp.array([5.0]), jnp.array([1.0])) == 0.0


def test_list_of_minus_infinities_without_relevance_has_no_loss_and_no_gradient():
    scores, labels = jnp.array([-jnp.inf, -jnp.inf]), jnp.array([0.0, 0.0])
    loss, gradient = jax.value_and_grad(softmax_loss)(scores, labels)
    assert (loss, gradient.tolist()) == (0.0, [0.0, 0.0])
