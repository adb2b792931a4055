"""What all metrics share: the documents of every list, best first, and what empty lists score.

A document whose score is -inf was not retrieved: it has no rank, and still counts as one that
should have been found, as a judged document does that is missing from a run.
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
    """The documents of every list, best first.

    Attributes:
      lists: the lists in this order; as they came where only ranks matter and they are approximate.
      columns: numbers of the documents, 0 at those not retrieved.
      ranks: from 1; approximate with a `rank_fn`.
      inside: 1 up to rank `topn`, then 0; in between with a `cutoff_fn`.
      keys: tied documents have the same.
      average: whether tied documents are in every order.
      smooth: whether ranks or cutoffs are approximate.
      original: the lists as they came.
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
        """What a document gets of values per rank: with average ties their mean over the ties."""
        return self.lists.tie_mean(values, self.keys) if self.average else values

    def sum(self, values: Array) -> Array:
        """The sum over each list, as values of the lists as they came."""
        return self._in_original_order(self.lists.sum(values))

    def max(self, values: Array) -> Array:
        """The largest value of each list, none below 0."""
        return self._in_original_order(jnp.maximum(self.lists.max(values), 0.0))

    def _in_original_order(self, values: Array) -> Array:
        return values if self.lists is self.original else self.original.from_sorted(values)


@dataclasses.dataclass(frozen=True)
class Order:
    """How a metric orders documents.

    Attributes:
      topn: ranks after it are not inside.
      ties: one of `TIES`.
      key: for random ties.
      segments: as the caller gave them, for the two functions.
      rank_fn: see `t5rank.losses.transformations`.
      cutoff_fn: as above.

    Raises:
      ValueError: `topn` is below 1, `ties` are none of `TIES`, or random without a key.
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
        """Whether ranks or cutoffs are approximate."""
        return self.rank_fn is not None or self.cutoff_fn is not None

    def tie_breaks(self, scores: Array, gains: Array) -> list[Array]:
        """The keys that order documents of equal scores, beyond their order in the list."""
        if self.key is not None and self.ties in ("order", "random"):
            return [jax.random.uniform(self.key, scores.shape, jnp.float32)]
        return {"optimistic": [-gains], "pessimistic": [gains]}.get(self.ties, [])


def rank_documents(
    scores: Array, lists: Lists, columns: Sequence[Array], order: Order, *, in_order: bool = False
) -> Ranking:
    """Puts the documents of every list in order.

    Args:
      scores: as `as_lists` gives them.
      lists: likewise.
      columns: numbers of the documents; where all are 0 the rank does not matter. The first one
        orders the documents of optimistic and pessimistic ties.
      order: how.
      in_order: whether it matters what is above a document, where ranks are approximate too.
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
    """What approximate ranks and cutoffs are computed from."""

    scores: Array
    lists: Lists
    retrieved: Array
    order: Order

    def places(self, needed: Array) -> tuple[Array, Array]:
        """`(ranks, places)`: the ranks where needed, and what orders documents like the ranks."""
        topn, key, rank_fn = self.order.topn, self.order.key, self.order.rank_fn
        exact = self.lists.ranks(self.scores, key)
        if rank_fn is None:
            return exact, exact
        keywords = {"where": self.retrieved, "segments": self.order.segments, "key": key}
        rows = needed & self.retrieved
        if topn is not None:  # the cut is between these two
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

    def inside(self, places: Array) -> Array:
        """How far each document is inside of `topn`."""
        topn, cutoff_fn, segments = self.order.topn, self.order.cutoff_fn, self.order.segments
        if topn is None:
            return jnp.ones(places.shape, jnp.float32)
        if cutoff_fn is None:
            cut = self.lists.ranks(jnp.where(self.retrieved, -places, -jnp.inf)) <= topn
            return cut.astype(jnp.float32)
        return cutoff_fn(-places, n=topn, where=self.retrieved, segments=segments)


def _smooth_ranking(smooth: _Smooth, columns: Sequence[Array], in_order: bool) -> Ranking:
    needed = jnp.any(jnp.stack([column != 0 for column in columns]), axis=0)
    ranks, places = smooth.places(needed)
    inside = jnp.where(needed, smooth.inside(places), 0.0)
    keys, ordered = jax.lax.stop_gradient(places), smooth.lists
    if in_order:
        values = [keys, ranks, inside, *columns]
        ordered, (keys, ranks, inside, *columns) = ordered.sort([keys], values)
    return Ranking(ordered, tuple(columns), ranks, inside, keys, False, True, original=smooth.lists)


def finish(
    values: Array,
    found: Array,
    lists: Lists,
    *,
    empty: int | str,
    reduce_fn: ReduceFn | None,
    nan_from: Array,
) -> Array:
    """Reduces a metric, where lists that had nothing to find score what `empty` says.

    Args:
      values: a value per list, 0 where there was nothing to find.
      found: per list, whether there was anything to find.
      lists: the lists.
      empty: 0, 1 or "skip".
      reduce_fn: see `t5rank.types`.
      nan_from: `[..., list]`, NaN where the list's value is NaN.
    """
    check_choice("empty", empty, (0, 1, "skip"))
    if empty == 1:
        values = jnp.where(found, values, 1.0)
    return lists.reduce(values, reduce_fn, nan_from, keep=found if empty == "skip" else None)


def relevance(labels: Array, lists: Lists, threshold: float) -> Array:
    """1 at documents whose label is at least `threshold`, 0 at others."""
    where = lists.where if labels.ndim == lists.where.ndim else lists.where[..., None]
    return (where & (labels >= threshold)).astype(jnp.float32)


def ratio(total: Array, of: Array) -> Array:
    """The quotient, 0 where it would divide by nothing."""
    return jnp.where(of > 0, total / jnp.where(of > 0, of, 1.0), 0.0)


def check_topn(topn: int | None) -> None:
    """Raises ValueError where `topn` is below 1."""
    if topn is not None and topn < 1:
        raise ValueError(f"Argument 'topn' has {topn}; expected None or a number of at least 1.")


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raises ValueError where a value is none of the choices."""
    if value not in choices:
        names = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"Argument '{name}' has {value!r}; expected one of {names}.")


def check_ties(ties: str, without: Sequence[str], metric: str) -> None:
    """Raises ValueError for ties that a metric has no formula for."""
    check_choice("ties", ties, TIES)
    if ties in without:
        names = ", ".join(repr(choice) for choice in TIES if choice not in without)
        raise ValueError(f"Argument 'ties' has {ties!r}; expected one of {names} for {metric}.")


def check_no_weights(weights: Array | None, metric: str) -> None:
    """Raises ValueError where weights are given to a metric without weights."""
    if weights is not None:
        raise ValueError(
            f"Argument 'weights' has an array; expected None: {metric} has no weights."
        )


def check_cut(topn: int | None, rank_fn: RankFn | None, cutoff_fn: CutoffFn | None) -> None:
    """Raises ValueError where only the cut depends on the scores, and there is none."""
    if topn is None and (rank_fn is not None or cutoff_fn is not None):
        raise ValueError(
            "Argument 'topn' has None; expected a number: without a cut the metric does not depend "
            "on approximate ranks, and the gradient is 0."
        )
