"""Metrics of queries with several meanings: labels are `[..., list, subtopics]`.

`t5rank.types` describes the other arguments that every metric has.
"""

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.metrics.binary import retrieved_count
from t5rank.metrics.gains import DiscountFn, log2_discount
from t5rank.metrics.ranking import (
    CutoffFn,
    Order,
    RankFn,
    check_choice,
    check_cut,
    check_no_weights,
    check_ties,
    finish,
    rank_documents,
    ratio,
    relevance,
)
from t5rank.types import Array, ReduceFn, Scores, SubtopicLabels, Where


def alpha_dcg_metric(
    scores: Scores,
    labels: SubtopicLabels,
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
    alpha: float = 0.5,
    discount_fn: DiscountFn = log2_discount,
    rank_fn: RankFn | None = None,
    cutoff_fn: CutoffFn | None = None,
) -> Array:
    r"""Alpha-DCG: the gain of a subtopic falls with every document about it that is ranked above.

    $$\alpha\mathrm{DCG} = \sum_i \mathrm{discount}(\mathrm{rank}_i) \sum_t [y_{it} \ge 1]
    \, (1 - \alpha)^{|\{j \text{ above } i: y_{jt} \ge 1\}|}$$

    It is not normalized, like TF-Ranking's. With approximate ranks, the documents above another are
    still exact. Source: Clarke et al. 2008.

    Args:
      alpha: the share of the gain that each repetition loses.
      discount_fn: maps a rank, from 1, to its discount.

    Raises:
      ValueError: weights are given, or average, optimistic or pessimistic ties.

    >>> scores, labels = jnp.array([2.0, 1.0]), jnp.array([[1, 0], [1, 0]])
    >>> float(alpha_dcg_metric(scores, labels)).__round__(4)  # 1 + 0.5 / log2(3)
    1.3155
    """
    check_no_weights(weights, "alpha-DCG")
    check_ties(ties, ("average", "optimistic", "pessimistic"), "alpha-DCG")
    scores, labels, _, lists = ops.as_lists(scores, labels, where, segments, subtopics=True)
    relevant = relevance(labels, lists, threshold)
    columns = list(jnp.moveaxis(relevant, -1, 0))
    order = Order(topn, ties, key, segments, rank_fn, cutoff_fn)
    ranking = rank_documents(scores, lists, columns, order, in_order=True)
    gains = sum(
        column * (1.0 - alpha) ** (ranking.lists.cumsum(column) - column)
        for column in ranking.columns
    )
    return finish(
        ranking.sum(gains * discount_fn(ranking.ranks) * ranking.inside),
        lists.any(jnp.any(relevant > 0, axis=-1)),
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        nan_from=scores + jnp.max(labels, axis=-1),
    )


def precision_ia_metric(
    scores: Scores,
    labels: SubtopicLabels,
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
    r"""Intent-aware precision: the mean precision over the subtopics that have a relevant document.

    All subtopics have the same weight, as in TF-Ranking. Source: Agrawal et al. 2009.

    Args:
      denominator: the denominator of each precision, see `precision_metric`.

    Raises:
      ValueError: weights are given.

    >>> scores, labels = jnp.array([2.0, 1.0]), jnp.array([[1, 0, 0], [1, 1, 0]])
    >>> float(precision_ia_metric(scores, labels, topn=1))
    0.5
    """
    check_no_weights(weights, "intent-aware precision")
    check_choice("denominator", denominator, ("retrieved", "topn"))
    check_cut(topn, rank_fn, cutoff_fn)
    scores, labels, _, lists = ops.as_lists(scores, labels, where, segments, subtopics=True)
    relevant = relevance(labels, lists, threshold)
    subtopics = jnp.sum(jax.vmap(lists.any, in_axes=-1, out_axes=-1)(relevant), axis=-1)
    order = Order(topn, ties, key, segments, rank_fn, cutoff_fn)
    ranking = rank_documents(scores, lists, [jnp.sum(relevant, axis=-1)], order)
    total = ranking.sum(ranking.columns[0] * ranking.expected(ranking.inside))
    shown = retrieved_count(scores, lists, topn, denominator)
    return finish(
        ratio(ratio(total, shown), subtopics),
        subtopics > 0,
        lists,
        empty=empty,
        reduce_fn=reduce_fn,
        nan_from=scores + jnp.max(labels, axis=-1),
    )
