"""The two shapes of lists: padded (one list per row) and flat (lists side by side in a row)."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from t5rank.ops.lists import Lists
from t5rank.types import Array


def as_lists(
    scores: Array,
    labels: Array,
    where: Array | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    *,
    subtopics: bool = False,
) -> tuple[Array, Array, Array, "Lists"]:
    """Prepares a loss's arguments: `(scores, labels, weights, lists)`.

    The arrays are float32 of one shape. Masked entries are 0, so that what they held reaches no
    value and no gradient. Weights that are not given are 1. With `subtopics`, labels have one more
    axis.

    Raises:
      ValueError: shapes differ.
      TypeError: segments are not integers.
    """
    scores, labels = jnp.asarray(scores), jnp.asarray(labels)
    if scores.ndim == 0:
        raise ValueError("Argument 'scores' has rank 0; expected [..., list].")
    where = jnp.ones(scores.shape, bool) if where is None else jnp.asarray(where) != 0
    _check_shape("where", where, scores)
    if subtopics and labels.ndim != scores.ndim + 1:
        raise ValueError(
            f"Argument 'labels' has rank {labels.ndim}; expected [..., list, subtopics], of rank "
            f"{scores.ndim + 1}."
        )
    _check_shape("labels", labels[..., 0] if subtopics else labels, scores)
    if weights is not None:
        weights = jnp.broadcast_to(jnp.asarray(weights), scores.shape)

    def masked(array: Array) -> Array:
        mask = where if array.ndim == where.ndim else where[..., None]
        return jnp.where(mask, array.astype(jnp.float32), 0.0)

    scores, labels = masked(scores), masked(labels)
    # A constant, masked entries included: multiplying by it costs nothing.
    weights = jnp.ones(scores.shape, jnp.float32) if weights is None else masked(weights)
    if segments is None:
        return scores, labels, weights, Padded(where)
    segments = jnp.asarray(segments)
    _check_shape("segments", segments, scores)
    if not jnp.issubdtype(segments.dtype, jnp.integer):
        raise TypeError(f"Argument 'segments' has dtype {segments.dtype}; expected integers.")
    return scores, labels, weights, Flat.of_segments(where, segments)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Padded(Lists):
    """Each row of the last axis is one list."""

    def sum(self, values: Array) -> Array:
        return jnp.sum(values, axis=-1, keepdims=True, where=self.where)

    def max(self, values: Array) -> Array:
        return jnp.max(values, axis=-1, keepdims=True, where=self.where, initial=-jnp.inf)

    def any(self, values: Array) -> Array:
        return self._largest(values.astype(jnp.int8)) > 0

    def first(self) -> Array:
        return self.any(self.where)[..., 0]

    def first_and_nan(self, values: Array) -> tuple[Array, Array]:
        largest = self._largest(1 + jnp.isnan(values).astype(jnp.int8))
        return largest[..., 0] > 0, largest > 1

    def _largest(self, values: Array) -> Array:
        # XLA's CPU backend reduces small integers several times faster than booleans.
        return jnp.max(jnp.where(self.where, values, 0), axis=-1, keepdims=True, initial=0)

    def per_list(self, values: Array) -> Array:
        return values[..., 0]

    def sort(self, keys: Sequence[Array], values: Sequence[Array]) -> tuple["Padded", list[Array]]:
        # NaN sorts after everything, so that masked entries go last without another key.
        first = jnp.where(self.where, keys[0], jnp.nan)
        operands = (first, *keys[1:], *_others(keys, values))
        ordered = jax.lax.sort(operands, num_keys=len(keys), is_stable=True)
        where = jnp.arange(self.where.shape[-1]) < self.count
        return Padded(where), _sorted_values(keys, values, ordered, where)

    def top(
        self, keys: Array, values: Sequence[Array], number: int
    ) -> tuple["Padded", list[Array]]:
        number = min(number, keys.shape[-1])
        _, indices = jax.lax.top_k(jnp.where(self.where, -keys, -jnp.inf), number)
        ordered = [jnp.take_along_axis(value, indices, axis=-1) for value in values]
        return Padded(jnp.arange(number) < self.count), ordered

    def from_sorted(self, values: Array) -> Array:
        return values

    @property
    def start(self) -> Array:
        return jnp.zeros(self.where.shape, jnp.int32)

    def same(self, rows: Array) -> None:
        return None

    def starting_at(self, start: Array) -> "Flat":
        return Flat(self.where, start)

    def _scan(self, combine: Callable[[Array, Array], Array], x: Array, reverse: bool) -> Array:
        scan: dict[Any, Any] = {jnp.add: jax.lax.cumsum, jnp.logaddexp: jax.lax.cumlogsumexp}
        scan[jnp.maximum] = jax.lax.cummax
        return scan[combine](x, axis=x.ndim - 1, reverse=reverse)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Flat(Lists):
    """Lists side by side, or mixed, along the last axis. A list is in one row only.

    `list_start` identifies a list: sorting the row by list puts its first document at this index.
    """

    list_start: Array

    @classmethod
    def of_segments(cls, where: Array, segments: Array) -> "Flat":
        """Makes a list of the documents of a row that have the same number in `segments`."""
        rows = segments.reshape(math.prod(segments.shape[:-1]), segments.shape[-1])
        start = jax.vmap(jnp.searchsorted)(jnp.sort(rows, axis=-1), rows)
        return cls(where, start.reshape(segments.shape).astype(jnp.int32))

    @property
    def _ids(self) -> Array:
        """A number for each list that is unique in the batch, below the number of documents."""
        rows, size = math.prod(self.list_start.shape[:-1]), self.list_start.shape[-1]
        first = jnp.arange(rows, dtype=jnp.int32)[:, None] * size
        return (self.list_start.reshape(rows, size) + first).reshape(-1)

    def sum(self, values: Array) -> Array:
        values = jnp.where(self.where, values, 0.0)
        return self._over(jax.ops.segment_sum, values)

    def max(self, values: Array) -> Array:
        return self._over(jax.ops.segment_max, jnp.where(self.where, values, -jnp.inf))

    def _over(self, function: Callable[..., Array], values: Array) -> Array:
        ids = self._ids
        per_list = function(values.reshape(-1), ids, num_segments=ids.size)
        return per_list[ids].reshape(values.shape)

    def first(self) -> Array:
        index = self.indices.astype(jnp.float32)
        return self.where & (index == self.min(index))

    def per_list(self, values: Array) -> Array:
        return jnp.broadcast_to(values, self.where.shape)

    def sort(self, keys: Sequence[Array], values: Sequence[Array]) -> tuple["Flat", list[Array]]:
        first = jnp.where(self.where, keys[0], jnp.nan)
        operands = (self.list_start, first, *keys[1:], *_others(keys, values), self.where)
        start, *ordered, where = jax.lax.sort(operands, num_keys=1 + len(keys), is_stable=True)
        return Flat(where, start), _sorted_values(keys, values, ordered, where)

    def from_sorted(self, values: Array) -> Array:
        values = jnp.broadcast_to(values, self.where.shape)
        return jnp.take_along_axis(values, self.list_start, axis=-1)

    @property
    def start(self) -> Array:
        return self.list_start

    def same(self, rows: Array) -> Array:
        return rows[..., :, None] == self.list_start[..., None, :]

    def starting_at(self, start: Array) -> "Flat":
        return Flat(self.where, start)

    def _scan(self, combine: Callable[[Array, Array], Array], x: Array, reverse: bool) -> Array:
        start = jnp.flip(self.list_start, -1) if reverse else self.list_start
        x = jnp.flip(x, -1) if reverse else x

        def step(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
            together = before[0] == after[0]
            return after[0], jnp.where(together, combine(before[1], after[1]), after[1])

        result = jax.lax.associative_scan(step, (start, x), axis=x.ndim - 1)[1]
        return jnp.flip(result, -1) if reverse else result


def _others(keys: Sequence[Array], values: Sequence[Array]) -> list[Array]:
    """The values that are not keys, too. Every array that is sorted along costs time."""
    return [value for value in values if all(value is not key for key in keys)]


def _sorted_values(
    keys: Sequence[Array], values: Sequence[Array], ordered: Sequence[Array], where: Array
) -> list[Array]:
    sorted_keys, others = ordered[: len(keys)], iter(ordered[len(keys) :])
    """The sorted values, in the order of `values`, out of the operands that `sort` returns."""
    result = []
    for value in values:
        same = [n for n, key in enumerate(keys) if value is key]
        result.append(jnp.where(where, sorted_keys[same[0]], 0.0) if same else next(others))
    return result


def _check_shape(name: str, array: Array, scores: Array) -> None:
    if array.shape != scores.shape:
        raise ValueError(
            f"Argument '{name}' has shape {array.shape}; expected the scores' {scores.shape}."
        )
