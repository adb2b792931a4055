"""Losses made of losses, for the queries and documents of a whole batch.

Scores are `[queries, documents]`: every query against the documents of every list, with `where` for
those that count, as a retrieval model gives them. Any loss of t5rank then has in-batch negatives:
`softmax_loss` is InfoNCE.

The positives of a list are its documents of the best label, if that is above 0, and the negatives
those of a lower one. A list without a relevant document has neither.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.losses.combinations import takes
from t5rank.losses.transformations import named
from t5rank.types import Array, Labels, LossFn, ReduceFn, Scores, Where


def positives_and_negatives(labels: Array, lists: ops.Lists) -> tuple[Array, Array]:
    """Which documents are positives, and which are negatives."""
    best = lists.max(labels)
    known = lists.where & (best > 0)
    return known & (labels == best), known & (labels < best)


def symmetric(loss: LossFn, weight: float = 1.0) -> LossFn:
    """The loss of each query over documents, plus that of its document over queries.

    The first positive of every query is an anchor, whose candidates are all queries of the batch:
    a column of the scores, where a query that `where` leaves out does not count. Hard negatives
    are no anchors. A query without a relevant document has no anchor, and remains a candidate; a
    row that is no query is one in which `where` never holds. Both losses are in the value of the
    query's list.

    The loss asks for a `scale`, so that a reranker, whose scores have no columns, does not take it.

    Args:
      loss: any loss but the adaptive ones, which have a symmetric term of their own.
      weight: that of the direction from documents to queries. 1 is the sum, as in t5x_retrieval;
        `mixture([symmetric(loss)], [0.5])` is the mean, as sentence-transformers' `per_direction`.

    Raises:
      ValueError: the loss takes `positive_scores`; or the loss returned gets `segments`, or scores
        that are not `[queries, documents]`.

    >>> from t5rank.losses import softmax_loss
    >>> loss = symmetric(softmax_loss)(jnp.zeros((2, 4)), jnp.eye(2, 4))  # one of 4, one of 2
    >>> float(jnp.exp(loss)).__round__(4)
    8.0
    """
    _refuse(loss, "positive_scores", "symmetric")

    @named("symmetric", loss, "scale")
    def loss_fn(
        scores: Scores,
        labels: Labels,
        *,
        where: Where | None = None,
        segments: Array | None = None,
        weights: Array | None = None,
        reduce_fn: ReduceFn | None = jnp.mean,
        scale: Array | float | None = None,
        **others: Any,
    ) -> Array:
        _check_in_batch(jnp.asarray(scores), segments)
        scores, labels, weights, lists = ops.as_lists(scores, labels, where, None, weights)
        own = others | ({"scale": scale} if takes(loss, "scale") else {})
        anchors = jnp.argmax(labels, axis=-1)
        anchored = lists.any(positives_and_negatives(labels, lists)[0])

        def values(scores: Array, labels: Array, where: Array, weights: Array) -> Array:
            return loss(
                scores, labels, where=where, weights=weights, reduce_fn=ops.list_means, **own
            )

        rows = (scores, labels, lists.where, weights)
        scores, labels, where, weights = (array[:, anchors].T for array in rows)
        of_anchors = values(scores, labels, where & anchored, weights)
        total = values(*rows) + weight * of_anchors
        return ops.reduce_lists(total, lists.first(), reduce_fn)

    return loss_fn


def hardness_weighted(loss: LossFn, alpha: float) -> LossFn:
    r"""The loss of scores that are higher for hard negatives: $s_i + \alpha \cos(q, d_i)$.

    The cosine, `scores / scale`, has no gradient; positives keep their scores. Source: Lan et al.
    2025, equation 5, with alpha 9. It is sentence-transformers' `hardness_mode="all_negatives"`,
    and "in_batch_negatives" if lists have no hard negatives.

    Args:
      loss: a loss that does not ask for the scale itself.
      alpha: the strength; with 0 this is the loss.

    Raises:
      ValueError: the loss takes `scale`.

    >>> from t5rank.losses import softmax_loss
    >>> scores, labels = jnp.array([2.0, 1.0]), jnp.array([1, 0])
    >>> loss = hardness_weighted(softmax_loss, 4.0)(scores, labels, scale=2.0)  # 1 + 4 * 1 / 2 = 3
    >>> bool(jnp.isclose(loss, jnp.log(1 + jnp.exp(3.0 - 2.0))))
    True
    """
    _refuse(loss, "scale", "hardness_weighted")

    @named("hardness_weighted", loss, "scale")
    def loss_fn(
        scores: Scores,
        labels: Labels,
        *,
        scale: Array | float,
        where: Where | None = None,
        segments: Array | None = None,
        **others: Any,
    ) -> Array:
        scores, labels, _, lists = ops.as_lists(scores, labels, where, segments)
        cosines = jax.lax.stop_gradient(scores / jnp.asarray(scale, jnp.float32))
        _, negatives = positives_and_negatives(labels, lists)
        harder = scores + jnp.where(negatives, alpha * cosines, 0.0)
        return loss(harder, labels, where=where, segments=segments, **others)

    return loss_fn


def additive_margin(loss: LossFn, margin: float) -> LossFn:
    """The loss of scores from which the positives' are `margin` lower.

    The margin is in units of the scores, after scale and temperature, as t5x_retrieval's
    `logit_margin`. Source: Yang et al. 2019 (additive margin softmax).

    >>> from t5rank.losses import softmax_loss
    >>> loss = additive_margin(softmax_loss, 1.0)(jnp.array([3.0, 2.0]), jnp.array([1, 0]))
    >>> bool(jnp.isclose(loss, jnp.log(2.0)))
    True
    """

    @functools.wraps(loss)
    def loss_fn(
        scores: Scores,
        labels: Labels,
        *,
        where: Where | None = None,
        segments: Array | None = None,
        **others: Any,
    ) -> Array:
        scores, labels, _, lists = ops.as_lists(scores, labels, where, segments)
        positives, _ = positives_and_negatives(labels, lists)
        lower = scores - jnp.where(positives, margin, 0.0)
        return loss(lower, labels, where=where, segments=segments, **others)

    return loss_fn


def label_smoothed(loss: LossFn, epsilon: float) -> LossFn:
    r"""The loss of labels of which a share lies on the list's other documents.

    $$y_i \to (1 - \epsilon) \, y_i + \frac{\epsilon}{n - 1} \sum_{j \ne i} y_j$$

    Labels keep their sum; the only document of a list keeps its label. It is for losses of which
    labels are a distribution, as `softmax_loss`. This is T5X's `label_smoothing`, without the
    constant that T5X subtracts.

    Args:
      loss: a loss.
      epsilon: in [0, 1).

    Raises:
      ValueError: epsilon is outside of [0, 1).

    >>> from t5rank.losses import softmax_loss
    >>> loss = label_smoothed(softmax_loss, 0.2)(jnp.array([3.0, 1.0]), jnp.array([1, 0]))
    >>> bool(jnp.isclose(loss, softmax_loss(jnp.array([3.0, 1.0]), jnp.array([0.8, 0.2]))))
    True
    """
    if not 0.0 <= epsilon < 1.0:
        raise ValueError(f"Argument 'epsilon' has {epsilon}; expected a number in [0, 1).")

    @functools.wraps(loss)
    def loss_fn(
        scores: Scores,
        labels: Labels,
        *,
        where: Where | None = None,
        segments: Array | None = None,
        **others: Any,
    ) -> Array:
        _, labels, _, lists = ops.as_lists(scores, labels, where, segments)
        share = jnp.where(lists.count > 1, epsilon, 0.0)
        of_others = (lists.sum(labels) - labels) / jnp.maximum(lists.count - 1.0, 1.0)
        smooth = (1.0 - share) * labels + share * of_others
        return loss(scores, smooth, where=where, segments=segments, **others)

    return loss_fn


def _refuse(loss: LossFn, argument: str, name: str) -> None:
    if takes(loss, argument):
        raise ValueError(
            f"Argument 'loss' has a loss that takes '{argument}'; expected one that does not, for "
            f"'{name}'."
        )


def _check_in_batch(scores: Array, segments: Array | None) -> None:
    if scores.ndim != 2 or segments is not None:
        flat = "" if segments is None else " with segments"
        raise ValueError(
            f"Argument 'scores' has shape {scores.shape}{flat}; expected [queries, documents] of a "
            "whole batch. A symmetric loss needs in-batch negatives."
        )
