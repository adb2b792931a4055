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
      labels: probabilities of relevance, in [0, 1]; above 1 counts as 1.
      where: as above.
      segments: as above.
      weights: multiply each document's loss.
      reduce_fn: reduces over the documents of all lists.

    Returns:
      The reduced loss, or `[..., list]` with one value per document.

    >>> float(sigmoid_loss(jnp.array([0.0]), jnp.array([1]))) == float(jnp.log(2.0))
    True
    """
    scores, labels, where, weights = ops.as_lists(scores, labels, where, segments, weights)
    labels = jnp.minimum(labels, 1.0)
    positive = jnp.where(labels > 0, labels * jax.nn.softplus(-scores), 0.0)
    negative = jnp.where(labels < 1, (1 - labels) * jax.nn.softplus(scores), 0.0)
    return ops.reduce(weights * (positive + negative), where, reduce_fn)
