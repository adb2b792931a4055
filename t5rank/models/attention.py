"""Attention with a bias and a mask, and a gradient that keeps and moves little memory."""

import jax
import jax.numpy as jnp
import numpy as np

from t5rank.types import Array

MASKED = -1e10  # what is added to the logits of tokens that are not attended to
_CACHE = 32 * 2**20  # bytes: attention weights that are more are computed in blocks
_BLOCK = 256  # queries


@jax.custom_vjp
def attention(query: Array, key: Array, value: Array, bias: Array, seen: Array) -> Array:
    """Means of the values, `[batch, heads, q, d]`, weighted by softmax(query key^T + bias).

    Args:
      query: `[batch, heads, q, d]`; it is not divided by sqrt(d).
      key: `[batch, heads, k, d]`.
      value: `[batch, heads, k, d]`.
      bias: `[heads, q, k]`, float32.
      seen: which keys a query attends to, `[batch, 1, q or 1, k]`; all alike where it sees none.
    """
    if jax.default_backend() != "cpu":
        return _means_and_weights(query, key, value, bias, seen)[0]
    return _on_cpu(query, key, value, bias, seen)


def _logits(query: Array, key: Array, bias: Array, seen: Array) -> Array:
    logits = jnp.einsum("bhqd,bhkd->bhqk", query, key, preferred_element_type=jnp.float32)
    return logits + bias + jnp.where(seen, 0.0, MASKED)


def _means_and_weights(
    query: Array, key: Array, value: Array, bias: Array, seen: Array
) -> tuple[Array, Array]:
    weights = jax.nn.softmax(_logits(query, key, bias, seen)).astype(query.dtype)
    return jnp.einsum("bhqk,bhkd->bhqd", weights, value), weights


def _on_cpu(query: Array, key: Array, value: Array, bias: Array, seen: Array) -> Array:
    """The means; where the weights leave the cache, of some queries after the others."""

    def means(query: Array, bias: Array, seen: Array) -> Array:
        logits = _logits(query, key, bias, seen)
        weights = jnp.exp(logits - logits.max(-1, keepdims=True))
        total = weights.sum(-1, keepdims=True)
        y = jnp.einsum(
            "bhqk,bhkd->bhqd",
            weights.astype(query.dtype),
            value,
            preferred_element_type=jnp.float32,
        )
        return (y / total).astype(query.dtype)  # these are fewer numbers than the weights

    batch, heads, length, _ = query.shape
    if 4 * batch * heads * length * key.shape[2] <= _CACHE or length <= _BLOCK:
        return means(query, bias, seen)
    seen = jnp.broadcast_to(seen, (batch, 1, length, key.shape[2]))
    blocks = [slice(i, i + _BLOCK) for i in range(0, length, _BLOCK)]
    parts = [means(query[:, :, i], bias[:, i], seen[:, :, i]) for i in blocks]
    return jnp.concatenate(parts, axis=2)


def _forward(
    query: Array, key: Array, value: Array, bias: Array, seen: Array
) -> tuple[Array, tuple[Array, ...]]:
    means, weights = _means_and_weights(query, key, value, bias, seen)
    # XLA would undo the cast, to keep the logits in float32 instead: twice the memory.
    return means, (query, key, value, seen, jax.lax.optimization_barrier(weights), means)


def _backward(
    kept: tuple[Array, ...], by_means: Array
) -> tuple[Array, Array, Array, Array, np.ndarray]:
    """The gradients, from that of the means (Dao et al. 2022, FlashAttention, appendix B.2)."""
    query, key, value, seen, weights, means = kept
    by_weights = jnp.einsum("bhqd,bhkd->bhqk", by_means, value).astype(jnp.float32)
    shift = (by_means.astype(jnp.float32) * means.astype(jnp.float32)).sum(-1, keepdims=True)
    by_logits = (weights.astype(jnp.float32) * (by_weights - shift)).astype(query.dtype)
    ones = jnp.ones(len(query), query.dtype)  # XLA's own sum over the batch is slow on CPU
    gradients = (
        jnp.einsum("bhqk,bhkd->bhqd", by_logits, key),
        jnp.einsum("bhqk,bhqd->bhkd", by_logits, query),
        jnp.einsum("bhqk,bhqd->bhkd", weights, by_means),
        jnp.einsum("bhqk,b->hqk", by_logits, ones, preferred_element_type=jnp.float32),
    )
    # The bias's is added up here, not after those of all layers, whose logits would wait for it.
    return *jax.lax.optimization_barrier(gradients), np.zeros(seen.shape, jax.dtypes.float0)


attention.defvjp(_forward, _backward)
