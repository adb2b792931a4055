"""Ranking losses in JAX: `loss(scores, labels, *, where, segments, weights, reduce_fn)`.

The arguments are described in `t5rank.types`.
"""

from t5rank.losses.listwise import softmax_loss
from t5rank.losses.pointwise import sigmoid_loss

__all__ = ["sigmoid_loss", "softmax_loss"]
