"""Gumbel noise around a loss or a metric."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_batch import INF, NAN, batch, compiled

from t5rank import losses, metrics, ops
from t5rank.losses.transformations import approx_t12n, gumbel_t12n


@pytest.mark.parametrize("samples", [1, 3])
def test_gumbel_averages_over_samples(samples):
    scores, labels, where = batch()
    seen = []

    def loss_fn(scores, labels, *, where, reduce_fn=jnp.mean):
        return losses.softmax_loss(scores, labels, where=where, reduce_fn=reduce_fn)

    key = jax.random.key(3)
    for sample in jax.random.split(key, samples):
        noise = jax.random.gumbel(jax.random.split(sample)[0], scores.shape)
        seen.append(loss_fn(scores + 0.5 * noise, labels, where=where))
    gumbel = gumbel_t12n(loss_fn, samples=samples, beta=0.5)
    assert gumbel(scores, labels, where=where, key=key) == pytest.approx(float(np.mean(seen)))


@pytest.mark.parametrize("reduce_fn", [None, jnp.sum, ops.sum_and_count])
def test_gumbel_keeps_the_shape_of_the_result(reduce_fn):
    scores, labels, where = batch()
    loss_fn = gumbel_t12n(losses.softmax_loss, beta=0.0)
    ours = loss_fn(scores, labels, where=where, reduce_fn=reduce_fn, key=jax.random.key(0))
    expected = losses.softmax_loss(scores, labels, where=where, reduce_fn=reduce_fn)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_gumbel_smoothing_is_that_of_tf_ranking():
    scores, labels = np.array([1.0, 0.0, 9.0]), np.array([1.0, 0.0, 0.0])
    where, factor = np.array([True, True, False]), 0.1
    share = np.exp([1.0, 0.0]) / np.sum(np.exp([1.0, 0.0]))
    first, second = np.log(share + factor)
    expected = np.log(1 + np.exp(second - first))
    loss_fn = gumbel_t12n(losses.softmax_loss, beta=0.0, smoothing_factor=factor)
    ours = loss_fn(scores, labels, where=where, key=jax.random.key(0))
    assert ours == pytest.approx(expected, rel=1e-5)


def test_gumbel_gives_a_function_that_takes_a_key_its_own():
    seen = []

    def loss_fn(scores, labels, *, key):
        seen.append(key)
        return jnp.sum(scores * jax.random.uniform(key, scores.shape))

    value = gumbel_t12n(loss_fn)(np.ones(3), np.ones(3), key=jax.random.key(0))
    assert seen
    assert np.isfinite(value)


def test_gumbel_needs_a_key():
    with pytest.raises(ValueError, match="'key' has None; expected a PRNG key"):
        gumbel_t12n(losses.softmax_loss)(np.ones(2), np.ones(2))


def test_gumbel_of_an_approximate_metric_has_a_gradient():
    scores, labels, where = batch()
    loss_fn = gumbel_t12n(approx_t12n(metrics.ndcg_metric))
    loss_fn = functools.partial(loss_fn, key=jax.random.key(0))
    for garbage in (0.0, NAN, INF):
        _, gradient = compiled(loss_fn)(np.where(where, scores, garbage), labels, where)
        assert np.all(np.isfinite(gradient))
        assert np.any(gradient)
        assert not np.any(gradient[~where])


def test_gumbel_keeps_one_sample_in_memory():
    def temporary(samples):
        loss_fn = gumbel_t12n(approx_t12n(metrics.ndcg_metric), samples=samples)
        step = jax.jit(jax.value_and_grad(lambda s: loss_fn(s, labels, key=jax.random.key(0))))
        return step.lower(labels).compile().memory_analysis().temp_size_in_bytes

    labels = jnp.arange(1000.0) % 3
    assert temporary(64) < 1.5 * temporary(2)
