"""What losses and metrics do with lists of documents, whatever their shape.

A loss or metric is written once, with the operations of `Lists`; `t5rank.ops.shapes` has the two
shapes. A value per list has the shape of the documents or one that broadcasts to it.
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
INFINITE = 1e15  # an infinite score counts as this one in differences: its square is finite


def best_first(scores: Array) -> Array:
    """The key by which `Lists.sort` puts high scores first; one key for 0.0 and -0.0."""
    scores = jax.lax.stop_gradient(scores)
    return jnp.where(scores == 0, 0.0, -scores)  # XLA takes `-x + 0.0` for `-x`


def finite(scores: Array) -> Array:
    """Scores that can be subtracted: two infinite ones are equal. A clipped one has gradient 0."""
    # Unlike that of `jnp.clip` this gradient is a choice, not a product: 0 times inf would be NaN.
    return jnp.where(jnp.abs(scores) > INFINITE, INFINITE * jnp.sign(scores), scores)


def unsort(values: Array, slots: Array) -> Array:
    """Sorted values in the order of the documents again; `slots` says where each came from."""
    return jnp.put_along_axis(jnp.zeros_like(values), slots, values, axis=-1, inplace=False)


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
    def starting_at(self, start: Array) -> "Lists":
        """The same sorted slots in other lists, that start at these slots."""

    @abc.abstractmethod
    def _scan(self, combine: Callable[[Array, Array], Array], x: Array, reverse: bool) -> Array:
        """A scan that starts again at every list."""

    @functools.cached_property
    def count(self) -> Array:
        """The number of documents of each list."""
        return self.sum(jnp.ones(self.where.shape, jnp.float32))

    def any(self, values: Array) -> Array:
        """Whether `values` holds for any document of the list."""
        return self.max(values.astype(jnp.float32)) > 0

    def first_and_nan(self, values: Array) -> tuple[Array, Array]:
        """`first()`, and whether `values` has a NaN in the list."""
        return self.first(), self.any(jnp.isnan(values))

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

    def log_softmax(self, scores: Array) -> Array:
        """The logarithm of each document's share of `sum(exp(scores))`."""
        scores = self.from_best(scores)
        total = self.sum(jnp.exp(scores))
        return scores - jnp.log(jnp.where(total == 0, 1.0, total))

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
        nan_from: Array | None = None,
        keep: Array | None = None,
    ) -> Array:
        """Reduces a value per list; a list with a NaN in `nan_from` is NaN, else `keep` says if."""
        nan: Any = False
        if nan_from is None:
            valid = self.first()
        else:
            valid, nan = self.first_and_nan(nan_from)
        valid = valid if keep is None else valid & self.per_list(keep | nan)
        values = self.per_list(values if nan_from is None else jnp.where(nan, jnp.nan, values))
        return reduce(
            values.astype(jnp.float32), valid, None if reduce_fn is list_means else reduce_fn
        )

    def reduce_documents(self, values: Array, reduce_fn: ReduceFn | None) -> Array:
        """Reduces a value per document."""
        if reduce_fn is list_means:
            return self.reduce(self.mean(values), reduce_fn, nan_from=values)
        return reduce(values, self.where, reduce_fn)

    def reduce_pairs(
        self, totals: Array, counts: Array, reduce_fn: ReduceFn | None, nan_from: Array
    ) -> Array:
        """Reduces over pairs given each list's sum and number; NaN as in `reduce`."""
        totals = self.reduce(totals, None, nan_from)
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
            [] if key is None else [jax.random.uniform(key, scores.shape, jnp.float32)]
        )
        slots = jnp.broadcast_to(jnp.arange(scores.shape[-1], dtype=jnp.int32), scores.shape)
        ordered, (slots,) = self.sort(keys, [slots])
        return unsort(jnp.broadcast_to(ordered.from_one, scores.shape), slots)

    # Sorted lists.

    @property
    def position(self) -> Array:
        """The place of each document in its list, from 0; in sorted lists."""
        return jnp.arange(self.where.shape[-1], dtype=jnp.int32) - self.start

    @property
    def from_one(self) -> Array:
        """The same as a rank: from 1, float32."""
        return self.position.astype(jnp.float32) + 1.0

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

    def _tied(self, keys: Array) -> "Lists":
        return self.starting_at(self.start + self.tie_start(keys))

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
