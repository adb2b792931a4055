"""Listwise losses: one value per list."""

import jax
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
    scores, labels, where, weights = ops.as_lists(scores, labels, where, segments, weights)
    gains = labels * weights
    # Without a gain there is nothing to compute, and a list of -inf alone has no softmax.
    logits = jnp.where(where, scores, -jnp.inf)
    logits = jnp.where(jnp.any(gains != 0, axis=-1, keepdims=True), logits, 0.0)
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    # 0 * -inf is NaN: an irrelevant document scored -inf contributes nothing.
    terms = jnp.where(gains == 0, 0.0, gains * jnp.where(gains == 0, 0.0, log_probs))
    # A NaN score at an irrelevant document must show even if no document is relevant.
    loss = -jnp.sum(terms, axis=-1) + jnp.sum(jnp.where(jnp.isnan(scores), scores, 0.0), axis=-1)
    return ops.reduce(loss, jnp.any(where, axis=-1), reduce_fn)
