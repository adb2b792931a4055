"""Attention and its gradient beside JAX's own `dot_product_attention`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank.models.attention import attention, bias_distances, queries_at_once
from t5rank.models.partitioning import on_mesh, one_device

BATCH, HEADS, LENGTH, SIZE = 2, 3, 12, 4
GRADIENTS = (0, 1, 2, 3)


def inputs(masked, dtype="float32"):
    rng = np.random.default_rng(3)
    query, key, value = (
        jnp.asarray(rng.normal(size=(BATCH, HEADS, LENGTH, SIZE)), dtype) for _ in range(3)
    )
    bias = jnp.asarray(rng.normal(size=(HEADS, LENGTH, LENGTH)), jnp.float32)
    if masked == "by segment":
        ids = np.sort(rng.integers(0, 3, (BATCH, LENGTH)))
        attention_mask = ids[:, None, :, None] == ids[:, None, None, :]
    else:
        attention_mask = (np.arange(LENGTH) < [[7], [LENGTH]])[:, None, None, :]
    return query, key, value, bias, jnp.asarray(attention_mask)


def jax_attention(query, key, value, bias, attention_mask):
    attention_mask = jnp.broadcast_to(attention_mask, (BATCH, 1, LENGTH, LENGTH))
    inner = (array.swapaxes(1, 2) for array in (query, key, value))
    return jax.nn.dot_product_attention(*inner, bias[None], attention_mask, scale=1.0).swapaxes(
        1, 2
    )


def mean_of(attend, *arguments):
    weights = np.random.default_rng(4).normal(size=(BATCH, HEADS, LENGTH, SIZE))
    return jnp.sum(attend(*arguments).astype(jnp.float32) * weights)


@pytest.fixture(params=["cpu", "gpu"])
def backend(request, monkeypatch):
    """On CPU attention that is not differentiated is another program."""
    monkeypatch.setattr(jax, "default_backend", lambda: request.param)


@pytest.mark.parametrize("masked", ["by segment", "by padding"])
def test_attention_is_that_of_jax(backend, masked):
    arguments = inputs(masked)
    ours = attention(*arguments)
    np.testing.assert_allclose(ours, jax_attention(*arguments), atol=1e-6)


@pytest.mark.parametrize("masked", ["by segment", "by padding"])
def test_gradient_is_that_of_jax(masked):
    arguments = inputs(masked)
    ours, theirs = (
        jax.grad(functools.partial(mean_of, attend), GRADIENTS)(*arguments)
        for attend in (attention, jax_attention)
    )
    for mine, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, expected, atol=3e-6)


def test_bfloat16_is_near_float32(backend):
    value_and_grad = jax.value_and_grad(functools.partial(mean_of, attention), GRADIENTS)
    (ours, gradients), (expected, precise) = (
        value_and_grad(*inputs("by segment", dtype)) for dtype in ("bfloat16", "float32")
    )
    np.testing.assert_allclose(ours, expected, atol=0.1)
    for mine, theirs, dtype in zip(gradients, precise, ["bfloat16"] * 3 + ["float32"], strict=True):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine.astype(jnp.float32), theirs, atol=0.06)


@pytest.mark.parametrize("queries", [4, 5])
@pytest.mark.parametrize("masked", ["by segment", "by padding"])
def test_blocks_of_queries_change_nothing(backend, masked, queries):
    *others, _, attention_mask = inputs(masked)
    table = jnp.asarray(np.random.default_rng(5).normal(size=(HEADS, 2 * LENGTH)), jnp.float32)

    def attend(at_once, *arguments):
        *others, table = arguments
        bias = table[:, bias_distances(LENGTH, at_once)]  # negative distances are the last columns
        return attention(*others, bias, attention_mask)

    whole, blocks = (functools.partial(attend, at_once) for at_once in (LENGTH, queries))
    assert "scan" in str(jax.make_jaxpr(blocks)(*others, table))
    np.testing.assert_allclose(blocks(*others, table), whole(*others, table), atol=1e-6)
    ours, expected = (
        jax.grad(functools.partial(mean_of, f), GRADIENTS)(*others, table) for f in (blocks, whole)
    )
    for mine, theirs in zip(ours, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_only_long_rows_on_cpu_are_attended_to_in_blocks(monkeypatch):
    assert [queries_at_once(length) for length in (8, 256, 264, 2048)] == [8, 256, 88, 128]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert queries_at_once(2048) == 2048
    # The devices of the mesh decide, where there is one.
    assert on_mesh(queries_at_once, one_device())(2048) == 128


def test_a_query_that_sees_nothing_weighs_all_values_alike(backend):
    query, key, value, bias, attention_mask = inputs("by padding")
    y = attention(
        query, key, value, bias, attention_mask & (jnp.arange(BATCH) > 0)[:, None, None, None]
    )
    expected = np.broadcast_to(value[0].mean(1, keepdims=True), y[0].shape)
    np.testing.assert_allclose(y[0], expected, atol=1e-6)


def test_gradient_keeps_one_array_of_weights():
    arguments = inputs("by segment", "bfloat16")
    _, gradient = jax.vjp(attention, *arguments)
    kept = [leaf for leaf in jax.tree.leaves(gradient) if leaf.shape[-2:] == (LENGTH, LENGTH)]
    per_head = [leaf.dtype for leaf in kept if leaf.shape == (BATCH, HEADS, LENGTH, LENGTH)]
    assert per_head == ["bfloat16"]
