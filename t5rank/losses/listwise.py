"""Listwise losses: one value per list."""

import jax.numpy as jnp

from t5rank import ops
from t5rank.types import Array, Labels, ReduceFn, Scores, Where


def softmax_loss(
    scores: Scores,
    labels: Labels,
    *,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Softmax cross entropy over each list.

    $$\ell(s, y) = -\sum_i w_i \, y_i \log \frac{e^{s_i}}{\sum_j e^{s_j}}$$

    Labels are not normalized. A list without a relevant document has loss 0 and counts in the mean;
    a list without any document does not count. Source: ListNet, Cao et al. 2007; with one relevant
    document it is the loss of RankT5, Zhuang et al. 2022, equation 6.

    Args:
      scores: see `t5rank.types`, also for the other arguments.
      labels: as above.
      where: as above.
      segments: as above.
      weights: multiply the labels.
      reduce_fn: reduces over lists.

    Returns:
      The reduced loss, or `[...]` with one value per list.

    >>> float(softmax_loss(jnp.array([0.0, 0.0]), jnp.array([1, 0]))) == float(jnp.log(2.0))
    True
    """
    scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
    gains = labels * weights
    loss = -lists.sum(times(gains, scores - lists.logsumexp(scores)))
    return lists.reduce(loss, reduce_fn, spoiled=scores + labels)


def times(gains: Array, values: Array) -> Array:
    """The product, where 0 times an infinite value is 0, as are both its gradients."""
    return jnp.where(gains == 0, 0.0, gains * jnp.where(gains == 0, 0.0, values))
