r"""Losses through NeuralSort, a differentiable sort (Grover et al. 2019).

Row r of the relaxed permutation of n scores is a distribution over the documents for rank r:

$$\hat P_{rj} = \mathrm{softmax}_j\left(\frac{(n + 1 - 2r) s_j - \sum_k |s_j - s_k|}{\tau}\right)$$

The matrix is made in blocks of rows whenever it is needed, and never kept.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.metrics.gains import (
    DiscountFn,
    GainFn,
    exponential_gain,
    log2_discount,
    relative_gains,
)
from t5rank.ops import Lists
from t5rank.types import Array, Labels, ReduceFn, Scores, Where

_MAX_SCORE = 1e25  # sums of scores up to this one are finite
EPSILON = 1e-10  # the least divisor: a row's or column's sum


@dataclasses.dataclass(frozen=True)
class _Relaxed:
    """A relaxed permutation. Its arrays are in the order of the ranks, as are the documents."""

    slope: Array  # of each rank: (n + 1 - 2r) / tau
    scores: Array  # of each document
    distances: Array  # of each document: sum over k of |s_j - s_k| / tau
    log_total: Array  # of each rank: the logarithm of the softmax's denominator

    @classmethod
    def of(cls, scores: Array, lists: Lists, temperature: float) -> "_Relaxed":
        """The permutation of sorted scores, best first."""
        scores = _summable(scores, lists)
        scores = jnp.where(lists.where, scores - lists.mean(scores), 0.0)
        rank, count = lists.from_one, lists.count
        slope = (count + 1.0 - 2.0 * rank) / temperature
        upto = lists.cumsum(scores)
        total = lists.sum(scores)
        # The absolute values: scores of earlier documents are larger, those of later ones smaller.
        distances = 2.0 * upto - total + (count - 2.0 * rank) * scores
        distances = distances / temperature
        # The largest entry of row r belongs to the document at rank r.
        largest = jax.lax.stop_gradient(slope * scores - distances)
        relaxed = cls(slope, scores, distances, largest)
        rest = ops.row_sums(_Pairs(lambda log, _: jnp.exp(log)), lists, relaxed.items())
        return dataclasses.replace(relaxed, log_total=largest + jnp.log(jnp.maximum(rest, 1.0)))

    def items(self, *others: Array) -> ops.Items:
        return (self.slope, self.scores, self.distances, self.log_total, *others), ()


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """A pair function of an entry's logarithm and other numbers of its rank and its document."""

    function: Callable[[Array, tuple[tuple[Array, ...], tuple[Array, ...]]], Array]

    def __call__(self, rank: ops.Items, document: ops.Items) -> tuple[Array, Array]:
        (slope, _, _, log_total, *of_rank), _ = rank
        (_, scores, distances, _, *of_document), _ = document
        log_entry = _log_entry(slope, scores, distances, log_total)
        values = self.function(log_entry, (tuple(of_rank), tuple(of_document)))
        return values, jnp.ones(values.shape, bool)


def _summable(scores: Array, lists: Lists) -> Array:
    """Scores on a scale on which their sums are finite. They are still too far apart to mix."""
    largest = jax.lax.stop_gradient(lists.max(jnp.abs(jnp.where(lists.where, scores, 0.0))))
    is_large = (largest > _MAX_SCORE) & jnp.isfinite(largest)
    return jnp.where(is_large, scores * (_MAX_SCORE / jnp.maximum(largest, 1.0)), scores)


def _log_entry(slope: Array, score: Array, distance: Array, log_total: Array) -> Array:
    """The logarithm of an entry, at most 0; -1e30 where the pair is no entry.

    The value can be so large for documents of different lists, or of no list, that its exponential
    is infinite. Such a pair does not count, but its gradient would be 0 times infinity.
    """
    value = slope * score - distance - log_total
    return jnp.where(value > 30.0, -1e30, value)


def neural_sort_loss(
    scores: Scores,
    labels: Labels,
    *,
    temperature: float = 1.0,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Cross entropy between the relaxed permutations of the labels and of the scores.

    $$\ell(s, y) = -\frac{1}{n} \sum_r \sum_j w_j \, \hat P_{rj}(y) \log \hat P_{rj}(s)$$

    A list without a relevant document has loss 0. It takes O(n^2) time and O(n) memory. Source:
    Grover et al. 2019, section 6.1; like TF-Ranking it averages over ranks.

    Args:
      temperature: $\tau$ of both permutations.
      weights: the weight $w_j$ of each document.

    Raises:
      ValueError: the temperature is not positive.
    """
    _check_temperature(temperature)
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    retrieved = _retrieved(lists, scores)
    order, (by_label, indices) = retrieved.sort(
        [ops.best_first(labels)], [labels, retrieved.indices]
    )
    target_permutation = _Relaxed.of(by_label, order, temperature)
    # Each document's numbers in the labels' permutation, to be sorted by score.
    target = [
        ops.unsort(x, indices) for x in (target_permutation.scores, target_permutation.distances)
    ]
    order, (by_score, weights, *target) = retrieved.sort(
        [ops.best_first(scores)], [scores, weights, *target]
    )
    permutation = _Relaxed.of(by_score, order, temperature)

    def cross_entropy(log_entry: Array, others: tuple) -> Array:
        (slope, log_total, _, _, _), (_, _, target, distance, weight) = others
        return -weight * jnp.exp(_log_entry(slope, target, distance, log_total)) * log_entry

    items = permutation.items(
        target_permutation.slope, target_permutation.log_total, *target, weights
    )
    totals, _ = ops.pair_totals(_Pairs(cross_entropy), order, items)
    loss = lists.from_sorted(totals / jnp.maximum(order.count, 1.0))
    loss = jnp.where(lists.sum(labels) > 0, loss, 0.0)
    return lists.reduce(loss, reduce_fn, nan_from=scores + labels)


def neural_ndcg_loss(
    scores: Scores,
    labels: Labels,
    *,
    temperature: float = 1.0,
    topn: int | None = None,
    sinkhorn_iterations: int = 30,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    gain_fn: GainFn = exponential_gain,
    discount_fn: DiscountFn = log2_discount,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""NeuralNDCG: negated NDCG, with a relaxed permutation in place of the sort.

    $$\ell(s, y) = -\frac{1}{\mathrm{IDCG}} \sum_r \mathrm{discount}(r)
    \sum_j \tilde P_{rj} \, w_j \, \mathrm{gain}(y_j)$$

    where Sinkhorn's iterations scale $\tilde P$ until its columns sum to 1, too. Without iterations
    this is PiRank's loss (Swezey et al. 2021), TF-Ranking's `NeuralSortNDCGLoss`. Every iteration
    takes O(n^2) time, and the loss O(n) memory. Source: Pobrotyn and Białobrzeski 2021, equation 8.

    Args:
      temperature: $\tau$.
      topn: ranks after it do not count.
      sinkhorn_iterations: how often columns and rows are scaled.
      weights: they multiply the gains.
      gain_fn: maps a label to its gain.
      discount_fn: maps a rank, from 1, to its discount.

    Raises:
      ValueError: the temperature is not positive.
    """
    _check_temperature(temperature)
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = relative_gains(labels, weights, lists, gain_fn)
    ideal_order, (ideal,) = lists.sort([-gains], [gains])
    order, (ranked, gains) = _retrieved(lists, scores).sort(
        [ops.best_first(scores)], [scores, gains]
    )
    relaxed = _Relaxed.of(ranked, order, temperature)
    ranks = order.from_one
    discounts = jnp.broadcast_to(discount_fn(ranks), gains.shape)
    discounts = discounts if topn is None else jnp.where(ranks <= topn, discounts, 0.0)
    ideal_dcg = lists.from_sorted(ideal_order.sum(ideal * discounts))
    discounts = jnp.where(order.where, discounts, 0.0)
    rows, columns = _sinkhorn(relaxed, order, sinkhorn_iterations)

    def gain(log_entry: Array, others: tuple) -> Array:
        return jnp.exp(log_entry) * others[0][0] * others[1][1]

    items = relaxed.items(rows * discounts, columns * gains)
    dcg, _ = ops.pair_totals(_Pairs(gain), order, items, discounts != 0)
    dcg = lists.from_sorted(dcg)
    ndcg = jnp.where(ideal_dcg > 0, dcg / jnp.where(ideal_dcg > 0, ideal_dcg, 1.0), 0.0)
    return lists.reduce(-ndcg, reduce_fn, nan_from=scores + labels)


def _sinkhorn(relaxed: _Relaxed, lists: Lists, iterations: int) -> tuple[Array, Array]:
    """Factors of rows and columns that make both sum to 1, as far as the iterations get."""

    def row_sum(log_entry: Array, others: tuple) -> Array:
        return jnp.exp(log_entry) * others[1][1]

    def column_sum(document: ops.Items, rank: ops.Items) -> tuple[Array, Array]:
        return _Pairs(lambda log, others: jnp.exp(log) * others[0][0])(rank, document)

    def scale(factors: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        items = relaxed.items(*factors)
        columns = 1.0 / jnp.maximum(ops.row_sums(column_sum, lists, items), EPSILON)
        items = relaxed.items(factors[0], columns)
        rows = 1.0 / jnp.maximum(ops.row_sums(_Pairs(row_sum), lists, items), EPSILON)
        return (rows, columns), None

    ones = jnp.ones(relaxed.scores.shape, jnp.float32)
    return jax.lax.scan(jax.checkpoint(scale), (ones, ones), length=iterations)[0]


def _retrieved(lists: Lists, scores: Array) -> Lists:
    """The lists without the documents of score -inf, which have no rank."""
    return dataclasses.replace(lists, where=lists.where & ~jnp.isneginf(scores))


def _check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"Argument 'temperature' has {temperature}; expected a number above 0.")
