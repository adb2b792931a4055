"""Bounds on the average relevance position, the metric that wants relevant documents early.

Arguments not described here are those of every loss, see `t5rank.types`.
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
    r"""LambdaLoss's first bound on ARP, over all pairs, a document with itself too.

    $$\ell(s, y) = \sum_i w_i y_i \sum_j \log_2(1 + e^{-(s_i - s_j)})$$

    Source: Wang et al. 2018, section 5.1. Takes O(n^2) time and O(n) memory.

    >>> float(arp1_loss(jnp.zeros(2), jnp.array([1, 0])))  # the rank bounded is 1 or 2
    2.0
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)

    def pair_fn(i: ops.Items, j: ops.Items) -> tuple[Array, Array]:
        gain = i[1][0]
        return gain * jax.nn.softplus(j[0][0] - i[0][0]) / math.log(2.0), gain != 0

    gains = weights * labels
    clipped = ops.finite(scores)
    totals, _ = ops.pair_totals(pair_fn, lists, ((clipped,), (gains,)), gains != 0)
    return lists.reduce(totals, reduce_fn, nan_from=scores + labels)


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

    Source: Wang et al. 2018, equation 8. The logistic loss with `labeldiff_lambdaweight`, summed
    over each list. Takes O(n^2) time and O(n) memory.

    >>> float(arp2_loss(jnp.zeros(2), jnp.array([3, 0])))
    3.0
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)

    def pair_fn(i: ops.Items, j: ops.Items) -> tuple[Array, Array]:
        ((score_i,), (label_i, weight_i)), ((score_j,), (label_j, _)) = i, j
        cost = jax.nn.softplus(score_j - score_i) / math.log(2.0)
        return weight_i * (label_i - label_j) * cost, label_i > label_j

    clipped = ops.finite(scores)
    rows = labels > lists.min(labels)
    totals, _ = ops.pair_totals(pair_fn, lists, ((clipped,), (labels, weights)), rows)
    return lists.reduce(totals, reduce_fn, nan_from=scores + labels)
