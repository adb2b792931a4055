from math import exp, log, log1p

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from t5rank.losses import log_probability_loss, sigmoid_loss


def test_value_is_the_cross_entropy_of_each_document():
    scores, labels = jnp.array([2.0, -1.0]), jnp.array([1.0, 0.0])
    expected = [log(1 + exp(-2)), log(1 + exp(-1))]
    values = sigmoid_loss(scores, labels, reduce_fn=None)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_label_between_zero_and_one_is_a_probability():
    expected = 0.3 * log(1 + exp(-2)) + 0.7 * log(1 + exp(2))
    assert sigmoid_loss(jnp.array([2.0]), jnp.array([0.3])) == pytest.approx(expected)


@pytest.mark.parametrize(("label", "clipped"), [(3.0, 1.0), (-2.0, 0.0)])
def test_label_outside_is_clipped(label, clipped):
    scores = jnp.array([0.5])
    assert sigmoid_loss(scores, jnp.array([label])) == sigmoid_loss(scores, jnp.array([clipped]))


def test_mean_is_over_real_documents_of_all_lists():
    scores = jnp.array([[0.0, 2.0], [1.0, 5.0]])
    labels = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    where = jnp.array([[True, True], [True, False]])
    expected = (log(2) + log(1 + exp(2)) + log(1 + exp(1))) / 3
    assert sigmoid_loss(scores, labels, where=where) == pytest.approx(expected)


def test_weights_multiply_each_documents_loss():
    scores, labels = jnp.array([0.0, 2.0]), jnp.array([1.0, 0.0])
    expected = [0.5 * log(2), 3 * log(1 + exp(2))]
    values = sigmoid_loss(scores, labels, weights=jnp.array([0.5, 3.0]), reduce_fn=None)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize(("score", "label"), [(17.0, 1), (-17.0, 0), (60.0, 1), (-60.0, 0)])
def test_small_loss_does_not_round_to_zero(score, label):
    expected = log1p(exp(-abs(score)))  # 4.1e-8 at 17
    loss = sigmoid_loss(jnp.array([score]), jnp.array([label]))
    assert loss == pytest.approx(expected, rel=1e-5, abs=0)


def test_small_loss_of_a_bfloat16_score_does_not_round_to_zero():
    loss = sigmoid_loss(jnp.array([10.0], jnp.bfloat16), jnp.array([1]))
    assert loss == pytest.approx(log1p(exp(-10)), rel=1e-5)  # 4.5e-5


@pytest.mark.parametrize("score", [1e30, 3e38, float("inf")])
@pytest.mark.parametrize(("loss_fn", "slope"), [(sigmoid_loss, 0.0), (log_probability_loss, -0.5)])
def test_certain_and_right_is_free(loss_fn, slope, score):
    best = score if loss_fn is sigmoid_loss else 0.0  # a log probability is at most 0
    scores, labels = jnp.array([best, -score]), jnp.array([3e38, 0.0])
    loss, gradient = jax.value_and_grad(loss_fn)(scores, labels)
    assert (loss, gradient.tolist()) == (0.0, [slope, 0.0])


def test_list_without_a_relevant_document_has_a_gradient():
    gradient = jax.grad(sigmoid_loss)(jnp.array([0.0, 0.0]), jnp.array([0.0, 0.0]))
    assert gradient.tolist() == [0.5 / 2, 0.5 / 2]


@pytest.mark.parametrize(("label", "expected"), [(1.0, -0.5), (0.0, 0.5), (0.5, 0.0)])
def test_gradient_at_zero_is_sigmoid_minus_label(label, expected):
    assert jax.grad(sigmoid_loss)(jnp.array([0.0]), jnp.array([label])).tolist() == [expected]


def test_gradient_is_the_slope_in_float64():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(3, 5)) * 3, rng.uniform(size=(3, 5))
    gradient = jax.grad(sigmoid_loss)(jnp.asarray(scores), jnp.asarray(labels))

    def loss(s):
        return np.mean(labels * np.log1p(np.exp(-s)) + (1 - labels) * np.log1p(np.exp(s)))

    for place in np.ndindex(3, 5):
        step = np.zeros((3, 5))
        step[place] = 1e-6
        slope = (loss(scores + step) - loss(scores - step)) / 2e-6
        assert gradient[place] == pytest.approx(slope, abs=1e-6)


def test_log_probability_loss_of_monot5s_score_is_torchs_cross_entropy_of_true_and_false():
    logits = np.array([[2.0, -1.0], [0.5, 0.7], [-3.0, 4.0], [30.0, 0.0]], np.float32)
    labels = np.array([1, 0, 1, 0])

    def loss(logits):
        scores = jax.nn.log_softmax(logits)[:, 0]
        return log_probability_loss(scores, labels, reduce_fn=None)

    theirs = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(theirs, torch.tensor(1 - labels), reduction="none")
    # The last score rounds to a certain "true", whose cost float32 cannot tell.
    np.testing.assert_allclose(loss(logits)[:3], expected.detach()[:3], rtol=1e-6)
    assert 15 < float(loss(logits)[3]) < 30
    expected.sum().backward()
    gradient = jax.grad(lambda x: loss(x).sum())(logits)
    np.testing.assert_allclose(gradient[:3], theirs.grad[:3], rtol=1e-5)
    assert np.isfinite(gradient).all()
