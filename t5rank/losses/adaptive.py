"""Margins and temperatures that adapt to each negative (Li et al. 2023).

A negative n that is like the relevant document v of its query q gets a small margin, or a low
temperature; one that is unlike gets a large one. A second term has v as the anchor: q is its
positive, and the negatives stay the same.

Similarities are cosines, in [-1, 1]. `scores` are cosines times `scale`, and `positive_scores` are
the cosines of v and every document, as a retrieval model gives both. v is the document of the best
label above 0, the first of several; negatives are the documents of a lower label. A list without
any has loss 0. A cosine beyond 1.001 is the caller's error, and is not looked for here: where it
makes a temperature negative, the loss means nothing.

What is a reading. The source's formulas are pictures; its text says that the margin and the
temperature of a pair follow from the similarity of v and n, with global alpha and base, and are
smaller for harder negatives; that without stop-gradient all documents cluster; and that a symmetric
loss is added with a weight. The affine form `alpha (1 - s(v, n)) + base` is ours, as are the
pairwise form of the softmax, which lets every pair have its own temperature, and the sum over
negatives. Only the sign is not free: with it, and without the stop-gradient, v and n attract each
other, which is the clustering that the text describes.

Arguments not described here are those of every loss, see `t5rank.types`; `weights` are those of v,
and multiply the list's loss.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.losses.contrastive import positives_and_negatives
from t5rank.types import Array, Labels, ReduceFn, Scores, Where


def adaptive_margin_loss(
    scores: Scores,
    labels: Labels,
    *,
    positive_scores: Scores,
    scale: Array | float = 1.0,
    alpha: float = 0.5,
    margin: float = 0.01,
    symmetric_weight: float = 0.05,
    stop_gradient: bool = True,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Hinge loss with a margin for each negative.

    $$\ell = \sum_i \left[\delta_i^q - s(q, v) + s(q, n_i)\right]_+
    + w \sum_i \left[\delta_i^v - s(v, q) + s(v, n_i)\right]_+$$

    $$\delta_i^q = \alpha \, (1 - \mathrm{sg}(s(v, n_i))) + \delta_0, \quad
    \delta_i^v = \alpha \, (1 - \mathrm{sg}(s(q, n_i))) + \delta_0$$

    With alpha 0 the margin is fixed: the source's baseline has `margin=0.1, symmetric_weight=0`.
    Source: Li et al. 2023, whose defaults these are; the module says what is our reading.

    Args:
      positive_scores: `[..., list]`, the cosines of the list's relevant document and each document.
      scale: what the cosines in `scores` were multiplied by.
      alpha: how much the margin grows from the hardest to an unrelated negative.
      margin: $\delta_0$, that of the hardest.
      symmetric_weight: $w$.
      stop_gradient: whether margins are constants; without it documents cluster.

    Raises:
      ValueError: shapes differ.

    >>> scores, labels = jnp.array([0.5, 0.4]), jnp.array([1, 0])
    >>> like = jnp.array([1.0, 0.8])  # margin .5 * .2 + .01 = .11
    >>> options = {"positive_scores": like, "symmetric_weight": 0.0}
    >>> round(float(adaptive_margin_loss(scores, labels, **options)), 5)
    0.01
    """

    pairs = _Pairs.of(scores, labels, positive_scores, scale, where, segments, weights)

    def hinge(anchor: Array, other: Array) -> Array:
        excess = alpha * (1.0 - other) + margin - pairs.positive + anchor
        return pairs.lists.sum(jnp.where(pairs.negatives, jax.nn.relu(excess), 0.0))

    return pairs.reduce(hinge, symmetric_weight, stop_gradient, reduce_fn)


def adaptive_softmax_loss(
    scores: Scores,
    labels: Labels,
    *,
    positive_scores: Scores,
    scale: Array | float = 1.0,
    alpha: float = 0.5,
    temperature: float = 1 / 30,
    symmetric_weight: float = 0.05,
    stop_gradient: bool = True,
    where: Where | None = None,
    segments: Array | None = None,
    weights: Array | None = None,
    reduce_fn: ReduceFn | None = jnp.mean,
) -> Array:
    r"""Softmax loss with a temperature for each negative.

    $$\ell = \log\Big(1 + \sum_i e^{(s(q, n_i) - s(q, v)) / \tau_i^q}\Big)
    + w \log\Big(1 + \sum_i e^{(s(v, n_i) - s(v, q)) / \tau_i^v}\Big)$$

    $$\tau_i^q = \alpha \, (1 - \mathrm{sg}(s(v, n_i))) + \tau_0, \quad
    \tau_i^v = \alpha \, (1 - \mathrm{sg}(s(q, n_i))) + \tau_0$$

    With alpha 0 and `symmetric_weight=0` this is `softmax_loss` of `cosines / temperature`. The
    temperature replaces that of the scores, so that a scale that is trained gets no gradient. With
    alpha .5 an unrelated negative has 16 times the temperature of the hardest, and many of them
    outweigh a few hard ones: try smaller alphas, too. Source: as `adaptive_margin_loss`.

    Args:
      positive_scores: see `adaptive_margin_loss`, as `scale` and `stop_gradient`.
      scale: as above.
      alpha: how much the temperature grows from the hardest to an unrelated negative.
      temperature: $\tau_0$, that of the hardest.
      symmetric_weight: $w$.
      stop_gradient: as above.

    Raises:
      ValueError: shapes differ, or the temperature is not positive.

    >>> scores, labels = jnp.array([0.5, 0.5]), jnp.array([1, 0])
    >>> options = {"positive_scores": jnp.array([1.0, 0.8]), "symmetric_weight": 0.0}
    >>> float(adaptive_softmax_loss(scores, labels, **options)) == float(jnp.log(2.0))
    True
    """
    if not temperature > 0:
        raise ValueError(f"Argument 'temperature' has {temperature}; expected a number above 0.")

    pairs = _Pairs.of(scores, labels, positive_scores, scale, where, segments, weights)

    def log_total(anchor: Array, other: Array) -> Array:
        gaps = (anchor - pairs.positive) / (alpha * (1.0 - other) + temperature)
        total = pairs.lists.logsumexp(jnp.where(pairs.negatives, gaps, -jnp.inf))
        return jnp.logaddexp(total, 0.0)

    return pairs.reduce(log_total, symmetric_weight, stop_gradient, reduce_fn)


class _Pairs(NamedTuple):
    """The cosines of each list's query and relevant document, of both and each negative."""

    positive: Array
    of_query: Array
    of_document: Array
    negatives: Array
    weight: Array
    lists: ops.Lists

    @classmethod
    def of(
        cls,
        scores: Scores,
        labels: Labels,
        positive_scores: Scores,
        scale: Array | float,
        where: Where | None,
        segments: Array | None,
        weights: Array | None,
    ) -> "_Pairs":
        of_document = jnp.asarray(positive_scores, jnp.float32)
        scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
        if of_document.shape != scores.shape:
            raise ValueError(
                f"Argument 'positive_scores' has shape {of_document.shape}; expected the scores' "
                f"{scores.shape}."
            )
        of_document = jnp.where(lists.where, of_document, 0.0)
        of_query = ops.finite(scores) / jnp.asarray(scale, jnp.float32)
        positives, negatives = positives_and_negatives(labels, lists)
        slots = jnp.broadcast_to(jnp.arange(scores.shape[-1], dtype=jnp.float32), scores.shape)
        relevant = slots == lists.min(jnp.where(positives, slots, jnp.inf))
        nan = 0.0 * jax.lax.stop_gradient(labels + ops.finite(scores) + ops.finite(of_document))
        return cls(
            lists.sum(jnp.where(relevant, of_query, 0.0)),
            of_query + nan,
            ops.finite(of_document) + nan,
            negatives,
            lists.sum(jnp.where(relevant, weights, 0.0)),
            lists,
        )

    def reduce(
        self,
        loss_fn: Callable[[Array, Array], Array],
        symmetric_weight: float,
        stop_gradient: bool,
        reduce_fn: ReduceFn | None,
    ) -> Array:
        """The loss of the query as the anchor, plus that of its document, reduced over lists.

        `loss_fn` takes the cosines of the anchor, and of the other of the two, with negatives.
        """
        fixed = jax.lax.stop_gradient if stop_gradient else lambda x: x
        loss = loss_fn(self.of_query, fixed(self.of_document))
        loss += symmetric_weight * loss_fn(self.of_document, fixed(self.of_query))
        nan_from = self.of_query + self.of_document
        return self.lists.reduce(self.weight * loss, reduce_fn, nan_from=nan_from)
