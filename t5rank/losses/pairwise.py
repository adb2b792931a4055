"""Pairwise losses: one value per pair of documents of a list.

They take O(n^2) time and O(n) memory, because pairs are made in blocks and never kept. The time
grows with the number of documents that are better than another one, so that lists with few relevant
documents are cheap.

`reduce_fn` reduces over the pairs of all lists. `jnp.mean`, `jnp.sum` and `ops.sum_and_count` need
only each list's total. None, or any other function, takes O(n^2) memory for all pairs,
`[..., list, list]`. An infinite score counts as 1e15, so that two of them differ by 0.

`t5rank.types` describes the arguments that every loss has. A pair has the weight of its better
document. `lambdaweight_fn` gives factors of the pairs (`t5rank.losses.lambdaweights`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.losses.hinge import hinge_totals
from t5rank.losses.pair_weights import LambdaweightFn, as_items, as_matrix
from t5rank.metrics.gains import product
from t5rank.types import Array, Labels, ReduceFn, Scores, Where

_LARGEST = float(jnp.finfo(jnp.float32).max) / 4  # an error whose doubled value is finite


def pairwise_loss(
    scores: Scores,
    labels: Labels,
    *,
    pair_loss_fn: Callable[[Array, Array], Array],
    ordered: bool = True,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    lambdaweight_fn: LambdaweightFn | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""A pairwise loss of your own. The others of this module are made with it.

    $$\ell(s, y) = \sum_{i,j} w_i \, \lambda_{ij} \, \mathrm{loss}(s_i - s_j, y_i - y_j)$$

    Args:
      pair_loss_fn: called as `pair_loss_fn(score_difference, label_difference)`.
      ordered: True: only pairs with $y_i > y_j$ count. False: all pairs count, those of a document
        with itself included.

    >>> squared = lambda s, y: (1 - s) ** 2
    >>> float(pairwise_loss(jnp.array([3.0, 1.0]), jnp.array([1, 0]), pair_loss_fn=squared))
    1.0
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    lambda_items, lambda_fn = as_items(lambdaweight_fn, scores, labels, weights, lists)
    items = ((ops.finite(scores),), (labels, weights, *lambda_items))

    def pair_fn(i: ops.Items, j: ops.Items) -> tuple[Array, Array]:
        (score_i,), (label_i, weight_i, *lambda_i) = i
        (score_j,), (label_j, _, *lambda_j) = j
        values = pair_loss_fn(score_i - score_j, label_i - label_j) * weight_i
        pairs = label_i > label_j if ordered else jnp.ones(values.shape, bool)
        weight = jnp.where(pairs, lambda_fn(tuple(lambda_i), tuple(lambda_j)), 0.0)
        return product(weight, values), pairs

    matrix = as_matrix(lambdaweight_fn, scores, labels, weights, lists.where, segments)
    if matrix is None and ops.reduces_totals(reduce_fn):
        rows = labels > lists.min(labels) if ordered else None
        totals, counts = ops.pair_totals(pair_fn, lists, items, rows)
        return lists.reduce_pairs(totals, counts, reduce_fn, nan_from=scores + labels)
    values, pairs = ops.all_pairs(pair_fn, lists, items)
    values = values if matrix is None else product(matrix, values)
    return ops.reduce(
        jnp.where(jnp.isnan(scores + labels)[..., None], jnp.nan, values), pairs, reduce_fn
    )


def pairwise_hinge_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    lambdaweight_fn: LambdaweightFn | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Pairwise hinge: the score of the better document should be higher by at least 1.

    $$\ell(s, y) = \sum_{y_i > y_j} w_i \lambda_{ij} \max(0, 1 - (s_i - s_j))$$

    It takes O(n log n) time per distinct label without lambda weights. Source: Herbrich et al.
    2000 (Ranking SVM).

    >>> float(pairwise_hinge_loss(jnp.array([0.5, 0.0]), jnp.array([1, 0])))
    0.5
    """
    if lambdaweight_fn is None and ops.reduces_totals(reduce_fn):
        scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
        totals, counts = hinge_totals(ops.finite(scores), labels, weights, lists)
        return lists.reduce_pairs(totals, counts, reduce_fn, nan_from=scores + labels)
    return pairwise_loss(
        scores,
        labels,
        pair_loss_fn=lambda score, label: jax.nn.relu(1.0 - score),
        where=where,
        segments=segments,
        weights=weights,
        lambdaweight_fn=lambdaweight_fn,
        reduce_fn=reduce_fn,
    )


def pairwise_logistic_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    lambdaweight_fn: LambdaweightFn | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Pairwise logistic loss: RankNet, or LambdaRank with `dcg_lambdaweight`.

    $$\ell(s, y) = \sum_{y_i > y_j} w_i \lambda_{ij} \log(1 + e^{-(s_i - s_j)})$$

    Source: Burges et al. 2005, equation 3.

    >>> float(pairwise_logistic_loss(jnp.zeros(2), jnp.array([1, 0]))) == float(jnp.log(2.0))
    True
    """
    return pairwise_loss(
        scores,
        labels,
        pair_loss_fn=lambda score, label: jax.nn.softplus(-score),
        where=where,
        segments=segments,
        weights=weights,
        lambdaweight_fn=lambdaweight_fn,
        reduce_fn=reduce_fn,
    )


def pairwise_soft_zero_one_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    lambdaweight_fn: LambdaweightFn | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Pairwise soft zero-one: a smooth count of the pairs in wrong order.

    $$\ell(s, y) = \sum_{y_i > y_j} w_i \lambda_{ij} \, \sigma(-(s_i - s_j))$$

    >>> float(pairwise_soft_zero_one_loss(jnp.zeros(2), jnp.array([1, 0])))
    0.5
    """
    return pairwise_loss(
        scores,
        labels,
        pair_loss_fn=lambda score, label: jax.nn.sigmoid(-score),
        where=where,
        segments=segments,
        weights=weights,
        lambdaweight_fn=lambdaweight_fn,
        reduce_fn=reduce_fn,
    )


def pairwise_mse_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    lambdaweight_fn: LambdaweightFn | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Pairwise squared error of the score difference, over all i and j.

    $$\ell(s, y) = \sum_{i,j} w_i \lambda_{ij} \left((y_i - y_j) - (s_i - s_j)\right)^2$$

    It takes O(n) time without lambda weights. It is infinite where a square is more than a float32
    holds, as from a difference of 2e19 on.

    >>> float(pairwise_mse_loss(jnp.array([2.0, 0.0]), jnp.array([1, 0])))
    0.5
    """
    if lambdaweight_fn is None and ops.reduces_totals(reduce_fn):
        scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
        # The sum over i, j of w_i (e_i - e_j)^2, where the products of two errors add up to 0.
        error = _centred_error(scores, labels, lists)
        weight, square = lists.sum(weights), lists.sum(error**2)
        totals = lists.count * lists.sum(product(error**2, weights)) + product(square, weight)
        return lists.reduce_pairs(totals, lists.count**2, reduce_fn, nan_from=scores + labels)
    return pairwise_loss(
        scores,
        labels,
        pair_loss_fn=lambda score, label: jnp.square(label - score),
        ordered=False,
        where=where,
        segments=segments,
        weights=weights,
        lambdaweight_fn=lambdaweight_fn,
        reduce_fn=reduce_fn,
    )


def pairwise_quantile_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    tau: float = 0.5,
    squared: bool = False,
    lambdaweight_fn: LambdaweightFn | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Pairwise quantile regression of the score difference: Rax's `pairwise_qr_loss`.

    $$\ell(s, y) = \sum_{y_i > y_j} w_i \lambda_{ij}
    \left(\tau \max(0, d_{ij}) + (1 - \tau) \max(0, -d_{ij})\right), \quad
    d_{ij} = (y_i - y_j) - (s_i - s_j)$$

    Args:
      tau: the quantile, in (0, 1]; 0.5 is the median.
      squared: whether each maximum is squared.

    Raises:
      ValueError: `tau` is outside of (0, 1].

    >>> float(pairwise_quantile_loss(jnp.zeros(2), jnp.array([1, 0])))
    0.5
    """
    if not 0.0 < tau <= 1.0:
        raise ValueError(f"Argument 'tau' has {tau}; expected a number in (0, 1].")
    power = 2 if squared else 1

    def pair_loss_fn(score: Array, label: Array) -> Array:
        below, above = jax.nn.relu(label - score), jax.nn.relu(score - label)
        return tau * below**power + (1 - tau) * above**power

    return pairwise_loss(
        scores,
        labels,
        pair_loss_fn=pair_loss_fn,
        where=where,
        segments=segments,
        weights=weights,
        lambdaweight_fn=lambdaweight_fn,
        reduce_fn=reduce_fn,
    )


def _centred_error(scores: Array, labels: Array, lists: ops.Lists) -> Array:
    """Scores minus labels, up to a constant that makes the mean over each list 0."""
    error = lists.from_best(ops.finite(scores)) - lists.from_best(labels)
    error = jnp.where(
        lists.where, jnp.where(jnp.abs(error) > _LARGEST, _LARGEST * jnp.sign(error), error), 0.0
    )
    return error - lists.sum(error / jnp.maximum(lists.count, 1.0))
