"""Masked operations that losses and metrics are made of."""

import jax
import jax.numpy as jnp

from t5rank.types import Array, ReduceFn


def as_lists(
    scores: Array,
    labels: Array,
    where: Array | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Gives `(scores, labels, where, weights)` as arrays of one shape, safe to compute with.

    Scores, labels and weights are float32, `where` is bool, and masked slots hold zeros, so that
    nothing in them reaches a value or a gradient.

    Raises:
      ValueError: shapes differ, or `segments` is given.
    """
    if segments is not None:
        raise ValueError("Argument 'segments' has an array; expected None. Use padded lists.")
    scores, labels = jnp.asarray(scores), jnp.asarray(labels)
    where = jnp.ones(scores.shape, bool) if where is None else jnp.asarray(where) != 0
    for name, array in (("labels", labels), ("where", where)):
        if array.shape != scores.shape:
            raise ValueError(
                f"Argument '{name}' has shape {array.shape}; expected the scores' {scores.shape}."
            )
    if scores.ndim == 0:
        raise ValueError("Argument 'scores' has rank 0; expected [..., list].")
    if weights is None:
        weights = jnp.ones(scores.shape)
    weights = jnp.broadcast_to(jnp.asarray(weights), scores.shape)

    def masked(array: Array) -> Array:
        return jnp.where(where, array.astype(jnp.float32), 0.0)

    return masked(scores), masked(labels), where, masked(weights)


def reduce(values: Array, where: Array, reduce_fn: ReduceFn | None) -> Array:
    """Reduces `values` over the places where `where` holds; see `t5rank.types`."""
    if reduce_fn is None:
        return jnp.where(where, values, 0.0)
    # Where nothing is valid a mean is 0/0; a NaN among valid values stays.
    return jnp.where(jnp.any(where), reduce_fn(values, where=where), 0.0)


def sum_and_count(values: Array, where: Array | None = None) -> Array:
    """A `reduce_fn` that gives `[sum, count]`: a mean whose parts can be added up across batches.

    >>> sum_and_count(jnp.array([1.0, 3.0, 5.0]), where=jnp.array([True, True, False])).tolist()
    [4.0, 2.0]
    """
    where = jnp.ones(values.shape, bool) if where is None else where
    return jnp.stack([jnp.sum(values, where=where), jnp.sum(where, dtype=values.dtype)])


def rank_order(scores: Array, where: Array, key: Array | None = None) -> Array:
    """Indices that put each list best first, masked slots last; ties by `key` or by position."""
    # lax.sort puts NaN last and -0.0 before 0.0; adding 0.0 makes the zeros one.
    keys = [~where, -scores + 0.0]
    if key is not None:
        keys.append(jax.random.uniform(key, scores.shape))
    position = jnp.broadcast_to(jnp.arange(scores.shape[-1]), scores.shape)
    return jax.lax.sort((*keys, position), num_keys=len(keys), is_stable=True)[-1]
