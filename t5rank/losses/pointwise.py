"""Pointwise losses: one value per document."""

import jax
import jax.numpy as jnp

from t5rank import ops
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

    Source: RankT5, Zhuang et al. 2022, equation 4. Written with softplus, it is exact where
    `log(sigmoid(s))` rounds to 0.

    Args:
      scores: see `t5rank.types`, also for the other arguments.
      labels: probabilities of relevance, clipped to [0, 1].
      where: as above.
      segments: as above.
      weights: multiply each document's loss.
      reduce_fn: reduces over the documents of all lists.

    Returns:
      The reduced loss, or `[..., list]` with one value per document.

    >>> float(sigmoid_loss(jnp.array([0.0]), jnp.array([1]))) == float(jnp.log(2.0))
    True
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    labels = jnp.clip(labels, 0.0, 1.0)
    # 0 * inf is NaN: a certain and right score costs nothing. A NaN label stays.
    positive = jnp.where(labels == 0, 0.0, labels * jax.nn.softplus(-scores))
    negative = jnp.where(labels == 1, 0.0, (1 - labels) * jax.nn.softplus(scores))
    return ops.reduce(weights * (positive + negative), lists.where, reduce_fn)
