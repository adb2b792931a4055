"""Metrics that add up what documents are worth times a function of their rank.

Arguments not described here are those of every metric, see `t5rank.types`.
"""

import jax.numpy as jnp

from t5rank import ops
from t5rank.metrics.gains import DiscountFn, GainFn, exponential_gain, log2_discount
from t5rank.metrics.ranking import (
    CutoffFn,
    Order,
    RankFn,
    check_ties,
    finish,
    rank_documents,
    ratio,
)
from t5rank.ops import Lists
from t5rank.types import Array, Labels, ReduceFn, Scores, Where

LARGEST_LABEL = 60.0  # to which others are shifted: the gains of many such still add up in float32


def dcg_metric(
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
    gain_fn: GainFn = exponential_gain,
    discount_fn: DiscountFn = log2_discount,
    rank_fn: RankFn | None = None,
    cutoff_fn: CutoffFn | None = None,
) -> Array:
    r"""Discounted cumulative gain.

    $$\mathrm{DCG} = \sum_i w_i \, \mathrm{gain}(y_i) \, \mathrm{discount}(\mathrm{rank}_i)$$

    Source: Järvelin and Kekäläinen 2002; over ties, McSherry and Najork 2008.

    Args:
      gain_fn: label to gain.
      discount_fn: rank, from 1, to discount.

    >>> float(dcg_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([0, 2, 0]))).__round__(4)
    1.8928
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = jnp.where(lists.where, gain_fn(labels) * weights, 0.0)
    order = Order(topn, ties, key, segments, rank_fn, cutoff_fn)
    ranking = rank_documents(scores, lists, [gains], order)
    worth = ranking.expected(discount_fn(ranking.ranks) * ranking.inside)
    return finish(
        ranking.sum(ranking.columns[0] * worth),
        lists.any(gains != 0),
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        spoiled=scores + labels,
    )


def ndcg_metric(
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
    gain_fn: GainFn = exponential_gain,
    discount_fn: DiscountFn = log2_discount,
    rank_fn: RankFn | None = None,
    cutoff_fn: CutoffFn | None = None,
) -> Array:
    r"""Normalized discounted cumulative gain.

    $$\mathrm{NDCG} = \frac{\mathrm{DCG}(s, y)}{\mathrm{DCG}(y, y)}$$

    with the DCG of `dcg_metric`. With `gain_fn=linear_gain` it is trec_eval's. Exponential gains of
    labels above 60 are scaled down, which changes no quotient, and do not overflow. Source:
    Järvelin and Kekäläinen 2002; over ties, McSherry and Najork 2008.

    Args:
      weights: multiply the gains, of the ideal order too.
      gain_fn: label to gain.
      discount_fn: rank, from 1, to discount.

    >>> float(ndcg_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([0, 1, 0]))).__round__(4)
    0.6309
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = _scaled_gains(labels, lists, gain_fn) * weights
    order = Order(topn, ties, key, segments, rank_fn, cutoff_fn)
    ranking = rank_documents(scores, lists, [gains], order)
    worth = ranking.expected(discount_fn(ranking.ranks) * ranking.inside)
    ideal = rank_documents(gains, lists, [gains], Order(topn))
    best = ideal.sum(ideal.columns[0] * discount_fn(ideal.ranks) * ideal.inside)
    return finish(
        ratio(ranking.sum(ranking.columns[0] * worth), best),
        best > 0,
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        spoiled=scores + labels,
    )


def arp_metric(
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
) -> Array:
    r"""Average relevance position: the mean rank of relevance. Lower is better.

    $$\mathrm{ARP} = \frac{\sum_i w_i \, y_i \, \mathrm{rank}_i}{\sum_i w_i \, y_i}$$

    Documents that were not retrieved rank last; labels below 0 count as 0. With `topn` both sums
    are over the documents up to that rank: a list without relevance there is an empty one. Source:
    Zhu and Klabjan 2020; TF-Ranking.

    Raises:
      ValueError: `topn` with average ties.

    >>> float(arp_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([1, 0, 1])))
    2.0
    """
    check_ties(ties, () if topn is None else ("average",), "ARP with 'topn'")
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = jnp.maximum(labels, 0.0) * weights
    last = jnp.finfo(jnp.float32).min
    ranking = rank_documents(jnp.maximum(scores, last), lists, [gains], Order(topn, ties, key))
    gains = ranking.columns[0] * ranking.inside
    total = ranking.sum(gains)
    return finish(
        ratio(ranking.sum(gains * ranking.expected(ranking.ranks)), total),
        total > 0,
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        spoiled=scores + labels,
    )


def _scaled_gains(labels: Array, lists: Lists, gain_fn: GainFn) -> Array:
    """Gains, up to a factor for each list with exponential gains that are too large."""
    if gain_fn is not exponential_gain:
        return jnp.where(lists.where, gain_fn(labels), 0.0)
    shift = jnp.maximum(lists.max(labels) - LARGEST_LABEL, 0.0)
    return jnp.where(lists.where, 2.0 ** (labels - shift) - 2.0**-shift, 0.0)
