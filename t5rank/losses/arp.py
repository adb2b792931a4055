"""Bounds on the average relevance position (ARP), a metric that rewards relevant documents early.

`t5rank.types` describes the arguments that every loss has.

A loss is infinite where it is more than a float32 holds, as with labels of 1e38. An entry of its
gradient is then infinite where it overflows, too, and exact elsewhere.
"""

import math

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.types import Array, Labels, ReduceFn, Scores, Where


def arp1_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""LambdaLoss's first bound on ARP, over all pairs, with each document paired with itself, too.

    $$\ell(s, y) = \sum_i w_i y_i \sum_j \log_2(1 + e^{-(s_i - s_j)})$$

    It takes O(n^2) time and O(n) memory. Source: Wang et al. 2018, section 5.1.

    >>> float(arp1_loss(jnp.zeros(2), jnp.array([1, 0])))  # it bounds a rank of 1 or 2
    2.0
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)

    def pair_fn(i: ops.Items, j: ops.Items) -> tuple[Array, Array]:
        gain = i[1][0]
        return gain * jax.nn.softplus(j[0][0] - i[0][0]) / math.log(2.0), gain != 0

    labels_, scale = _scaled(labels, lists)
    gains = weights * labels_
    clipped = ops.finite(scores)
    totals, _ = ops.pair_totals(pair_fn, lists, ((clipped,), (gains,)), gains != 0)
    return lists.reduce(totals * scale, reduce_fn, nan_from=scores + labels)


def arp2_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""LambdaLoss's second, tighter bound on ARP, over pairs of different labels.

    $$\ell(s, y) = \sum_{y_i > y_j} w_i |y_i - y_j| \log_2(1 + e^{-(s_i - s_j)})$$

    It is the logistic loss with `labeldiff_lambdaweight`, summed over each list. It takes O(n^2)
    time and O(n) memory. Source: Wang et al. 2018, equation 8.

    >>> float(arp2_loss(jnp.zeros(2), jnp.array([3, 0])))
    3.0
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)

    def pair_fn(i: ops.Items, j: ops.Items) -> tuple[Array, Array]:
        ((score_i,), (label_i, weight_i)), ((score_j,), (label_j, _)) = i, j
        cost = jax.nn.softplus(score_j - score_i) / math.log(2.0)
        return weight_i * (label_i - label_j) * cost, label_i > label_j

    labels_, scale = _scaled(labels, lists)
    clipped = ops.finite(scores)
    rows = labels > lists.min(labels)
    totals, _ = ops.pair_totals(pair_fn, lists, ((clipped,), (labels_, weights)), rows)
    return lists.reduce(totals * scale, reduce_fn, nan_from=scores + labels)


def _scaled(labels: Array, lists: ops.Lists) -> tuple[Array, Array]:
    """Labels over a power of 2 for each list, and that power.

    Scaled labels are below 4, so that the sums over pairs are finite. Only the last product, with
    the power, can overflow. Infinite terms of opposite signs would add up to NaN.
    """
    largest = jax.lax.stop_gradient(lists.max(jnp.abs(labels)))
    _, exponent = jnp.frexp(jnp.where(jnp.isfinite(largest), largest, 1.0))
    # XLA multiplies by the reciprocal, and 2^-126 is the least one that it does not take for 0.
    scale = 2.0 ** jnp.clip(exponent - 2, 0, 126).astype(jnp.float32)
    return labels / scale, scale
