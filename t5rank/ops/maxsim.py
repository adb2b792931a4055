"""MaxSim, the score of late interaction, over documents in packed rows.

The score of a query and a document is the sum, over the query's tokens, of the largest dot product
with a token of the document (ColBERT, Khattab and Zaharia 2020). Rows of documents are taken one at
a time on each device, and the gradient keeps only the places of the maxima: `[documents, query
tokens]` integers, whatever the length of the documents. Of equal products the first one has the
gradient.

Tokens that are not a document's are never a maximum, also where all products are negative. A
document without tokens scores `LOG_ZERO`, -1e30, with no gradient: lower than any other and still a
number, which a loss's `where` should leave out. A query without tokens scores 0.

It has reverse derivatives only.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Num

from t5rank.ops.lists import LOG_ZERO
from t5rank.types import Array

_CHUNK = 32  # tokens of a document that are compared at once


def maxsim(
    query_tokens: Float[Array, "query_tokens dim"],
    query_ids: Int[Array, " query_tokens"],
    rows: Float[Array, "rows length dim"],
    segment_ids: Int[Array, "rows length"],
    *,
    queries: int,
    slots: int,
) -> Float[Array, "queries rows slots"]:
    """Scores every query against every document.

    Args:
      query_tokens: the token vectors of all queries, in any order.
      query_ids: whose token it is, from 0; an id outside of [0, queries) is no token.
      rows: the token vectors of documents, several in a row. Documents whose tokens lie side by
        side are fast; others are right, too.
      segment_ids: the slot of the document of each token, from 1; 0, or more than `slots`, is no
        token.
      queries: the number of queries.
      slots: the number of documents that a row can hold.

    Returns:
      float32 scores.

    >>> rows = jnp.array([[[-1.0], [-2.0], [3.0], [9.0]]])
    >>> segment_ids = jnp.array([[1, 1, 2, 0]])
    >>> tokens, ids = jnp.array([[1.0], [2.0]]), jnp.array([0, 0])
    >>> maxsim(tokens, ids, rows, segment_ids, queries=1, slots=2).tolist()
    [[[-3.0, 9.0]]]
    """
    real = (query_ids >= 0) & (query_ids < queries)
    tokens = jnp.where(real[:, None], query_tokens.astype(jnp.float32), 0.0)
    ids = jnp.where(real, query_ids, queries).astype(jnp.int32)
    inside = (segment_ids > 0) & (segment_ids <= slots)
    segments = jnp.where(inside, segment_ids, 0).astype(jnp.int32)
    scores = _scores(queries, slots, tokens, ids, rows.astype(jnp.float32), segments)
    return jnp.where(jnp.any(_own(segments, slots), axis=-1), scores, LOG_ZERO)


def maxsim_of_lists(
    query_tokens: Float[Array, "queries query_length dim"],
    query_mask: Num[Array, "queries query_length"] | Bool[Array, "queries query_length"],
    rows: Float[Array, "rows length dim"],
    segment_ids: Int[Array, "rows length"],
    query_of: Int[Array, "rows slots"],
) -> Float[Array, "rows slots"]:
    """Scores every document against the query of its own list only.

    Args:
      query_tokens: the token vectors of each query.
      query_mask: True (non-zero) at the query's tokens.
      rows: as in `maxsim`.
      segment_ids: as in `maxsim`.
      query_of: the query of the document in each slot; any of an empty slot.

    Returns:
      float32 scores.

    >>> rows, segment_ids = jnp.array([[[-1.0], [3.0]]]), jnp.array([[1, 2]])
    >>> tokens, mask = jnp.array([[[1.0]], [[2.0]]]), jnp.ones((2, 1))
    >>> maxsim_of_lists(tokens, mask, rows, segment_ids, jnp.array([[1, 0]])).tolist()
    [[-2.0, 3.0]]
    """
    slots = query_of.shape[-1]
    slot = jnp.arange(slots, dtype=jnp.int32)
    query_tokens, real = jnp.asarray(query_tokens), jnp.asarray(query_mask) != 0

    def of_row(row: Array, segments: Array, queries: Array) -> Array:
        tokens = query_tokens[queries]
        ids = jnp.where(real[queries], slot[:, None], -1)
        scores = maxsim(
            tokens.reshape(-1, tokens.shape[-1]),
            ids.reshape(-1),
            row[None],
            segments[None],
            queries=slots,
            slots=slots,
        )
        return jnp.diagonal(scores[:, 0])

    def step(carry: None, block: Any) -> tuple[None, Array]:
        return carry, jax.vmap(of_row)(*block)

    return _scan(step, lambda lanes: None, (rows, segment_ids, query_of))[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _scores(
    queries: int, slots: int, tokens: Array, ids: Array, rows: Array, segments: Array
) -> Array:
    return _forward(queries, slots, tokens, ids, rows, segments)[0]


def _forward(
    queries: int, slots: int, tokens: Array, ids: Array, rows: Array, segments: Array
) -> Any:
    def step(carry: None, block: Any) -> tuple[None, tuple[Array, Array]]:
        rows, segments = block
        spans = _spans(segments, slots)
        chunks = (jnp.max(spans[1] - spans[0], initial=0) + _CHUNK - 1) // _CHUNK
        find = functools.partial(_largest, tokens, chunks)
        largest, places = jax.vmap(find)(rows, _own(segments, slots), spans[0])
        values = jnp.where(jnp.isneginf(largest), 0.0, largest)  # of an empty slot
        total = functools.partial(jax.ops.segment_sum, segment_ids=ids, num_segments=queries)
        return carry, (jax.vmap(total)(values.swapaxes(1, 2)), places)

    scores, places = _scan(step, lambda lanes: None, (rows, segments))[1]
    return scores.swapaxes(0, 1), (tokens, ids, rows, segments, places)


def _backward(queries: int, slots: int, kept: Any, gradient: Array) -> Any:
    del queries
    tokens, ids, rows, segments, places = kept

    def of_row(total: Array, row: Array, segments: Array, places: Array, gradient: Array) -> Any:
        by_token = gradient.at[ids].get(mode="fill", fill_value=0.0).T  # [slots, tokens]

        def add(slot: Array, total: Array) -> Array:
            nearest = row.at[places[slot]].get(mode="fill", fill_value=0.0)
            return total + by_token[slot][:, None] * nearest

        slot = jnp.maximum(segments - 1, 0)
        place = jnp.arange(row.shape[0], dtype=jnp.int32)[:, None]
        chosen = (places[slot] == place) & (segments > 0)[:, None]
        weights = jnp.where(chosen, by_token[slot], 0.0)  # [length, tokens]
        return jax.lax.fori_loop(0, slots, add, total), weights @ tokens

    def step(totals: Array, block: Any) -> tuple[Array, Array]:
        return jax.vmap(of_row)(totals, *block)

    def start(lanes: int) -> Array:
        return jnp.zeros((lanes, *tokens.shape), jnp.float32)

    arrays = (rows, segments, places, gradient.swapaxes(0, 1))
    totals, of_rows = _scan(step, start, arrays)
    return jnp.sum(totals, axis=0), None, of_rows, None


_scores.defvjp(_forward, _backward)


def _largest(
    tokens: Array, chunks: Array, row: Array, own: Array, starts: Array
) -> tuple[Array, Array]:
    """`[slots, tokens]`: the largest product with each document, and the place of the first one."""
    length = row.shape[0]
    products = jnp.pad(row @ tokens.T, ((0, _CHUNK), (0, 0)))
    own = jnp.pad(own, ((0, 0), (0, _CHUNK)))

    def step(chunk: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        def of_slot(own: Array, start: Array, largest: Array, place: Array) -> Any:
            start = jnp.minimum(start + chunk * _CHUNK, length)
            mine = jax.lax.dynamic_slice_in_dim(own, start, _CHUNK)[:, None]
            values = jnp.where(
                mine, jax.lax.dynamic_slice_in_dim(products, start, _CHUNK), -jnp.inf
            )
            best = jnp.max(values, axis=0)
            places = start + jnp.arange(_CHUNK, dtype=jnp.int32)[:, None]
            first = jnp.min(jnp.where(values == best, places, length), axis=0)
            return jnp.maximum(largest, best), jnp.where(best > largest, first, place)

        return jax.vmap(of_slot)(own, starts, *found)

    shape = (starts.shape[0], tokens.shape[0])
    nothing = (jnp.full(shape, -jnp.inf, jnp.float32), jnp.full(shape, length, jnp.int32))
    return jax.lax.fori_loop(0, chunks, step, nothing)


def _own(segments: Array, slots: int) -> Array:
    """`[..., slots, length]`: which tokens are the document's."""
    return segments[..., None, :] == jnp.arange(1, slots + 1, dtype=jnp.int32)[:, None]


def _spans(segments: Array, slots: int) -> tuple[Array, Array]:
    """`[..., slots]`: the first place of each document, and the one after its last."""
    own, length = _own(segments, slots), segments.shape[-1]
    place = jnp.arange(length, dtype=jnp.int32)
    first = jnp.min(jnp.where(own, place, length), axis=-1, initial=length)
    return first, jnp.max(jnp.where(own, place + 1, 0), axis=-1, initial=0)


def _scan(
    step: Callable[[Any, Any], tuple[Any, Any]], start: Callable[[int], Any], arrays: Any
) -> tuple[Any, Any]:
    """A scan over rows, `[lanes, ...]` at a time, one for each device; results `[rows, ...]`.

    Rows lie on the devices in consecutive blocks: the lanes of a step are one row of each.
    """
    number = jax.tree.leaves(arrays)[0].shape[0]
    lanes = max(1, min(number, jax.device_count()))
    missing = -number % lanes

    def split(array: Array) -> Array:
        padded = jnp.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))
        return padded.reshape(lanes, -1, *array.shape[1:]).swapaxes(0, 1)

    def join(array: Array) -> Array:
        return array.swapaxes(0, 1).reshape(-1, *array.shape[2:])[:number]

    end, results = jax.lax.scan(step, start(lanes), jax.tree.map(split, arrays))
    return end, jax.tree.map(join, results)
