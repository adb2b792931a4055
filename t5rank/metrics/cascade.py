"""Metrics of a user who reads from the top and stops at a document that satisfies (cascade model).

Document i satisfies with the probability $p_i$. The user reaches it if no document above it
satisfied, with the probability $\\prod_{j \\text{ above } i} (1 - p_j)$.

`t5rank.types` describes the arguments that every metric has.
"""

import jax.numpy as jnp

from t5rank import ops
from t5rank.metrics.gains import shifted_gain
from t5rank.metrics.ranking import (
    CutoffFn,
    Order,
    RankFn,
    Ranking,
    check_cut,
    check_no_weights,
    check_ties,
    finish,
    rank_documents,
    relevance,
)
from t5rank.types import Array, Labels, ReduceFn, Scores, Where


def mrr_metric(
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
    rank_fn: RankFn | None = None,
    cutoff_fn: CutoffFn | None = None,
) -> Array:
    r"""Mean reciprocal rank of the first relevant document.

    $$\mathrm{MRR} = \max_i \frac{w_i \, [y_i \ge t]}{\mathrm{rank}_i}$$

    Source: Voorhees 1999; for average ties, McSherry and Najork 2008.

    Raises:
      ValueError: weights and average ties are given together, for which no formula is known.

    >>> float(mrr_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([0, 1, 1])))
    0.5
    """
    if weights is not None:
        check_ties(ties, ("average",), "MRR with weights")
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = relevance(labels, lists, threshold) * weights
    order = Order(topn, ties, key, segments, rank_fn, cutoff_fn)
    ranking = rank_documents(scores, lists, [gains], order)
    worth = ranking.inside / ranking.ranks
    return finish(
        _of_first_relevant(ranking, worth),
        lists.any(gains != 0),
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        nan_from=scores + labels,
    )


def hits_metric(
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
    rank_fn: RankFn | None = None,
    cutoff_fn: CutoffFn | None = None,
) -> Array:
    r"""Whether a relevant document is among the first `topn`: trec_eval's success.

    $$\mathrm{Hits@k} = \max_i \, [y_i \ge t] \, [\mathrm{rank}_i \le k]$$

    Raises:
      ValueError: weights are given.

    >>> float(hits_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([0, 1, 1]), topn=1))
    0.0
    """
    check_no_weights(weights, "hits")
    check_cut(topn, rank_fn, cutoff_fn)
    scores, labels, _, lists = ops.as_lists(scores, labels, where, segments)
    relevant = relevance(labels, lists, threshold)
    order = Order(topn, ties, key, segments, rank_fn, cutoff_fn)
    ranking = rank_documents(scores, lists, [relevant], order)
    return finish(
        _of_first_relevant(ranking, ranking.inside),
        lists.any(relevant != 0),
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        nan_from=scores + labels,
    )


def err_metric(
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
    largest_label: float = 4.0,
    rank_fn: RankFn | None = None,
    cutoff_fn: CutoffFn | None = None,
) -> Array:
    r"""Expected reciprocal rank of the document that satisfies the user.

    $$\mathrm{ERR} = \sum_i \frac{p_i}{\mathrm{rank}_i} \prod_{j \text{ above } i} (1 - p_j), \quad
    p_i = \frac{2^{y_i} - 1}{2^{y_{max}}}$$

    With approximate ranks, the documents above another are still exact. Source: Chapelle et al.
    2009; gdeval's largest label is 4.

    Args:
      largest_label: $y_{max}$ of the scale, not of the list. A larger label always satisfies.

    Raises:
      ValueError: weights or average ties are given.

    >>> float(err_metric(jnp.array([2.0, 1.0]), jnp.array([0, 1]), largest_label=1.0))
    0.25
    """
    check_no_weights(weights, "ERR")
    check_ties(ties, ("average",), "ERR")
    scores, labels, _, lists = ops.as_lists(scores, labels, where, segments)
    satisfied = shifted_gain(jnp.maximum(labels, 0.0), jnp.float32(largest_label))
    satisfied = jnp.where(lists.where, jnp.minimum(satisfied, 1.0), 0.0)
    order = Order(topn, ties, key, segments, rank_fn, cutoff_fn)
    ranking = rank_documents(scores, lists, [satisfied], order, in_order=True)
    stops = _stops(ranking, ranking.columns[0])
    return finish(
        ranking.sum(stops * ranking.inside / ranking.ranks),
        lists.any(satisfied != 0),
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        nan_from=scores + labels,
    )


def _of_first_relevant(ranking: Ranking, worth: Array) -> Array:
    """The worth of the first relevant document, for a worth that falls with the rank."""
    (gains,) = ranking.columns
    if not ranking.average:
        return ranking.max(gains * worth)
    # Every tied document is equally likely to be relevant: a share of those that are left.
    lists, keys = ranking.lists, ranking.keys
    tied = lists.tie_sum(jnp.ones(gains.shape, jnp.float32), keys)
    left = tied - (lists.position - lists.tie_start(keys))
    stops = _stops(ranking, jnp.minimum(lists.tie_sum(gains, keys) / left, 1.0))
    return ranking.sum(stops * worth)


def _stops(ranking: Ranking, satisfied: Array) -> Array:
    """The probability that the user stops at each document."""
    lists = ranking.lists
    goes_on = lists.cumsum(jnp.log1p(-satisfied))
    return satisfied * jnp.exp(lists.before(goes_on, lists.position))
