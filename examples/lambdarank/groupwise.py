"""A small network that scores documents by their features, one by one or in groups.

Groupwise scoring (Ai et al. 2019, "Learning Groupwise Multivariate Scoring Functions Using Deep
Neural Networks"): the network reads m documents at once and gives m scores, so that a document is
judged beside others. With the n documents of a list in some order, the groups are the n circular
windows of m neighbours; every document is in m of them, once at each place, and its score is the
mean of what it got there. Training draws a new order at every step.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float

from t5rank.types import Array


class Scorer(nn.Module):
    """A multilayer perceptron over groups of documents.

    Attributes:
      group_size: how many documents are scored together; 1 scores each by itself.
      widths: of the hidden layers.
      dropout: the share of each hidden layer that is left out in training.
    """

    group_size: int = 1
    widths: tuple[int, ...] = (64, 32)
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "*batch list feature"],
        where: Bool[Array, "*batch list"],
        key: Array | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "*batch list"]:
        """Scores documents; 0 at masked slots, whose features reach nothing.

        Args:
          features: numbers of documents.
          where: True at documents.
          key: puts the documents of each list in random order; without it they keep theirs.
          train: whether hidden units are dropped, by the random numbers named "dropout".
        """
        features = jnp.where(where[..., None], features, 0.0)
        order = _order(where, key)
        ordered = jnp.take_along_axis(features, order[..., None], axis=-2)
        x = _windows(ordered, where, self.group_size)
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        scores = _mean_over_windows(nn.Dense(self.group_size)(x), where)
        scores = jnp.put_along_axis(jnp.zeros_like(scores), order, scores, axis=-1, inplace=False)
        return jnp.where(where, scores, 0.0)


def _order(where: Array, key: Array | None) -> Array:
    """Slots, those of documents first: in random order, or in the list's."""
    place = jnp.zeros(where.shape) if key is None else jax.random.uniform(key, where.shape)
    return jnp.argsort(jnp.where(where, place, jnp.inf), axis=-1, stable=True)


def _windows(ordered: Array, where: Array, size: int) -> Array:
    """The features of the documents from each place on, round and round, side by side."""
    shifted = [_from_place(ordered, where, offset) for offset in range(size)]
    return jnp.concatenate(shifted, axis=-1)


def _mean_over_windows(outputs: Array, where: Array) -> Array:
    """Each document's mean; it is the k-th of the window that starts k places before it."""
    size = outputs.shape[-1]
    parts = [_from_place(outputs[..., k : k + 1], where, -k)[..., 0] for k in range(size)]
    return sum(parts) / size


def _from_place(values: Array, where: Array, offset: int) -> Array:
    """`values` at the places `offset` further on, in a circle of the list's documents."""
    count = jnp.maximum(jnp.sum(where, axis=-1, keepdims=True), 1)
    place = (jnp.arange(where.shape[-1]) + offset) % count
    return jnp.take_along_axis(values, place[..., None], axis=-2)
