"""Metrics of binary relevance: how many of the first documents are relevant.

`t5rank.types` describes the arguments that every metric has.
"""

import jax.numpy as jnp

from t5rank import ops
from t5rank.metrics.ranking import (
    CutoffFn,
    Order,
    RankFn,
    Ranking,
    check_choice,
    check_cut,
    finish,
    rank_documents,
    ratio,
    relevance,
)
from t5rank.ops import Lists
from t5rank.types import Array, Labels, ReduceFn, Scores, Where


def precision_metric(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    topn: int | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
    key: Array | None = None,
    ties: str = "order",
    empty: int | str = 0,
    threshold: float = 1.0,
    denominator: str = "retrieved",
    rank_fn: RankFn | None = None,
    cutoff_fn: CutoffFn | None = None,
) -> Array:
    r"""Precision: the share of relevant documents among the first `topn`.

    $$\mathrm{P@k} = \frac{1}{\min(k, n)} \sum_{\mathrm{rank}_i \le k} w_i \, [y_i \ge t]$$

    Args:
      denominator: "retrieved": the number of retrieved documents, at most `topn`, as in Rax.
        "topn": `topn` itself, as in trec_eval.

    >>> scores, labels = jnp.array([3.0, 2.0, 1.0]), jnp.array([0, 1, 1])
    >>> float(precision_metric(scores, labels, topn=2))
    0.5
    """
    check_choice("denominator", denominator, ("retrieved", "topn"))
    check_cut(topn, rank_fn, cutoff_fn)
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = relevance(labels, lists, threshold) * weights
    order = Order(topn, ties, key, segments, rank_fn, cutoff_fn)
    found = _found(scores, gains, lists, order)
    return finish(
        ratio(found, retrieved_count(scores, lists, topn, denominator)),
        lists.any(gains != 0),
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        nan_from=scores + labels,
    )


def recall_metric(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    topn: int | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
    key: Array | None = None,
    ties: str = "order",
    empty: int | str = 0,
    threshold: float = 1.0,
    denominator: str = "relevant",
    rank_fn: RankFn | None = None,
    cutoff_fn: CutoffFn | None = None,
) -> Array:
    r"""Recall: the share of the relevant documents that are among the first `topn`.

    $$\mathrm{R@k} = \frac{\sum_{\mathrm{rank}_i \le k} w_i \, [y_i \ge t]}
    {\sum_i w_i \, [y_i \ge t]}$$

    Args:
      denominator: "relevant": all relevant documents. "capped": at most `topn` of them, so that the
        best ranking has 1.

    >>> scores, labels = jnp.array([3.0, 2.0, 1.0]), jnp.array([0, 1, 1])
    >>> float(recall_metric(scores, labels, topn=2))
    0.5
    """
    check_cut(topn, rank_fn, cutoff_fn)
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = relevance(labels, lists, threshold) * weights
    order = Order(topn, ties, key, segments, rank_fn, cutoff_fn)
    found = _found(scores, gains, lists, order)
    total = relevant_total(gains, lists, topn, denominator)
    return finish(
        ratio(found, total),
        total > 0,
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        nan_from=scores + labels,
    )


def ap_metric(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    topn: int | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
    key: Array | None = None,
    ties: str = "order",
    empty: int | str = 0,
    threshold: float = 1.0,
    denominator: str = "relevant",
    rank_fn: RankFn | None = None,
    cutoff_fn: CutoffFn | None = None,
) -> Array:
    r"""Average precision: the mean over the relevant documents of the precision at their ranks.

    $$\mathrm{AP} = \frac{\sum_{\mathrm{rank}_i \le k} w_i \, [y_i \ge t] \,
    \mathrm{P@rank}_i}{\sum_i w_i \, [y_i \ge t]}$$

    With approximate ranks, P@rank is the exact number of relevant documents down to document i
    divided by its approximate rank. Source of average ties: McSherry and Najork 2008.

    Args:
      weights: the weights of the relevant documents in the mean.
      denominator: "relevant" or "capped", as in `recall_metric`.

    >>> float(ap_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([1, 0, 1]))).__round__(4)
    0.8333
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    relevant = relevance(labels, lists, threshold)
    gains = relevant * weights
    order = Order(topn, ties, key, segments, rank_fn, cutoff_fn)
    ranking = rank_documents(scores, lists, [gains, relevant], order, in_order=True)
    precisions = ranking.expected(_relevant_down_to(ranking) / ranking.ranks * ranking.inside)
    total = relevant_total(gains, lists, topn, denominator)
    return finish(
        ratio(ranking.sum(ranking.columns[0] * precisions), total),
        total > 0,
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        nan_from=scores + labels,
    )


def _relevant_down_to(ranking: Ranking) -> Array:
    """How many relevant documents are ranked down to each relevant one, which counts, too."""
    lists, relevant = ranking.lists, ranking.columns[1]
    count = lists.cumsum(relevant)
    if not (ranking.average or ranking.smooth):
        return count
    start = lists.tie_start(ranking.keys)
    others = jnp.maximum(lists.tie_sum(relevant, ranking.keys) - 1.0, 0.0)
    if ranking.smooth:  # on average half of the other tied relevant documents are above
        share = jnp.full(count.shape, 0.5, jnp.float32)
    else:
        tied = lists.tie_sum(jnp.ones(count.shape, jnp.float32), ranking.keys)
        share = (lists.position - start) / jnp.maximum(tied - 1.0, 1.0)
    return lists.before(count, start) + 1.0 + others * share


def relevant_total(gains: Array, lists: Lists, topn: int | None, denominator: str) -> Array:
    """The denominator of recall and of average precision."""
    check_choice("denominator", denominator, ("relevant", "capped"))
    if denominator == "relevant" or topn is None:
        return lists.sum(gains)
    ideal = rank_documents(gains, lists, [gains], Order(topn))
    return ideal.sum(ideal.columns[0] * ideal.inside)


def retrieved_count(scores: Array, lists: Lists, topn: int | None, denominator: str) -> Array:
    """The denominator of precision."""
    retrieved = lists.sum((~jnp.isneginf(scores)).astype(jnp.float32))
    if topn is None:
        return retrieved
    if denominator == "retrieved":
        return jnp.minimum(retrieved, topn)
    return jnp.full((1,), topn, jnp.float32)


def _found(scores: Array, gains: Array, lists: Lists, order: Order) -> Array:
    """The gains of each list's retrieved documents up to rank `topn`."""
    if order.topn is None:  # the order does not matter
        order.tie_breaks(scores, gains)
        return lists.sum(jnp.where(jnp.isneginf(scores), 0.0, gains))
    ranking = rank_documents(scores, lists, [gains], order)
    return ranking.sum(ranking.columns[0] * ranking.expected(ranking.inside))
