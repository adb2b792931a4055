"""Reductions of values per document, per list or per pair."""

from collections.abc import Callable

import jax.numpy as jnp

from t5rank.types import Array, ReduceFn


def reduce(values: Array, where: Array, reduce_fn: ReduceFn | None) -> Array:
    """Reduces the `values` at which `where` is True; see `t5rank.types`."""
    if reduce_fn is None:
        return jnp.where(where, values, 0.0)
    # A mean over nothing would be 0/0. A NaN among the valid values stays.
    # (XLA's CPU backend reduces small integers several times faster than booleans.)
    any_valid = jnp.max(where.astype(jnp.int8), initial=0) > 0
    return jnp.where(any_valid, reduce_fn(values, where=where), 0.0)


def reduce_lists(values: Array, where: Array, reduce_fn: ReduceFn | None) -> Array:
    """The same for values per list, which `list_means` leaves as they are."""
    return reduce(values, where, None if reduce_fn is list_means else reduce_fn)


def sum_and_count(values: Array, where: Array | None = None) -> Array:
    """A `reduce_fn` that gives `[sum, count]`, the parts of a mean, which add up across batches.

    >>> sum_and_count(jnp.array([1.0, 3.0, 5.0]), where=jnp.array([True, True, False])).tolist()
    [4.0, 2.0]
    """
    where = jnp.ones(values.shape, bool) if where is None else where
    return jnp.stack([jnp.sum(values, where=where), jnp.sum(where, dtype=values.dtype)])


def list_means(values: Array, where: Array | None = None) -> Array:
    """A `reduce_fn` for the losses of t5rank: one value per list, `[...]` or `[..., list]`.

    A pairwise or pointwise loss becomes the mean over each list's pairs or documents.

    Raises:
      TypeError: a function that is not t5rank's calls it.
    """
    raise TypeError("Argument 'reduce_fn' has list_means; expected another one outside of t5rank.")


def reduces_totals(reduce_fn: ReduceFn | None) -> bool:
    """Whether `reduce_pairs` knows this function, so that the pairs need not be kept."""
    return any(reduce_fn is known for known in _REDUCE_TOTALS)


def reduce_pairs(totals: Array, counts: Array, reduce_fn: ReduceFn | None) -> Array:
    """Reduces over pairs, from the sum and the number of each list's pairs."""
    if reduce_fn is not list_means:
        totals, counts = jnp.sum(totals), jnp.sum(counts)
    return _REDUCE_TOTALS[reduce_fn](totals, counts)


_REDUCE_TOTALS: dict[ReduceFn | None, Callable[[Array, Array], Array]] = {
    jnp.sum: lambda total, count: total,
    jnp.mean: lambda total, count: total / jnp.maximum(count, 1.0),
    sum_and_count: lambda total, count: jnp.stack([total, count]),
    list_means: lambda total, count: total / jnp.maximum(count, 1.0),
}
