"""Metrics that sum the documents' gains times a function of their ranks.

`t5rank.types` describes the arguments that every metric has.
"""

import jax.numpy as jnp

from t5rank import ops
from t5rank.metrics.gains import (
    DiscountFn,
    GainFn,
    exponential_gain,
    linear_gain,
    log2_discount,
    product,
    relative_gains,
)
from t5rank.metrics.ranking import (
    CutoffFn,
    Order,
    RankFn,
    check_ties,
    finish,
    rank_documents,
    ratio,
)
from t5rank.types import Array, Labels, ReduceFn, Scores, Where


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

    It is infinite where it is more than a float32 holds, as with a label of 128 among the first
    `topn`. Its gradient by approximate ranks is then not finite. Source: Järvelin and Kekäläinen
    2002; for average ties, McSherry and Najork 2008.

    Args:
      gain_fn: maps a label to its gain.
      discount_fn: maps a rank, from 1, to its discount.

    >>> float(dcg_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([0, 2, 0]))).__round__(4)
    1.8928
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = jnp.where(lists.where, product(gain_fn(labels), weights), 0.0)
    order = Order(topn, ties, key, segments, rank_fn, cutoff_fn)
    ranking = rank_documents(scores, lists, [gains], order)
    worth = ranking.expected(discount_fn(ranking.ranks) * ranking.inside)
    return finish(
        ranking.sum(product(ranking.columns[0], worth)),
        lists.any(gains != 0),
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        nan_from=scores + labels,
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

    where DCG is `dcg_metric`. With `gain_fn=linear_gain` it is trec_eval's nDCG. Large gains are
    scaled down, so that no label overflows. This does not change the quotient. Source: Järvelin and
    Kekäläinen 2002; for average ties, McSherry and Najork 2008.

    Args:
      weights: they multiply the gains, also those of the ideal order.
      gain_fn: maps a label to its gain.
      discount_fn: maps a rank, from 1, to its discount.

    >>> float(ndcg_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([0, 1, 0]))).__round__(4)
    0.6309
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = relative_gains(labels, weights, lists, gain_fn)
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
        nan_from=scores + labels,
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

    Documents that were not retrieved rank last. Labels below 0 count as 0. With `topn` both sums
    are over the documents up to that rank, and a list without relevance among them is empty.
    Source: Zhu and Klabjan 2020; TF-Ranking.

    Raises:
      ValueError: `topn` and average ties are given together.

    >>> float(arp_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([1, 0, 1])))
    2.0
    """
    check_ties(ties, () if topn is None else ("average",), "ARP with 'topn'")
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = relative_gains(labels, weights, lists, linear_gain)
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
        nan_from=scores + labels,
    )
