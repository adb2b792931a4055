"""Lists of documents in their two shapes: padded, and flat with segments.

A loss or metric is written once, with the operations of `Lists`, and works for both. A value per
list has the shape of the documents or one that broadcasts to it.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from t5rank.ops.reduction import list_means, reduce, reduce_pairs
from t5rank.types import Array, ReduceFn

NOTHING = -1e30  # the logarithm of 0 where -inf would make gradients NaN
INFINITE = (
    1e15  # what an infinite score counts as where scores are subtracted: its square is finite
)


def as_lists(
    scores: Array,
    labels: Array,
    where: Array | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    *,
    subtopics: bool = False,
) -> tuple[Array, Array, Array, "Lists"]:
    """Gives `(scores, labels, weights, lists)`, arrays of one shape, safe to compute with.

    The arrays are float32, and masked slots hold zeros, so that nothing in them reaches a value or
    a gradient; where no weights are given all are 1. With `subtopics` labels have one more axis.

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
    # Without weights a constant, which costs nothing to multiply by, masked slots included.
    weights = jnp.ones(scores.shape) if weights is None else masked(weights)
    if segments is None:
        return scores, labels, weights, Padded(where)
    segments = jnp.asarray(segments)
    _check_shape("segments", segments, scores)
    if not jnp.issubdtype(segments.dtype, jnp.integer):
        raise TypeError(f"Argument 'segments' has dtype {segments.dtype}; expected integers.")
    return scores, labels, weights, Flat.of_segments(where, segments)


def best_first(scores: Array) -> Array:
    """The key by which `Lists.sort` puts high scores first; one key for 0.0 and -0.0."""
    return -jax.lax.stop_gradient(scores) + 0.0


def _others(keys: Sequence[Array], values: Sequence[Array]) -> list[Array]:
    """The values that are no keys themselves: every array to sort costs time."""
    return [value for value in values if all(value is not key for key in keys)]


def _sorted_values(
    keys: Sequence[Array], values: Sequence[Array], ordered: Sequence[Array], where: Array
) -> list[Array]:
    sorted_keys, others = ordered[: len(keys)], iter(ordered[len(keys) :])
    found = []
    for value in values:
        same = [n for n, key in enumerate(keys) if value is key]
        found.append(jnp.where(where, sorted_keys[same[0]], 0.0) if same else next(others))
    return found


def finite(scores: Array) -> Array:
    """Scores that can be subtracted: two infinite ones are equal."""
    return jnp.clip(scores, -INFINITE, INFINITE)


def unsort(values: Array, slots: Array) -> Array:
    """Sorted values in the order of the documents again; `slots` says where each came from."""
    return jnp.put_along_axis(jnp.zeros_like(values), slots, values, axis=-1, inplace=False)


def _check_shape(name: str, array: Array, scores: Array) -> None:
    if array.shape != scores.shape:
        raise ValueError(
            f"Argument '{name}' has shape {array.shape}; expected the scores' {scores.shape}."
        )


@dataclasses.dataclass(frozen=True)
class Lists(abc.ABC):
    """Which documents make a list; `where` is True at real ones.

    `sort` lays every list's documents in order; the scans and the searches need that.
    """

    where: Array

    @abc.abstractmethod
    def sum(self, values: Array) -> Array:
        """The sum over each list."""

    @abc.abstractmethod
    def max(self, values: Array) -> Array:
        """The largest value of each list, -inf of an empty one."""

    @abc.abstractmethod
    def first(self) -> Array:
        """`[...]` or `[..., list]`: where `per_list` holds the values of the lists."""

    @abc.abstractmethod
    def per_list(self, values: Array) -> Array:
        """The values as the caller gets them: `[...]`, or `[..., list]` at each list's first."""

    @abc.abstractmethod
    def sort(self, keys: Sequence[Array], values: Sequence[Array]) -> tuple["Lists", list[Array]]:
        """Sorts by ascending keys, stable, masked slots last: the sorted lists and values."""

    @abc.abstractmethod
    def from_sorted(self, values: Array) -> Array:
        """Values per list of the sorted lists, as values per list of these."""

    @property
    @abc.abstractmethod
    def start(self) -> Array:
        """The slot of the list's first document; in sorted lists."""

    @abc.abstractmethod
    def same(self, rows: Array) -> Array | None:
        """`[..., rows, list]`: which documents share a list with those at `rows`; None: all do."""

    @abc.abstractmethod
    def _scan(self, combine: Callable[[Array, Array], Array], x: Array, reverse: bool) -> Array:
        """A scan that starts again at every list."""

    @functools.cached_property
    def count(self) -> Array:
        """The number of documents of each list."""
        return self.sum(jnp.ones(self.where.shape))

    def any(self, values: Array) -> Array:
        """Whether `values` holds for any document of the list."""
        return self.max(values.astype(jnp.float32)) > 0

    def min(self, values: Array) -> Array:
        """The smallest value of each list, inf of an empty one."""
        return -self.max(-values)

    def mean(self, values: Array) -> Array:
        """The mean over each list, 0 of an empty one."""
        return self.sum(values) / jnp.maximum(self.count, 1.0)

    def from_best(self, scores: Array) -> Array:
        """Scores minus the largest of their list, for losses that only see differences."""
        largest = jax.lax.stop_gradient(self.max(scores))
        return scores - jnp.where(jnp.isinf(largest), 0.0, largest)

    def log_softmax(self, scores: Array) -> tuple[Array, Array]:
        """The logarithm of each document's share of `sum(exp(scores))`, and 0 or NaN per list.

        NaN is for a list with a NaN score.
        """
        scores = self.from_best(scores)
        total = self.sum(jnp.exp(scores))
        log_total = jnp.log(jnp.where(total == 0, 1.0, total))
        return scores - log_total, 0.0 * jax.lax.stop_gradient(log_total)

    def logsumexp(self, values: Array) -> Array:
        """`log(sum(exp(values)))` of each list, -inf of an empty one."""
        largest = jax.lax.stop_gradient(self.max(values))
        largest = jnp.where(jnp.isneginf(largest), 0.0, largest)
        total = self.sum(jnp.exp(jnp.where(self.where, values, -jnp.inf) - largest))
        return jnp.where(total > 0, jnp.log(jnp.where(total > 0, total, 1.0)) + largest, -jnp.inf)

    def reduce(
        self,
        values: Array,
        reduce_fn: ReduceFn | None,
        spoiled: Array | None = None,
        keep: Array | None = None,
    ) -> Array:
        """Reduces a value per list; a list with a NaN in `spoiled` is NaN, else `keep` says if."""
        nan = jnp.bool_(False) if spoiled is None else self.any(jnp.isnan(spoiled))
        valid = self.first()
        valid = valid if keep is None else valid & self.per_list(keep | nan)
        values = self.per_list(values if spoiled is None else jnp.where(nan, jnp.nan, values))
        return reduce(values, valid, None if reduce_fn is list_means else reduce_fn)

    def reduce_documents(self, values: Array, reduce_fn: ReduceFn | None) -> Array:
        """Reduces a value per document."""
        if reduce_fn is list_means:
            return self.reduce(self.mean(values), reduce_fn, spoiled=values)
        return reduce(values, self.where, reduce_fn)

    def reduce_pairs(
        self, totals: Array, counts: Array, reduce_fn: ReduceFn | None, spoiled: Array
    ) -> Array:
        """Reduces over pairs given each list's sum and number; NaN as in `reduce`."""
        totals = self.reduce(totals, None, spoiled)
        return reduce_pairs(totals, self.reduce(counts, None, counts), reduce_fn)

    def top(self, keys: Array, values: Sequence[Array], number: int) -> tuple["Lists", list[Array]]:
        """Like `sort`, for values of which only the first `number` of each list are used.

        Where a key is inf it does not matter whether a masked slot comes first.
        """
        del number
        return self.sort([keys], values)

    def ranks(self, scores: Array, key: Array | None = None) -> Array:
        """The rank of each document, from 1: ties by `key` or by slot; has no gradient."""
        keys = [best_first(scores)] + (
            [] if key is None else [jax.random.uniform(key, scores.shape)]
        )
        slots = jnp.broadcast_to(jnp.arange(scores.shape[-1]), scores.shape)
        ordered, (slots,) = self.sort(keys, [slots])
        return unsort(jnp.broadcast_to(ordered.position + 1.0, scores.shape), slots)

    # Sorted lists.

    @property
    def position(self) -> Array:
        """The place of each document in its list, from 0; in sorted lists."""
        return jnp.arange(self.where.shape[-1]) - self.start

    def cumsum(self, values: Array, reverse: bool = False) -> Array:
        """Sums of each document and all before it in its list (after it if `reverse`)."""
        return self._scan(jnp.add, jnp.where(self.where, values, 0.0), reverse)

    def cumlogsumexp(self, values: Array, reverse: bool = False) -> Array:
        """`log(sum(exp(values)))` over each document and all before it; `NOTHING` for -inf."""
        known = self.where & ~jnp.isneginf(values)
        return self._scan(jnp.logaddexp, jnp.where(known, values, NOTHING), reverse)

    def tie_start(self, keys: Array) -> Array:
        """The place, from 0, of the first document in the list with the same key."""
        before = jnp.concatenate([keys[..., :1], keys[..., :-1]], axis=-1)
        first = (self.position == 0) | (keys != before)
        return self._scan(jnp.maximum, jnp.where(first, self.position, 0), False)

    def tie_mean(self, values: Array, keys: Array) -> Array:
        """The mean of `values` over the documents of the list with the same key."""
        return self._tied(keys).mean(values)

    def tie_sum(self, values: Array, keys: Array) -> Array:
        """The sum of `values` over such documents."""
        return self._tied(keys).sum(values)

    def _tied(self, keys: Array) -> "Flat":
        return Flat(self.where, self.start + self.tie_start(keys))

    def search(self, ordered: Array, values: Array, *, equal: bool) -> Array:
        """How many of each list's `ordered` numbers are below `values` (or `equal` to them)."""
        low = jnp.zeros(values.shape, jnp.int32)
        high = jnp.broadcast_to(self.count.astype(jnp.int32), values.shape)

        def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = (low + high) // 2
            found = self._at(ordered, middle)
            right = (low < high) & ((found <= values) if equal else (found < values))
            return jnp.where(right, middle + 1, low), jnp.where(right, high, middle)

        return jax.lax.fori_loop(0, values.shape[-1].bit_length(), halve, (low, high))[0]

    def before(self, cumulative: Array, place: Array, nothing: float = 0.0) -> Array:
        """A cumulative value over the first `place` documents of the list."""
        return jnp.where(place > 0, self._at(cumulative, place - 1), nothing)

    def after(self, cumulative: Array, place: Array, nothing: float = 0.0) -> Array:
        """A reverse cumulative value over the documents from `place` on, counted from 0."""
        return jnp.where(place < self.count, self._at(cumulative, place), nothing)

    def _at(self, values: Array, place: Array) -> Array:
        slot = jnp.clip(self.start + place, 0, values.shape[-1] - 1)
        return jnp.take_along_axis(values, slot, axis=-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Padded(Lists):
    """Each row of the last axis is one list."""

    def sum(self, values: Array) -> Array:
        return jnp.sum(values, axis=-1, keepdims=True, where=self.where)

    def max(self, values: Array) -> Array:
        return jnp.max(values, axis=-1, keepdims=True, where=self.where, initial=-jnp.inf)

    def first(self) -> Array:
        return jnp.any(self.where, axis=-1)

    def per_list(self, values: Array) -> Array:
        return values[..., 0]

    def sort(self, keys: Sequence[Array], values: Sequence[Array]) -> tuple["Padded", list[Array]]:
        # NaN sorts after everything: masked slots go last without a key of their own.
        first = jnp.where(self.where, keys[0], jnp.nan)
        operands = (first, *keys[1:], *_others(keys, values))
        ordered = jax.lax.sort(operands, num_keys=len(keys), is_stable=True)
        where = jnp.arange(self.where.shape[-1]) < self.count
        return Padded(where), _sorted_values(keys, values, ordered, where)

    def top(
        self, keys: Array, values: Sequence[Array], number: int
    ) -> tuple["Padded", list[Array]]:
        number = min(number, keys.shape[-1])
        _, slots = jax.lax.top_k(jnp.where(self.where, -keys, -jnp.inf), number)
        ordered = [jnp.take_along_axis(value, slots, axis=-1) for value in values]
        return Padded(jnp.arange(number) < self.count), ordered

    def from_sorted(self, values: Array) -> Array:
        return values

    @property
    def start(self) -> Array:
        return jnp.zeros(self.where.shape, jnp.int32)

    def same(self, rows: Array) -> None:
        return None

    def _scan(self, combine: Callable[[Array, Array], Array], x: Array, reverse: bool) -> Array:
        scan: dict[Any, Any] = {jnp.add: jax.lax.cumsum, jnp.logaddexp: jax.lax.cumlogsumexp}
        scan[jnp.maximum] = jax.lax.cummax
        return scan[combine](x, axis=x.ndim - 1, reverse=reverse)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Flat(Lists):
    """Lists laid end to end, or mixed, along the last axis; never across its rows.

    A list is known by the slot at which its documents start when the row is sorted by list.
    """

    list_start: Array

    @classmethod
    def of_segments(cls, where: Array, segments: Array) -> "Flat":
        """The lists of equal numbers in `segments`."""
        rows = segments.reshape(-1, segments.shape[-1])
        start = jax.vmap(jnp.searchsorted)(jnp.sort(rows, axis=-1), rows)
        return cls(where, start.reshape(segments.shape).astype(jnp.int32))

    @property
    def _ids(self) -> Array:
        """One number for each list of the whole batch, between 0 and the number of slots."""
        rows = self.list_start.reshape(-1, self.list_start.shape[-1])
        return (rows + jnp.arange(rows.shape[0])[:, None] * rows.shape[1]).reshape(-1)

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
        slot = jnp.arange(self.where.shape[-1], dtype=jnp.float32)
        return self.where & (slot == self.min(jnp.broadcast_to(slot, self.where.shape)))

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

    def _scan(self, combine: Callable[[Array, Array], Array], x: Array, reverse: bool) -> Array:
        start = jnp.flip(self.list_start, -1) if reverse else self.list_start
        x = jnp.flip(x, -1) if reverse else x

        def step(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
            together = before[0] == after[0]
            return after[0], jnp.where(together, combine(before[1], after[1]), after[1])

        result = jax.lax.associative_scan(step, (start, x), axis=x.ndim - 1)[1]
        return jnp.flip(result, -1) if reverse else result
