"""Metrics of a ranked list: one value in [0, 1] per list."""

from collections.abc import Callable

import jax.numpy as jnp

from t5rank import ops
from t5rank.metrics.gains import exponential_gain, log2_discount
from t5rank.types import Array, Labels, ReduceFn, Scores, Where


def _cut(values: Array, topn: int | None) -> Array:
    if topn is not None and topn < 1:
        raise ValueError(f"Argument 'topn' has {topn}; expected None or a number of at least 1.")
    return values[..., :topn]


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
    gain_fn: Callable[[Array], Array] = exponential_gain,
    discount_fn: Callable[[Array], Array] = log2_discount,
) -> Array:
    r"""Normalized discounted cumulative gain.

    $$\mathrm{NDCG} = \frac{\mathrm{DCG}(s, y)}{\mathrm{DCG}(y, y)}, \quad
    \mathrm{DCG}(s, y) = \sum_i w_i \, \mathrm{gain}(y_i) \, \mathrm{discount}(\mathrm{rank}_i)$$

    A list without a relevant document scores 0 and counts in the mean. With `gain_fn=lambda y: y`
    it is trec_eval's nDCG. Source: Järvelin and Kekäläinen 2002.

    Args:
      scores: see `t5rank.types`, also for the other arguments.
      labels: as above.
      where: as above.
      segments: as above.
      topn: as above.
      weights: multiply the gains.
      reduce_fn: reduces over lists.
      key: as above.
      gain_fn: label to gain.
      discount_fn: rank, from 1, to discount.

    Returns:
      The reduced metric, or `[...]` with one value per list.

    >>> float(ndcg_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([0, 1, 0]))).__round__(4)
    0.6309
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = jnp.where(lists.where, gain_fn(labels) * weights, 0.0)
    ranks = lists.ranks(scores, key)
    inside = 1.0 if topn is None else ranks <= topn
    dcg = lists.sum(gains * discount_fn(ranks) * inside)
    ideal = lists.ranks(gains)
    ideal_dcg = lists.sum(gains * discount_fn(ideal) * (1.0 if topn is None else ideal <= topn))
    ndcg = jnp.where(ideal_dcg > 0, dcg / jnp.where(ideal_dcg > 0, ideal_dcg, 1.0), 0.0)
    return lists.reduce(ndcg, reduce_fn, spoiled=scores + labels)


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
) -> Array:
    r"""Mean reciprocal rank of the first relevant document (label of at least 1).

    $$\mathrm{MRR} = \max_i \frac{w_i \, [y_i \ge 1]}{\mathrm{rank}_i}$$

    A list without a relevant document among the first `topn` scores 0 and counts in the mean.
    Source: Voorhees 1999.

    Args:
      scores: see `t5rank.types`, also for the other arguments.
      labels: as above.
      where: as above.
      segments: as above.
      topn: as above.
      weights: multiply the reciprocal ranks.
      reduce_fn: reduces over lists.
      key: as above.

    Returns:
      The reduced metric, or `[...]` with one value per list.

    >>> float(mrr_metric(jnp.array([3.0, 2.0, 1.0]), jnp.array([0, 1, 1])))
    0.5
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = jnp.where(labels >= 1, weights, 0.0)
    ranks = lists.ranks(scores, key)
    inside = 1.0 if topn is None else ranks <= topn
    values = jnp.maximum(lists.max(gains / ranks * inside), 0.0)
    return lists.reduce(values, reduce_fn, spoiled=scores + labels)
