"""Pointwise losses: one value per document.

`reduce_fn` reduces over the documents of all lists. With None the result is `[..., list]`, for flat
and for padded lists. `t5rank.types` describes the arguments that every loss has.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.metrics.gains import product
from t5rank.types import Array, Labels, ReduceFn, Scores, Where


def sigmoid_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Sigmoid cross entropy of each document: RankT5's PointCE.

    $$\ell(s, y) = w \left( y \log(1 + e^{-s}) + (1 - y) \log(1 + e^{s}) \right)$$

    It is exact where `log(sigmoid(s))` would round to 0. Source: RankT5, Zhuang et al. 2022,
    equation 4.

    Args:
      labels: probabilities of relevance, clipped to [0, 1].
      weights: they multiply each document's loss.

    >>> float(sigmoid_loss(jnp.array([0.0]), jnp.array([1]))) == float(jnp.log(2.0))
    True
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    loss = weights * _cross_entropy(scores, jnp.clip(labels, 0.0, 1.0))
    return lists.reduce_documents(loss, reduce_fn)


@jax.custom_jvp
def _cross_entropy(scores: Array, labels: Array) -> Array:
    """Exact for large scores. A right score of any size, inf included, costs nothing."""
    # relu(s) - s y is a difference of large numbers, so that one factor of s is computed first.
    chosen = jnp.where(scores > 0, 1.0 - labels, -labels)
    linear = jnp.where(chosen == 0, 0.0, scores * chosen)
    return linear + jnp.log1p(jnp.exp(-jnp.abs(scores)))


@_cross_entropy.defjvp
def _cross_entropy_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (scores, labels), (score_tangent, label_tangent) = primals, tangents
    # Not abs: its derivative at 0 is 0, and the second derivative of the loss would be wrong.
    small = jnp.exp(jnp.where(scores > 0, -scores, scores))
    certain = jnp.where(scores > 0, 1.0, small) / (1.0 + small)  # sigmoid(s)
    doubt = jnp.where(scores > 0, small, 1.0) / (1.0 + small)  # sigmoid(-s)
    slope = (1.0 - labels) * certain - labels * doubt
    change = slope * score_tangent - scores * label_tangent
    return _cross_entropy(scores, labels), change


def log_probability_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Cross entropy of scores that are log probabilities of relevance, as monoT5's are.

    $$\ell(s, y) = -w \left( y s + (1 - y) \log(1 - e^{s}) \right)$$

    monoT5 trains on it: the cross entropy of "true" and "false" (Nogueira et al. 2020,
    https://arxiv.org/abs/2003.06713, section 3). `sigmoid_loss` is for the scores of other heads. A
    score that rounds to 0, a certain "true", counts as one float32 step below 0, so that the loss
    and its gradient stay finite. The loss is infinite where the score of a relevant document is
    -inf.

    Args:
      scores: log probabilities, at most 0. A score above 0 is none, and its loss is NaN whatever
        the label.
      labels: probabilities of relevance, clipped to [0, 1].
      weights: they multiply each document's loss.

    >>> float(log_probability_loss(jnp.log(jnp.array([0.5])), jnp.array([0])))
    0.6931471824645996
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    relevant = jnp.clip(labels, 0.0, 1.0)
    irrelevant = jnp.log(-jnp.expm1(scores - jnp.finfo(jnp.float32).epsneg))
    loss = -weights * (product(scores, relevant) + (1.0 - relevant) * irrelevant)
    return lists.reduce_documents(loss, reduce_fn)


def mse_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Squared error of each document.

    $$\ell(s, y) = w (s - y)^2$$

    Args:
      weights: they multiply each document's loss.

    >>> float(mse_loss(jnp.array([3.0]), jnp.array([1])))
    4.0
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    return lists.reduce_documents(weights * jnp.square(scores - labels), reduce_fn)


def ordinal_loss(
    scores: Scores,
    labels: Labels,
    *,
    thresholds: Sequence[float] = (-1.0, 0.0, 1.0, 2.0),
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Ordinal regression: for every grade, a cross entropy of whether the document reaches it.

    $$\ell(s, y) = w \sum_k \left( t_k \log(1 + e^{-(s - \theta_k)})
    + (1 - t_k) \log(1 + e^{s - \theta_k}) \right), \quad t_k = [y \ge k]$$

    One score is compared with a threshold per grade (proportional odds, McCullagh 1980). A label
    between two grades reaches the upper one in part. TF-Ranking's ordinal loss has a score for each
    grade instead.

    Args:
      thresholds: $\theta_1, \theta_2, \ldots$ of the grades 1, 2, ...; four for grades 0 to 4.
      weights: they multiply each document's loss.

    >>> float(ordinal_loss(jnp.array([0.0]), jnp.array([1]), thresholds=(0.0,)) / jnp.log(2.0))
    1.0
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    passed = scores[..., None] - jnp.asarray(thresholds, jnp.float32)
    grades = jnp.arange(1, len(thresholds) + 1, dtype=jnp.float32)
    reached = jnp.clip(labels[..., None] - grades + 1.0, 0.0, 1.0)
    loss = weights * jnp.sum(_cross_entropy(passed, reached), axis=-1)
    return lists.reduce_documents(loss, reduce_fn)
