"""Attention with a bias and a mask, and a gradient that keeps and moves little memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from t5rank.models.platform import is_for_cpu
from t5rank.types import Array

MASKED = -1e10  # what is added to the logits of tokens that are not attended to
_BLOCK = 128  # queries at most


def queries_at_once(length: int) -> int:
    """For how many queries of a row attention is best computed: all; on CPU, for some if many.

    There weights that leave the cache cost more than the products that they are made of.
    """
    if not is_for_cpu() or length <= 2 * _BLOCK:
        return length
    blocks = -(-length // _BLOCK)
    return -(-length // blocks)  # in even blocks: a last one that is short takes as long as others


def bias_distances(length: int, queries: int) -> np.ndarray:
    """The distances key - query of the bias of `attention`, `[queries, columns]`.

    All queries at once have `[length, length]`. Blocks of some each have a window of the same
    array, that of the last block continued to the right: the first block has the last columns.
    """
    blocks = -(-length // queries)
    columns = np.arange((1 - blocks) * queries, length)
    return columns[None, :] - np.arange(queries)[:, None]


@jax.custom_vjp
def attention(query: Array, key: Array, value: Array, bias: Array, attention_mask: Array) -> Array:
    """Means of the values, `[batch, heads, q, d]`, weighted by softmax(query key^T + bias).

    Args:
      query: `[batch, heads, q, d]`; it is not divided by sqrt(d).
      key: `[batch, heads, k, d]`.
      value: `[batch, heads, k, d]`.
      bias: float32, `[heads, q, k]`, or `[heads, queries, columns]` at the distances of
        `bias_distances`, for so many queries at a time (with a gradient, all at once even so).
      attention_mask: which keys a query attends to, `[batch, 1, q or 1, k]`; without any, all
        alike.
    """
    length, queries = query.shape[2], bias.shape[1]
    if queries >= length:
        return _means(query, key, value, bias, attention_mask)

    def block(i: Array, means: Array) -> Array:
        start = jnp.minimum(i * queries, length - queries)
        part = functools.partial(jax.lax.dynamic_slice_in_dim, axis=2)
        some = (
            attention_mask if attention_mask.shape[2] == 1 else part(attention_mask, start, queries)
        )
        y = _means(part(query, start, queries), key, value, _window(bias, start, length), some)
        return jax.lax.dynamic_update_slice_in_dim(means, y, start, axis=2)

    # A loop: XLA's CPU compiler would keep the weights of all blocks, were they written out.
    return jax.lax.fori_loop(0, -(-length // queries), block, jnp.zeros_like(query))


def _window(bias: Array, start: Array | int, length: int) -> Array:
    """The bias of the block of queries from `start` on, `[heads, queries, length]`."""
    first = bias.shape[2] - length - start
    return jax.lax.dynamic_slice_in_dim(bias, first, length, axis=2)


def _whole(bias: Array, length: int) -> Array:
    """The bias of all queries, `[heads, length, length]`."""
    windows = [_window(bias, start, length) for start in range(0, length, bias.shape[1])]
    return jnp.concatenate(windows, axis=1)[:, :length]


def _logits(query: Array, key: Array, bias: Array, attention_mask: Array) -> Array:
    logits = jnp.einsum("bhqd,bhkd->bhqk", query, key, preferred_element_type=jnp.float32)
    return logits + bias + jnp.where(attention_mask, 0.0, MASKED)


def _means(query: Array, key: Array, value: Array, bias: Array, attention_mask: Array) -> Array:
    if not is_for_cpu():
        return _means_and_weights(query, key, value, bias, attention_mask)[0]
    logits = _logits(query, key, bias, attention_mask)
    weights = jnp.exp(logits - logits.max(-1, keepdims=True))
    total = weights.sum(-1, keepdims=True)
    y = jnp.einsum(
        "bhqk,bhkd->bhqd", weights.astype(query.dtype), value, preferred_element_type=jnp.float32
    )
    return (y / total).astype(query.dtype)  # these are fewer numbers than the weights


def _means_and_weights(
    query: Array, key: Array, value: Array, bias: Array, attention_mask: Array
) -> tuple[Array, Array]:
    weights = jax.nn.softmax(_logits(query, key, bias, attention_mask)).astype(query.dtype)
    return jnp.einsum("bhqk,bhkd->bhqd", weights, value), weights


def _forward(
    query: Array, key: Array, value: Array, bias: Array, attention_mask: Array
) -> tuple[Array, tuple]:
    whole, of_whole = jax.vjp(functools.partial(_whole, length=query.shape[2]), bias)
    means, weights = _means_and_weights(query, key, value, whole, attention_mask)
    # XLA would undo the cast, to keep the logits in float32 instead: twice the memory.
    weights = jax.lax.optimization_barrier(weights)
    return means, (query, key, value, attention_mask, weights, means, of_whole)


def _backward(kept: tuple, by_means: Array) -> tuple[Array, Array, Array, Array, np.ndarray]:
    """The gradients, from that of the means (Dao et al. 2022, FlashAttention, appendix B.2)."""
    query, key, value, attention_mask, weights, means, of_whole = kept
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
    *others, by_bias = jax.lax.optimization_barrier(gradients)
    return *others, *of_whole(by_bias), np.zeros(attention_mask.shape, jax.dtypes.float0)


attention.defvjp(_forward, _backward)
