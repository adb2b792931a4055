"""Operations on lists of documents, for lists of either shape.

A loss or metric is written once, with the operations of `Lists`. `t5rank.ops.shapes` implements
them for the two shapes. Values per list have the shape of the documents, or one that broadcasts to
it.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from t5rank.ops.reduction import list_means, reduce, reduce_lists, reduce_pairs
from t5rank.types import Array, ReduceFn

LOG_ZERO = -1e30  # the logarithm of 0 where -inf would make gradients NaN
MAX_SCORE = 1e15  # larger scores count as this one in differences; its square is finite


def best_first(scores: Array) -> Array:
    """The sort key that puts high scores first. 0.0 and -0.0 have the same key."""
    scores = jax.lax.stop_gradient(scores)
    return jnp.where(scores == 0, 0.0, -scores)  # XLA simplifies `-x + 0.0` to `-x`


def finite(scores: Array) -> Array:
    """Scores clipped to `MAX_SCORE`, so that two infinite scores differ by 0."""
    # The gradient of `jnp.clip` is a product with 0 or 1, which is NaN for an infinite gradient.
    return jnp.where(jnp.abs(scores) > MAX_SCORE, MAX_SCORE * jnp.sign(scores), scores)


def unsort(values: Array, indices: Array) -> Array:
    """Puts sorted values back into the original order; `indices` are the sorted `Lists.indices`."""
    return jnp.put_along_axis(jnp.zeros_like(values), indices, values, axis=-1, inplace=False)


@dataclasses.dataclass(frozen=True)
class Lists(abc.ABC):
    """Which documents form a list. `where` is True at real documents.

    The scans and searches need sorted lists, which `sort` gives.
    """

    where: Array

    @abc.abstractmethod
    def sum(self, values: Array) -> Array:
        """Sums over each list."""

    @abc.abstractmethod
    def max(self, values: Array) -> Array:
        """The largest value of each list; -inf for an empty list."""

    @abc.abstractmethod
    def first(self) -> Array:
        """A mask, `[...]` or `[..., list]`, of the entries of `per_list` that are a list's."""

    @abc.abstractmethod
    def per_list(self, values: Array) -> Array:
        """Values per list in the caller's shape: `[...]`, or `[..., list]` for flat lists."""

    @abc.abstractmethod
    def sort(self, keys: Sequence[Array], values: Sequence[Array]) -> tuple["Lists", list[Array]]:
        """Sorts each list by ascending keys, stably, with masked entries last.

        Returns:
          The sorted lists and the sorted values.
        """

    @abc.abstractmethod
    def from_sorted(self, values: Array) -> Array:
        """Converts values per list of the sorted lists to values per list of these lists."""

    @property
    @abc.abstractmethod
    def start(self) -> Array:
        """The index at which each document's list starts in the sorted row."""

    @abc.abstractmethod
    def same(self, rows: Array) -> Array | None:
        """A mask `[..., rows, list]` of documents in the lists that start at `rows`; None: all."""

    @abc.abstractmethod
    def starting_at(self, start: Array) -> "Lists":
        """The same sorted documents, in lists that start at other indices."""

    @abc.abstractmethod
    def _scan(self, combine: Callable[[Array, Array], Array], x: Array, reverse: bool) -> Array:
        """A scan that restarts at every list."""

    @functools.cached_property
    def count(self) -> Array:
        """The number of real documents of each list."""
        return self.sum(jnp.ones(self.where.shape, jnp.float32))

    @property
    def indices(self) -> Array:
        """The index of each entry in its row. If sorted along, it is what `unsort` needs."""
        size = self.where.shape[-1]
        return jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), self.where.shape)

    def any(self, values: Array) -> Array:
        """Whether `values` is true for any document of the list."""
        return self.max(values.astype(jnp.float32)) > 0

    def first_and_nan(self, values: Array) -> tuple[Array, Array]:
        """`first()`, and whether any of the list's `values` is NaN."""
        return self.first(), self.any(jnp.isnan(values))

    def min(self, values: Array) -> Array:
        """The smallest value of each list; inf for an empty list."""
        return -self.max(-values)

    def mean(self, values: Array) -> Array:
        """The mean over each list; 0 for an empty list."""
        return self.sum(values) / jnp.maximum(self.count, 1.0)

    def from_best(self, scores: Array) -> Array:
        """Scores minus the largest score of their list, for losses of score differences."""
        largest = jax.lax.stop_gradient(self.max(scores))
        return scores - jnp.where(jnp.isinf(largest), 0.0, largest)

    def log_softmax(self, scores: Array) -> Array:
        """The log of the softmax over each list."""
        scores = self.from_best(scores)
        total = self.sum(jnp.exp(scores))
        return scores - jnp.log(jnp.where(total == 0, 1.0, total))

    def logsumexp(self, values: Array) -> Array:
        """`log(sum(exp(values)))` of each list; -inf for an empty list."""
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
        """Reduces values per list.

        Args:
          values: a value per list.
          reduce_fn: see `t5rank.types`.
          nan_from: `[..., list]`. A list that has a NaN here is kept, and its value is NaN.
          keep: per list, whether it counts; all by default.
        """
        nan: Any = False
        if nan_from is None:
            valid = self.first()
        else:
            valid, nan = self.first_and_nan(nan_from)
        valid = valid if keep is None else valid & self.per_list(keep | nan)
        values = self.per_list(values if nan_from is None else jnp.where(nan, jnp.nan, values))
        return reduce_lists(values.astype(jnp.float32), valid, reduce_fn)

    def reduce_documents(self, values: Array, reduce_fn: ReduceFn | None) -> Array:
        """Reduces values per document."""
        if reduce_fn is list_means:
            return self.reduce(self.mean(values), reduce_fn, nan_from=values)
        return reduce(values, self.where, reduce_fn)

    def reduce_pairs(
        self, totals: Array, counts: Array, reduce_fn: ReduceFn | None, nan_from: Array
    ) -> Array:
        """Reduces over pairs, from each list's sum and number; `nan_from` is as in `reduce`."""
        totals = self.reduce(totals, None, nan_from)
        return reduce_pairs(totals, self.reduce(counts, None, counts), reduce_fn)

    def top(self, keys: Array, values: Sequence[Array], number: int) -> tuple["Lists", list[Array]]:
        """Like `sort`, but only the first `number` values of each list are right.

        A document whose key is inf may come after masked entries.
        """
        del number
        return self.sort([keys], values)

    def ranks(self, scores: Array, key: Array | None = None) -> Array:
        """The rank of each document, from 1, without a gradient. `key` or the index orders ties."""
        keys = [best_first(scores)] + (
            [] if key is None else [jax.random.uniform(key, scores.shape, jnp.float32)]
        )
        ordered, (indices,) = self.sort(keys, [self.indices])
        return unsort(jnp.broadcast_to(ordered.from_one, scores.shape), indices)

    # The following are for sorted lists.

    @property
    def position(self) -> Array:
        """The position of each document in its list, from 0."""
        return jnp.arange(self.where.shape[-1], dtype=jnp.int32) - self.start

    @property
    def from_one(self) -> Array:
        """The position as a rank: from 1, float32."""
        return self.position.astype(jnp.float32) + 1.0

    def cumsum(self, values: Array, reverse: bool = False) -> Array:
        """Sums up to each document of its list (from each document on, if `reverse`)."""
        return self._scan(jnp.add, jnp.where(self.where, values, 0.0), reverse)

    def cumlogsumexp(self, values: Array, reverse: bool = False) -> Array:
        """The log of the `cumsum` of `exp(values)`; `LOG_ZERO` where that is -inf."""
        known = self.where & ~jnp.isneginf(values)
        return self._scan(jnp.logaddexp, jnp.where(known, values, LOG_ZERO), reverse)

    def tie_start(self, keys: Array) -> Array:
        """The position of the first document of the list that has the same key."""
        before = jnp.concatenate([keys[..., :1], keys[..., :-1]], axis=-1)
        first = (self.position == 0) | (keys != before)
        return self._scan(jnp.maximum, jnp.where(first, self.position, 0), False)

    def tie_mean(self, values: Array, keys: Array) -> Array:
        """The mean of `values` over the list's documents that have the same key."""
        return self._tied(keys).mean(values)

    def tie_sum(self, values: Array, keys: Array) -> Array:
        """The sum of `values` over the list's documents that have the same key."""
        return self._tied(keys).sum(values)

    def _tied(self, keys: Array) -> "Lists":
        return self.starting_at(self.start + self.tie_start(keys))

    def search(self, ordered: Array, values: Array, *, equal: bool) -> Array:
        """How many of each list's `ordered` numbers are below `values`, or `equal` to them, too."""
        low = jnp.zeros(values.shape, jnp.int32)
        high = jnp.broadcast_to(self.count.astype(jnp.int32), values.shape)

        def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = (low + high) // 2
            found = self._at(ordered, middle)
            right = (low < high) & ((found <= values) if equal else (found < values))
            return jnp.where(right, middle + 1, low), jnp.where(right, high, middle)

        return jax.lax.fori_loop(0, values.shape[-1].bit_length(), halve, (low, high))[0]

    def before(self, cumulative: Array, position: Array, empty: float = 0.0) -> Array:
        """The cumulative value over the documents before `position`; `empty` if it has none."""
        return jnp.where(position > 0, self._at(cumulative, position - 1), empty)

    def after(self, cumulative: Array, position: Array, empty: float = 0.0) -> Array:
        """The reverse cumulative value from `position` on; `empty` if no document is there."""
        return jnp.where(position < self.count, self._at(cumulative, position), empty)

    def _at(self, values: Array, position: Array) -> Array:
        index = jnp.clip(self.start + position, 0, values.shape[-1] - 1)
        return jnp.take_along_axis(values, index, axis=-1)
