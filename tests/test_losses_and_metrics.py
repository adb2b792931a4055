"""What holds for the values of every loss, metric and transformation, padded and flat."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from function_cases import (
    CASES,
    INF,
    KINDS,
    LOSSES,
    NAN,
    PAIRWISE,
    PLAIN,
    SIZE,
    WITHOUT_ORDER,
    assert_close,
    batch,
    compiled,
    differentiable,
    every,
    subtopics,
)

from t5rank import ops


@every(CASES)
def test_value_and_gradient_are_finite_and_move(name):
    moves = False
    for seed in range(60):  # a bound is flat for most lists
        value, gradient = compiled(name)(*batch(name, seed=seed))
        assert np.all(np.isfinite(value))
        assert np.all(np.isfinite(gradient))
        moves = moves or bool(np.any(gradient != 0))
        if moves and seed >= 3:
            break
    assert moves == differentiable(name)


@every(CASES)
def test_garbage_in_masked_slots_changes_nothing(name):
    scores, labels, where = batch(name)
    expected = compiled(name)(scores, labels, where)
    for garbage in (NAN, INF, -INF, 1e30, -1e30):
        spoiled = np.where(where, scores, garbage).astype(np.float32)
        mask = where[..., None] if subtopics(name) else where
        spoiled_labels = np.where(mask, labels, garbage).astype(np.float32)
        ours = compiled(name)(spoiled, spoiled_labels, where)
        jax.tree.map(np.testing.assert_array_equal, ours, expected)
    assert not np.any(expected[1][~where])


@every(CASES)
def test_minus_infinity_at_an_irrelevant_document_is_finite(name):
    scores, labels, where = batch(name)
    row = np.argmax(where.sum(axis=1))
    slot = np.flatnonzero(where[row])[0]
    scores[row, slot], labels[row, slot] = -INF, 0.0
    value, gradient = compiled(name)(scores, labels, where)
    # A regression on it is infinite, and so is what noise or smoothing makes relevant of it. By the
    # reverse divergence a model that gives it no probability loses nothing.
    is_regression = name.split(" ")[-1] in ("mse_loss", "kl_loss", "symmetric_kl_loss")
    made_relevant = name in ("gumbel xendcg_loss", "smoothed softmax with a margin")
    if made_relevant or (is_regression and name != "reverse kl_loss"):
        assert value == INF
    else:
        assert np.all(np.isfinite(value))
        assert np.all(np.isfinite(gradient))


@every(CASES)
def test_nan_is_not_hidden(name):
    scores, labels, where = batch(name)
    row, slot = np.argwhere(where)[0]
    spoiled = scores.copy()
    spoiled[row, slot] = NAN
    assert np.isnan(compiled(name)(spoiled, labels, where)[0])
    labels = labels.copy()
    labels[row, slot] = NAN
    assert np.isnan(compiled(name)(scores, labels, where)[0])


@every(WITHOUT_ORDER)
def test_order_of_the_documents_changes_nothing(name):
    scores, labels, where = batch(name)
    value, gradient = compiled(name)(scores, labels, where)
    order = np.array([3, 1, 5, 0, 2, 4])
    ours = compiled(name)(scores[:, order], labels[:, order], where[:, order])
    assert_close(ours, (value, gradient[:, order]))


@every(PLAIN)
def test_padding_and_types_change_nothing(name):
    """Wider rows of bfloat16 scores, whole labels and a mask of numbers."""
    arrays = batch(name)
    value, _ = wide(name)(*widened(*arrays))
    assert value.dtype == jnp.float32
    assert_close(value, compiled(name)(rounded(arrays[0]), *arrays[1:])[0])


@every(PLAIN)
def test_microbatches_add_up_to_the_batch(name):
    arrays = batch(name)
    halves = [[x[half] for x in arrays] for half in (slice(2), slice(2, 4))]
    total, count = sum(wide(name)(*widened(*half))[1] for half in halves)
    assert_close(total / count, compiled(name)(rounded(arrays[0]), *arrays[1:])[0])


@functools.cache
def wide(name):
    """The value, and the sum over lists and their number, of a batch of another shape and types."""

    @jax.jit
    def call(scores, labels, where):
        value = functools.partial(CASES[name], scores, labels, where=where)
        return value(), value(reduce_fn=ops.sum_and_count)

    return call


def widened(scores, labels, where):
    """Four lists of twice the size, of types of their own."""
    arrays = (scores.astype(jnp.bfloat16), labels.astype(np.int32), where.astype(np.float32))
    more = [(0, 4 - len(scores)), (0, SIZE), (0, 0)]
    return [np.pad(x, more[: x.ndim]) for x in arrays]


def rounded(scores):
    return scores.astype(jnp.bfloat16).astype(np.float32)


@every(PLAIN)
def test_flat_lists_equal_padded_ones(name):
    """Two rows of two lists each, mixed, with list ids in no order."""
    scores, labels, where = batch(name)
    order = np.random.default_rng(1).permuted(np.arange(24).reshape(2, 12), axis=1)
    segments = np.repeat([7, 2, 2, 4], SIZE)[order]

    @jax.jit
    @jax.value_and_grad
    def flat(scores):
        return CASES[name](
            scores.reshape(-1)[order],
            labels.reshape(-1, *labels.shape[2:])[order],
            where=where.reshape(-1)[order],
            segments=segments,
        )

    assert_close(flat(scores), compiled(name)(scores, labels, where))


@every(KINDS)
def test_a_mapped_function_is_that_of_the_batch(name):
    scores, labels, where = batch(name)
    one = lambda s, y, w: CASES[name](s, y, where=w, reduce_fn=ops.sum_and_count)  # noqa: E731
    expected = jax.jit(one)(scores, labels, where)
    assert_close(jnp.sum(jax.jit(jax.vmap(one))(scores, labels, where), axis=0), expected)


@every(CASES)
def test_batch_without_a_document_is_zero(name):
    scores, labels, where = batch(name)
    value, gradient = compiled(name)(scores, labels, np.zeros_like(where))
    assert value == 0.0
    assert not np.any(gradient)


@every(PAIRWISE)
def test_all_pairs_reduce_to_the_streamed_totals(name):
    scores, labels, where = batch(name)

    @jax.jit
    def values(scores):
        call = functools.partial(CASES[name], scores, labels, where=where)
        return call(reduce_fn=None), call(reduce_fn=jnp.sum)

    pairs, total = values(scores)
    assert pairs.shape == (4, SIZE, SIZE)
    assert_close(jnp.sum(pairs), total)


# Losses with a derivative of their own, or through blocks of pairs.
TWICE = ("pairwise_logistic_loss", "pairwise_hinge_loss", "sigmoid_loss", "adr_mse_loss")


@every(TWICE)
def test_hessian_is_the_slope_of_the_gradient(name):
    scores, labels, where = batch(name, seed=3)
    scores[0, np.argmax(where[0])] = 0.0  # where |s| has no slope

    @jax.jit
    def derivatives(scores):
        loss = functools.partial(CASES[name], labels=labels, where=where)
        step = jnp.cos(jnp.arange(scores.size, dtype=jnp.float32)).reshape(scores.shape)
        forward = jax.jvp(loss, (scores,), (step,))[1]
        twice = jax.jvp(jax.grad(loss), (scores,), (step,))[1]
        return step, jax.grad(loss)(scores), forward, twice

    step, gradient, forward, twice = derivatives(scores)
    assert forward == pytest.approx(float(np.sum(step * gradient)), rel=1e-4, abs=1e-6)
    slope = (derivatives(scores + 0.01 * step)[1] - derivatives(scores - 0.01 * step)[1]) / 0.02
    np.testing.assert_allclose(twice, slope, rtol=0.01, atol=2e-4)


@every(set(LOSSES) - {"circle_loss"})  # a part of its gradient is left out on purpose
def test_slope_in_float64_is_the_gradient(name):
    """Central differences of the loss itself, along random directions."""
    scores, labels, where = batch(name, seed=3)
    rng = np.random.default_rng(0)
    gradient = compiled(name)(scores, labels, where)[1]
    value = lambda s: float(compiled(name)(s.astype(np.float32), labels, where)[0])  # noqa: E731
    for _ in range(3):
        direction = rng.normal(size=scores.shape)
        slope = (value(scores + 0.01 * direction) - value(scores - 0.01 * direction)) / 0.02
        assert slope == pytest.approx(float(np.sum(gradient * direction)), rel=0.02, abs=3e-3)
