"""The parts that all metrics share: the ranking of every list, the score of empty lists, checks.

A document whose score is -inf was not retrieved. It has no rank, but it counts among the documents
to be found, like a judged document that is missing from a run.
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from t5rank.ops import Lists, best_first
from t5rank.types import Array, ReduceFn

TIES = ("order", "random", "average", "optimistic", "pessimistic")
RankFn = Callable[..., Array]
CutoffFn = Callable[..., Array]


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The ranked documents of every list.

    Attributes:
      lists: the lists, sorted by rank. Approximate ranks leave the caller's order if only ranks
        matter.
      columns: numbers of the documents, 0 for those that were not retrieved.
      ranks: from 1; approximate with a `rank_fn`.
      inside: 1 up to rank `topn` and 0 after it; numbers in between with a `cutoff_fn`.
      keys: numbers that only tied documents share.
      average: whether the metric is the mean over all orders of tied documents.
      smooth: whether ranks or cutoffs are approximate.
      original: the caller's lists.
    """

    lists: Lists
    columns: tuple[Array, ...]
    ranks: Array
    inside: Array
    keys: Array
    average: bool
    smooth: bool
    original: Lists

    def expected(self, values: Array) -> Array:
        """The documents' values, from values per rank. Average ties give them their mean."""
        return self.lists.tie_mean(values, self.keys) if self.average else values

    def sum(self, values: Array) -> Array:
        """The sum over each list, as values per list of the caller's lists."""
        return self._in_original_order(self.lists.sum(values))

    def max(self, values: Array) -> Array:
        """The largest value of each list, at least 0, as values per list of the caller's lists."""
        return self._in_original_order(jnp.maximum(self.lists.max(values), 0.0))

    def _in_original_order(self, values: Array) -> Array:
        return values if self.lists is self.original else self.original.from_sorted(values)


@dataclasses.dataclass(frozen=True)
class Order:
    """How a metric ranks documents.

    Attributes:
      topn: ranks after it do not count.
      ties: one of `TIES`.
      key: a PRNG key for random ties.
      segments: the caller's segments, which are passed to the two functions.
      rank_fn: see `t5rank.losses.transformations`.
      cutoff_fn: see `t5rank.losses.transformations`.

    Raises:
      ValueError: `topn` is below 1, `ties` is not one of `TIES`, or ties are random without a key.
    """

    topn: int | None = None
    ties: str = "order"
    key: Array | None = None
    segments: Array | None = None
    rank_fn: RankFn | None = None
    cutoff_fn: CutoffFn | None = None

    def __post_init__(self) -> None:
        check_topn(self.topn)
        check_choice("ties", self.ties, TIES)
        if self.ties == "random" and self.key is None:
            raise ValueError("Argument 'key' has None; expected a PRNG key for ties='random'.")

    @property
    def smooth(self) -> bool:
        return self.rank_fn is not None or self.cutoff_fn is not None

    def tie_breaks(self, scores: Array, gains: Array) -> list[Array]:
        """Sort keys for documents of equal scores; empty for the order of the list."""
        if self.key is not None and self.ties in ("order", "random"):
            return [jax.random.uniform(self.key, scores.shape, jnp.float32)]
        return {"optimistic": [-gains], "pessimistic": [gains]}.get(self.ties, [])


def rank_documents(
    scores: Array, lists: Lists, columns: Sequence[Array], order: Order, *, in_order: bool = False
) -> Ranking:
    """Ranks the documents of every list.

    Args:
      scores: the scores that `as_lists` returns.
      lists: the lists that `as_lists` returns.
      columns: numbers of the documents. The rank of a document is needed unless all of them are 0.
        The first column orders optimistic and pessimistic ties.
      order: how to rank them.
      in_order: whether approximate ranks sort the lists, too.
    """
    retrieved = lists.where & ~jnp.isneginf(scores)
    columns = tuple(jnp.where(retrieved, column, 0.0) for column in columns)
    if order.smooth:
        return _smooth_ranking(_Smooth(scores, lists, retrieved, order), columns, in_order)
    topn, average = order.topn, order.ties == "average"
    keys, tie_keys = best_first(scores), order.tie_breaks(scores, columns[0])
    if average:
        ordered, (keys, *columns) = lists.sort([keys], [keys, *columns])
    elif topn is not None and not tie_keys:
        ordered, columns = lists.top(keys, columns, topn)
    else:
        ordered, columns = lists.sort([keys, *tie_keys], columns)
    ranks = jnp.broadcast_to(ordered.from_one, ordered.where.shape)
    inside = (
        jnp.ones(ranks.shape, jnp.float32) if topn is None else (ranks <= topn).astype(jnp.float32)
    )
    return Ranking(ordered, tuple(columns), ranks, inside, keys, average, False, original=lists)


@dataclasses.dataclass(frozen=True)
class _Smooth:
    """Approximate ranks and cutoffs of lists."""

    scores: Array
    lists: Lists
    retrieved: Array
    order: Order

    def ranks_and_keys(self, needed: Array) -> tuple[Array, Array]:
        """The ranks where needed, and sort keys that order all documents like their ranks."""
        topn, key, rank_fn = self.order.topn, self.order.key, self.order.rank_fn
        exact = self.lists.ranks(self.scores, key)
        if rank_fn is None:
            return exact, exact
        keywords = {"where": self.retrieved, "segments": self.order.segments, "key": key}
        rows = needed & self.retrieved
        if topn is not None:  # the cutoff is between these two
            rows |= self.retrieved & ((exact == topn) | (exact == topn + 1))
        scores = jnp.where(self.retrieved, self.scores, 0.0)
        if "rows" not in inspect.signature(rank_fn).parameters:
            ranks = rank_fn(scores, **keywords)
            ranks = jnp.where(self.retrieved, ranks, 1.0)
            return ranks, ranks
        ranks = rank_fn(scores, **keywords, rows=rows)
        outside = (
            jnp.ones(exact.shape, jnp.float32)
            if topn is None
            else jnp.where(exact < topn, 0.0, 1e30)
        )
        return jnp.where(rows, ranks, 1.0), jnp.where(rows, ranks, outside)

    def inside(self, keys: Array) -> Array:
        """`Ranking.inside`, from the sort keys of the documents."""
        topn, cutoff_fn, segments = self.order.topn, self.order.cutoff_fn, self.order.segments
        if topn is None:
            return jnp.ones(keys.shape, jnp.float32)
        if cutoff_fn is None:
            within = self.lists.ranks(jnp.where(self.retrieved, -keys, -jnp.inf)) <= topn
            return within.astype(jnp.float32)
        return cutoff_fn(-keys, n=topn, where=self.retrieved, segments=segments)


def _smooth_ranking(smooth: _Smooth, columns: Sequence[Array], in_order: bool) -> Ranking:
    needed = jnp.any(jnp.stack([column != 0 for column in columns]), axis=0)
    ranks, keys = smooth.ranks_and_keys(needed)
    inside = jnp.where(needed, smooth.inside(keys), 0.0)
    keys, ordered = jax.lax.stop_gradient(keys), smooth.lists
    if in_order:
        values = [keys, ranks, inside, *columns]
        ordered, (keys, ranks, inside, *columns) = ordered.sort([keys], values)
    return Ranking(ordered, tuple(columns), ranks, inside, keys, False, True, original=smooth.lists)


def finish(
    values: Array,
    answerable: Array,
    lists: Lists,
    *,
    empty: int | str,
    reduce_fn: ReduceFn | None,
    nan_from: Array,
) -> Array:
    """Reduces a metric over lists. `empty` is the score of a list that has nothing to find.

    Args:
      values: a value per list, 0 for a list that has nothing to find.
      answerable: per list, whether it has anything to find.
      lists: the lists.
      empty: 0, 1 or "skip".
      reduce_fn: see `t5rank.types`.
      nan_from: `[..., list]`. A NaN in a list makes its value NaN.
    """
    check_choice("empty", empty, (0, 1, "skip"))
    if empty == 1:
        values = jnp.where(answerable, values, 1.0)
    return lists.reduce(values, reduce_fn, nan_from, keep=answerable if empty == "skip" else None)


def relevance(labels: Array, lists: Lists, threshold: float) -> Array:
    """1 for documents whose label is at least `threshold`, 0 for others."""
    where = lists.where if labels.ndim == lists.where.ndim else lists.where[..., None]
    return (where & (labels >= threshold)).astype(jnp.float32)


def ratio(numerator: Array, denominator: Array) -> Array:
    """The quotient; 0 where the denominator is not above 0."""
    above = denominator > 0
    return jnp.where(above, numerator / jnp.where(above, denominator, 1.0), 0.0)


def check_topn(topn: int | None) -> None:
    if topn is not None and topn < 1:
        raise ValueError(f"Argument 'topn' has {topn}; expected None or a number of at least 1.")


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    if value not in choices:
        names = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"Argument '{name}' has {value!r}; expected one of {names}.")


def check_ties(ties: str, without: Sequence[str], metric: str) -> None:
    """Raises ValueError for `ties` that are unknown, or that the metric is `without`."""
    check_choice("ties", ties, TIES)
    if ties in without:
        names = ", ".join(repr(choice) for choice in TIES if choice not in without)
        raise ValueError(f"Argument 'ties' has {ties!r}; expected one of {names} for {metric}.")


def check_no_weights(weights: Array | None, metric: str) -> None:
    if weights is not None:
        raise ValueError(
            f"Argument 'weights' has an array; expected None. The metric {metric} takes no weights."
        )


def check_cut(topn: int | None, rank_fn: RankFn | None, cutoff_fn: CutoffFn | None) -> None:
    """Raises ValueError if a metric that depends on ranks only by its cutoff has no cutoff."""
    if topn is None and (rank_fn is not None or cutoff_fn is not None):
        raise ValueError(
            "Argument 'topn' has None; expected a number. Without a cutoff the metric does not "
            "depend on approximate ranks, and the gradient is 0."
        )
