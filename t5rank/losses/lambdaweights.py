"""Lambda weights: how much a pair of documents matters to a metric.

Each function here returns a `Lambdaweight` for the argument `lambdaweight_fn` of a pairwise loss.
It has two parts: a function that gives numbers of each document, and one that gives the weight of a
pair from the numbers of its two documents. A loss uses it with O(n) memory. A call with scores and
labels returns all weights, `[..., list, list]`.

Weights have no gradient. The ranks are those of `scores`, with ties in the order of the list.

Normalized weights are right for every label. Other weights are infinite where a gain is more than a
float32 holds, which is from a label of 128 on for an exponential gain. The loss and its gradient
are then infinite, too.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.losses.pair_weights import Lambdaweight, Numbers
from t5rank.metrics.gains import (
    DiscountFn,
    GainFn,
    exponential_gain,
    log2_discount,
    product,
    relative_gains,
)
from t5rank.ops import Lists
from t5rank.types import Array, Labels, MetricFn, Scores, Where


def labeldiff_lambdaweight() -> Lambdaweight:
    r"""The difference of the labels, $\lambda_{ij} = |y_i - y_j|$.

    The logistic loss with these weights is LambdaLoss's second ARP loss, see `arp2_loss`.

    >>> labeldiff_lambdaweight()(jnp.zeros(2), jnp.array([3.0, 1.0])).tolist()
    [[0.0, 2.0], [2.0, 0.0]]
    """
    return Lambdaweight(
        lambda scores, labels, weights, lists: (labels,), lambda i, j: jnp.abs(i[0] - j[0])
    )


def dcg_lambdaweight(
    *,
    topn: int | None = None,
    normalize: bool = False,
    gain_fn: GainFn = exponential_gain,
    discount_fn: DiscountFn = log2_discount,
    smooth_fraction: float = 0.0,
) -> Lambdaweight:
    r"""LambdaRank: the change of DCG when two documents are swapped.

    $$\lambda_{ij} = n \, |\mathrm{gain}(y_i) - \mathrm{gain}(y_j)| \cdot
    |\mathrm{discount}(r_i) - \mathrm{discount}(r_j)|$$

    where $n$ is the number of the list's real documents, so that padding changes nothing. Source:
    Burges et al. 2006. The smooth fraction is TF-Ranking's.

    Args:
      topn: discounts after this rank are 0.
      normalize: whether gains are divided by the list's ideal DCG (LambdaMART, LightGBM).
      gain_fn: maps a label to its gain.
      discount_fn: maps a rank, from 1, to its discount.
      smooth_fraction: $\mu$ of $(1 - \mu) \lambda + \mu \lambda'$, where $\lambda'$ are the weights
        of `dcg2_lambdaweight`.

    >>> weights = dcg_lambdaweight()(jnp.array([1.0, 0.0]), jnp.array([0, 1]))
    >>> round(float(weights[1, 0]), 4)  # 2 * (1 / log2(2) - 1 / log2(3))
    0.7381
    """

    def items_fn(scores: Array, labels: Array, weights: Array, lists: Lists) -> Numbers:
        gains = _gains(labels, weights, lists, gain_fn, discount_fn, topn, normalize)
        ranks = lists.ranks(scores)
        return gains, labels, _discounts(ranks, discount_fn, topn), ranks, lists.count

    def pair_fn(i: Numbers, j: Numbers) -> Array:
        change = jnp.abs(i[2] - j[2])
        if smooth_fraction:
            distance = jnp.abs(i[3] - j[3])
            within = True if topn is None else jnp.minimum(i[3], j[3]) <= topn
            smooth = jnp.where(within, _discount_of_distance(distance, discount_fn), 0.0)
            change = (1.0 - smooth_fraction) * change + smooth_fraction * smooth
        return _gap(i, j, i[4] * change)

    return Lambdaweight(items_fn, pair_fn)


def dcg2_lambdaweight(
    *,
    topn: int | None = None,
    normalize: bool = False,
    gain_fn: GainFn = exponential_gain,
    discount_fn: DiscountFn = log2_discount,
    light_discount: bool = False,
) -> Lambdaweight:
    r"""LambdaLoss's NDCGLoss2: like `dcg_lambdaweight`, with discounts of the ranks' difference.

    $$\lambda_{ij} = n \, |\mathrm{gain}(y_i) - \mathrm{gain}(y_j)| \cdot
    |\mathrm{discount}(|r_i - r_j|) - \mathrm{discount}(|r_i - r_j| + 1)|$$

    Source: Wang et al. 2018, equation 14.

    Args:
      topn: a pair whose lower rank $r$ is after it weighs $1 / (1 - \mathrm{discount}(r))$ times as
        much (Jagerman et al. 2022).
      normalize: whether gains are divided by the list's ideal DCG.
      gain_fn: maps a label to its gain.
      discount_fn: maps a rank, from 1, to its discount.
      light_discount: whether to use $\mathrm{discount}(|r_i - r_j|)$ itself.
    """

    def items_fn(scores: Array, labels: Array, weights: Array, lists: Lists) -> Numbers:
        gains = _gains(labels, weights, lists, gain_fn, discount_fn, topn, normalize)
        return gains, labels, lists.ranks(scores), lists.count

    def pair_fn(i: Numbers, j: Numbers) -> Array:
        distance, lower = jnp.abs(i[2] - j[2]), jnp.maximum(i[2], j[2])
        if light_discount:
            change = jnp.where(distance > 0, jnp.abs(discount_fn(jnp.maximum(distance, 1.0))), 0.0)
        else:
            change = _discount_of_distance(distance, discount_fn)
        if topn is not None:
            lower = jnp.maximum(lower, 2.0)  # discount(1) is 1: the weight would be infinite
            change = change * jnp.where(lower > topn, 1.0 / (1.0 - discount_fn(lower)), 1.0)
        return _gap(i, j, i[3] * change)

    return Lambdaweight(items_fn, pair_fn)


def ndcg2pp_lambdaweight(
    *,
    mu: float = 10.0,
    gain_fn: GainFn = exponential_gain,
    discount_fn: DiscountFn = log2_discount,
) -> Lambdaweight:
    r"""LambdaLoss's NDCGLoss2++: LambdaRank's weights plus `mu` times NDCGLoss2's.

    Gains are normalized. The weights are not multiplied by the size of the list. Source: Wang et
    al. 2018, section 5.3, where $\mu$ is 10.

    Args:
      mu: $\mu$ of $\lambda = \lambda_{LambdaRank} + \mu \, \lambda_{NDCGLoss2}$.
      gain_fn: maps a label to its gain.
      discount_fn: maps a rank, from 1, to its discount.
    """

    def items_fn(scores: Array, labels: Array, weights: Array, lists: Lists) -> Numbers:
        gains = _gains(labels, weights, lists, gain_fn, discount_fn, None, True)
        ranks = lists.ranks(scores)
        return gains, labels, discount_fn(ranks), ranks

    def pair_fn(i: Numbers, j: Numbers) -> Array:
        distance = _discount_of_distance(jnp.abs(i[3] - j[3]), discount_fn)
        return _gap(i, j, jnp.abs(i[2] - j[2]) + mu * distance)

    return Lambdaweight(items_fn, pair_fn)


def precision_lambdaweight(*, topn: int, threshold: float = 1.0) -> Lambdaweight:
    r"""The change of precision at `topn` when two documents are swapped.

    $$\lambda_{ij} = \frac{1}{k} \, |rel_i - rel_j| \cdot |[r_i \le k] - [r_j \le k]|$$

    Args:
      topn: $k$.
      threshold: the smallest label of a relevant document.
    """

    def items_fn(scores: Array, labels: Array, weights: Array, lists: Lists) -> Numbers:
        return _relevant(labels, lists, threshold), jnp.where(
            lists.ranks(scores) <= topn, jnp.float32(1.0 / topn), 0.0
        )

    return Lambdaweight(items_fn, lambda i, j: jnp.abs(i[0] - j[0]) * jnp.abs(i[1] - j[1]))


def mrr_lambdaweight(*, threshold: float = 1.0) -> Lambdaweight:
    """The change of the reciprocal rank when two documents are swapped.

    Args:
      threshold: the smallest label of a relevant document.

    >>> mrr_lambdaweight()(jnp.array([1.0, 0.0]), jnp.array([0, 1])).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """

    def items_fn(scores: Array, labels: Array, weights: Array, lists: Lists) -> Numbers:
        relevant, ranks = _relevant(labels, lists, threshold), lists.ranks(scores)
        hits = jnp.where(relevant > 0, ranks, jnp.inf)
        first = lists.min(hits)
        second = lists.min(jnp.where(hits > first, hits, jnp.inf))
        return relevant, ranks, first, second

    def pair_fn(i: Numbers, j: Numbers) -> Array:
        (relevant_i, rank_i, first, second), (relevant_j, rank_j, _, _) = i, j
        old = jnp.where(relevant_i > relevant_j, rank_i, rank_j)  # the relevant document's rank
        new = jnp.where(relevant_i > relevant_j, rank_j, rank_i)  # its rank after the swap
        new = jnp.minimum(new, jnp.where(old == first, second, first))
        return jnp.where(relevant_i != relevant_j, jnp.abs(1.0 / new - 1.0 / first), 0.0)

    return Lambdaweight(items_fn, pair_fn)


def ap_lambdaweight(*, threshold: float = 1.0) -> Lambdaweight:
    """The change of average precision when two documents are swapped.

    Args:
      threshold: the smallest label of a relevant document.

    >>> ap_lambdaweight()(jnp.array([1.0, 0.0]), jnp.array([0, 1])).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """

    def items_fn(scores: Array, labels: Array, weights: Array, lists: Lists) -> Numbers:
        relevant = _relevant(labels, lists, threshold)
        order, (hits, indices) = lists.sort([ops.best_first(scores)], [relevant, lists.indices])
        ranks = jnp.broadcast_to(order.from_one, scores.shape)
        columns = (ranks, order.cumsum(hits), order.cumsum(hits / ranks))
        total = jnp.maximum(lists.sum(relevant), 1.0)
        by_document = [ops.unsort(column, indices) for column in columns]
        return (relevant, *by_document, jnp.broadcast_to(total, scores.shape))

    def pair_fn(i: Numbers, j: Numbers) -> Array:
        upper = i[1] < j[1]  # document i is ranked before j
        above = [jnp.where(upper, a, b) for a, b in zip(i, j, strict=True)]
        below = [jnp.where(upper, b, a) for a, b in zip(i, j, strict=True)]
        # Each relevant document between the two gains or loses one relevant document above it.
        between = below[3] - above[3] - jnp.where(below[0] > 0, 1.0 / below[1], 0.0)
        up = jnp.where(above[0] > 0, above[2], above[2] + 1.0) / above[1]
        change = up - below[2] / below[1] + between
        return jnp.where(i[0] != j[0], jnp.abs(change) / i[4], 0.0)

    return Lambdaweight(items_fn, pair_fn)


def metric_lambdaweight(metric_fn: MetricFn) -> Callable[..., Array]:
    """The change of any metric when two documents are swapped.

    It computes the metric once for every pair, which takes O(n^3) time and O(n^2) memory. It is for
    short lists, and for metrics that have no function of their own here.

    Args:
      metric_fn: a metric, such as `functools.partial(err_metric, topn=10)`.

    Raises:
      ValueError: segments are given.
    """

    def lambdaweight_fn(
        scores: Scores,
        labels: Labels,
        *,
        where: Where | None = None,
        segments: Array | None = None,
        weights: Array | None = None,
    ) -> Array:
        if segments is not None:
            raise ValueError("Argument 'segments' has an array; expected None. Use padded lists.")
        scores, labels, weights, lists = ops.as_lists(scores, labels, where, None, weights)
        del weights  # the loss applies them
        ranks = lists.ranks(scores)
        value = metric_fn(-ranks, labels, where=lists.where, reduce_fn=None)
        size = scores.shape[-1]

        def row(i: Array) -> Array:
            rank_i = jax.lax.dynamic_slice_in_dim(ranks, i, 1, axis=-1)
            is_i = jnp.arange(size) == i

            def swapped(j: Array) -> Array:
                rank_j = jax.lax.dynamic_slice_in_dim(ranks, j, 1, axis=-1)
                moved = jnp.where(jnp.arange(size) == j, rank_i, jnp.where(is_i, rank_j, ranks))
                return metric_fn(-moved, labels, where=lists.where, reduce_fn=None)

            return jax.vmap(swapped, out_axes=-1)(jnp.arange(size))

        changed = jnp.moveaxis(jax.lax.map(row, jnp.arange(size)), 0, -2)
        pairs = lists.where[..., :, None] & lists.where[..., None, :]
        return jnp.where(pairs, jnp.abs(changed - value[..., None, None]), 0.0)

    return lambdaweight_fn


def _relevant(labels: Array, lists: Lists, threshold: float) -> Array:
    return (lists.where & (labels >= threshold)).astype(jnp.float32)


def _gains(
    labels: Array,
    weights: Array,
    lists: Lists,
    gain_fn: GainFn,
    discount_fn: DiscountFn,
    topn: int | None,
    normalize: bool,
) -> Array:
    """The documents' gains, divided by each list's ideal DCG if `normalize` is True."""
    if not normalize:
        return jnp.where(lists.where, product(gain_fn(labels), weights), 0.0)
    gains = relative_gains(labels, weights, lists, gain_fn)
    order, (ideal,) = lists.sort([-gains], [gains])
    ideal_dcg = order.sum(ideal * _discounts(order.from_one, discount_fn, topn))
    ideal_dcg = lists.from_sorted(ideal_dcg)
    return gains / jnp.where(ideal_dcg > 0, ideal_dcg, 1.0)


def _gap(i: Numbers, j: Numbers, change: Array) -> Array:
    """The difference of two documents' gains times the change of their discounts.

    The numbers begin with the gain and the label. Labels tell two infinite gains apart.
    """
    both = jnp.isinf(i[0]) & (i[0] == j[0])
    gap = jnp.abs(jnp.where(both, jnp.where(i[1] == j[1], 0.0, jnp.inf), i[0] - j[0]))
    return product(gap, change)


def _discounts(ranks: Array, discount_fn: DiscountFn, topn: int | None) -> Array:
    discounts = discount_fn(ranks)
    return discounts if topn is None else jnp.where(ranks <= topn, discounts, 0.0)


def _discount_of_distance(distance: Array, discount_fn: DiscountFn) -> Array:
    """NDCGLoss2's discount of a difference of ranks; 0 for a document with itself."""
    far = jnp.maximum(distance, 1.0)
    return jnp.where(distance > 0, jnp.abs(discount_fn(far) - discount_fn(far + 1.0)), 0.0)
