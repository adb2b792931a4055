"""Adaptive margins and temperatures: by hand, by finite differences, and what they prevent."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import losses

MARGIN, SOFTMAX = losses.adaptive_margin_loss, losses.adaptive_softmax_loss
BOTH = pytest.mark.parametrize("loss", [MARGIN, SOFTMAX], ids=["margin", "softmax"])


def batch(seed=0, queries=4, documents=6):
    """Cosines of random unit vectors: query i's relevant document is document i."""
    rng = np.random.default_rng(seed)
    q, d = (rng.normal(size=(n, 3)) for n in (queries, documents))
    q, d = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, d))
    return [x.astype(np.float32) for x in (q @ d.T, d[:queries] @ d.T, np.eye(queries, documents))]


def relu(x):
    return max(x, 0.0)


# One query, its document v and two negatives, with scores at scale 2: s(q, .) = .6, .4, -.2;
# s(v, .) = 1, .8, .1.
SCORES, SIMILAR, LABELS = [[1.2, 0.8, -0.4]], [[1.0, 0.8, 0.1]], [[1, 0, 0]]


def test_margin_loss_by_hand():
    query = relu(0.5 * 0.2 + 0.01 - 0.6 + 0.4) + relu(0.5 * 0.9 + 0.01 - 0.6 - 0.2)
    document = relu(0.5 * 0.6 + 0.01 - 0.6 + 0.8) + relu(0.5 * 1.2 + 0.01 - 0.6 + 0.1)
    assert query == 0 and document == pytest.approx(0.62)
    found = MARGIN(
        jnp.array(SCORES), np.array(LABELS), positive_scores=np.array(SIMILAR), scale=2.0
    )
    assert found == pytest.approx(query + 0.05 * document, rel=1e-5)


def test_softmax_loss_by_hand():
    query = np.log(
        1 + np.exp((0.4 - 0.6) / (0.5 * 0.2 + 1 / 30)) + np.exp((-0.2 - 0.6) / (0.5 * 0.9 + 1 / 30))
    )
    document = np.log(
        1 + np.exp((0.8 - 0.6) / (0.5 * 0.6 + 1 / 30)) + np.exp((0.1 - 0.6) / (0.5 * 1.2 + 1 / 30))
    )
    found = SOFTMAX(
        jnp.array(SCORES), np.array(LABELS), positive_scores=np.array(SIMILAR), scale=2.0
    )
    assert found == pytest.approx(query + 0.05 * document, rel=1e-5)


FIXED = {"alpha": 0.0, "symmetric_weight": 0.0}


def test_softmax_without_alpha_is_the_fixed_softmax():
    scores, similar, labels = batch()
    where = np.random.default_rng(1).random(scores.shape) > 0.3
    call = functools.partial(SOFTMAX, labels=labels, positive_scores=similar, where=where, **FIXED)
    fixed = functools.partial(losses.softmax_loss, labels=labels, where=where)
    found = jax.jit(jax.value_and_grad(lambda s: call(s / 0.05, scale=20.0, temperature=0.05)))(
        scores
    )
    expected = jax.jit(jax.value_and_grad(lambda s: fixed(s / 0.05)))(scores)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6), found, expected
    )


def test_margin_without_alpha_is_the_fixed_hinge():
    scores, similar, labels = batch()
    found = MARGIN(jnp.asarray(scores), labels, positive_scores=similar, margin=0.5, **FIXED)
    of_ones = losses.pairwise_hinge_loss(jnp.asarray(scores) / 0.5, labels, reduce_fn=jnp.sum)
    assert found == pytest.approx(0.5 * float(of_ones) / len(scores), rel=1e-6)


@BOTH
def test_gradient_is_the_slope_with_margins_and_temperatures_held(loss):
    """A margin or temperature that is held is one of similarities that do not move."""
    scores, similar, labels = batch(2)
    step = np.random.default_rng(3).normal(size=(2, *scores.shape)).astype(np.float32)

    def value(s, v, hardness_s, hardness_v, side):
        # Of one side only, the other side's similarities give nothing but the hardness.
        if side == "query":
            return loss(
                s, labels, positive_scores=hardness_v, symmetric_weight=0.0, stop_gradient=False
            )
        swapped = jnp.where(labels > 0, s, v)  # v as the anchor: s(v, q) is its positive
        return loss(
            swapped, labels, positive_scores=hardness_s, symmetric_weight=0.0, stop_gradient=False
        )

    def held(h):
        s, v = scores + h * step[0], similar + h * step[1]
        of_query = value(s, v, scores, similar, "query")
        return float(of_query + 0.7 * value(s, v, scores, similar, "document"))

    def stopped(h):
        s, v = scores + h * step[0], similar + h * step[1]
        return loss(s, labels, positive_scores=v, symmetric_weight=0.7)

    slope = (held(0.002) - held(-0.002)) / 0.004
    assert jax.grad(stopped)(0.0) == pytest.approx(slope, rel=0.01, abs=1e-3)
    assert stopped(0.0) == pytest.approx(held(0.0), rel=1e-5)


def test_first_of_several_relevant_documents_is_the_positive_and_the_others_are_no_negatives():
    scores, similar = jnp.array([0.5, 0.9, 0.4]), jnp.array([1.0, 0.3, 0.2])
    asked = {"positive_scores": similar, "symmetric_weight": 0.0, "alpha": 0.0, "margin": 1.0}
    assert MARGIN(scores, jnp.array([2, 2, 0]), **asked) == pytest.approx(1 - 0.5 + 0.4)


@BOTH
def test_nothing_relevant_or_nothing_real_is_0(loss):
    scores, similar, labels = batch()
    call = jax.jit(jax.value_and_grad(lambda s, y, w: loss(s, y, positive_scores=similar, where=w)))
    for y, where in (
        (np.zeros_like(labels), np.ones_like(labels)),
        (labels, np.zeros_like(labels)),
    ):
        value, gradient = call(scores, y, where)
        assert value == 0.0 and not np.any(gradient)
    assert loss(jnp.zeros((2, 0)), jnp.zeros((2, 0)), positive_scores=jnp.zeros((2, 0))) == 0.0


def test_weights_are_those_of_the_relevant_document():
    scores, similar, labels = batch()
    weights = np.random.default_rng(0).uniform(1, 2, scores.shape).astype(np.float32)
    call = functools.partial(
        SOFTMAX, jnp.asarray(scores), labels, positive_scores=similar, reduce_fn=None
    )
    np.testing.assert_allclose(call(weights=weights), call() * np.diag(weights), rtol=1e-5)


@BOTH
def test_positive_scores_of_another_shape_are_an_error(loss):
    with pytest.raises(
        ValueError, match=r"'positive_scores' has shape \(4,\); expected the scores'"
    ):
        loss(jnp.ones((2, 4)), jnp.ones((2, 4)), positive_scores=jnp.ones(4))


def cosines_of_documents(stop_gradient):
    """The mean cosine of two documents before and after training free unit vectors."""
    start = jax.random.normal(jax.random.key(0), (2, 12, 4))

    def value(x):
        q, d = x / jnp.linalg.norm(x, axis=-1, keepdims=True)
        options = {"positive_scores": d @ d.T, "stop_gradient": stop_gradient}
        return MARGIN(q @ d.T, jnp.eye(12), symmetric_weight=0.0, alpha=2.0, **options)

    def step(x, _):
        return x - 0.02 * jax.grad(value)(x), None

    x = jax.jit(lambda x: jax.lax.scan(step, x, length=400)[0])(start)

    def mean_cosine(x):
        d = np.asarray(x[1] / jnp.linalg.norm(x[1], axis=-1, keepdims=True))
        return ((d @ d.T).sum() - 12) / 132

    return mean_cosine(start), mean_cosine(x)


def test_documents_cluster_without_stop_gradient_only():
    start, with_stop = cosines_of_documents(True)
    _, without = cosines_of_documents(False)
    assert with_stop < start + 0.1 < without - 0.3
