"""Weights of pairs: the type `Lambdaweight`, and how a pairwise loss reads it.

`t5rank.losses.lambdaweights` has the functions that return one. A loss also takes a function of
Rax's signature, which returns all weights, `[..., list, list]`, and so takes O(n^2) memory.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.ops import Lists
from t5rank.types import Array, Labels, Scores, Where

Numbers = tuple[Array, ...]


@dataclasses.dataclass(frozen=True)
class Lambdaweight:
    """Weights of pairs, computed from numbers of their documents.

    Attributes:
      items_fn: maps scores, labels, weights and lists to numbers of each document, `[..., list]`.
      pair_fn: maps the numbers of documents i and j to the pair's weight.
    """

    items_fn: Callable[[Array, Array, Array, Lists], Numbers]
    pair_fn: Callable[[Numbers, Numbers], Array]

    def __call__(
        self,
        scores: Scores,
        labels: Labels,
        *,
        where: Where | None = None,
        segments: Array | None = None,
        weights: Array | None = None,
    ) -> Array:
        """All weights, `[..., list, list]`; 0 across lists and at masked entries."""
        scores, labels, weights, lists = ops.as_lists(scores, labels, where, segments, weights)
        items = ((), as_items(self, scores, labels, weights, lists)[0])

        def pair_fn(i: ops.Items, j: ops.Items) -> tuple[Array, Array]:
            values = self.pair_fn(i[1], j[1])
            return values, jnp.ones(values.shape, bool)

        return ops.all_pairs(pair_fn, lists, items)[0]


LambdaweightFn = Lambdaweight | Callable[..., Array]


def as_items(
    lambdaweight_fn: LambdaweightFn | None,
    scores: Array,
    labels: Array,
    weights: Array,
    lists: Lists,
) -> tuple[Numbers, Callable[[Numbers, Numbers], Array | float]]:
    """The documents' numbers and the pair function, which is 1 without a `Lambdaweight`."""
    if not isinstance(lambdaweight_fn, Lambdaweight):
        return (), lambda i, j: 1.0
    numbers = lambdaweight_fn.items_fn(jax.lax.stop_gradient(scores), labels, weights, lists)
    shape = scores.shape
    return tuple(jnp.broadcast_to(n, shape) for n in numbers), lambdaweight_fn.pair_fn


def as_matrix(
    lambdaweight_fn: LambdaweightFn | None,
    scores: Array,
    labels: Array,
    weights: Array,
    where: Array,
    segments: Array | None,
) -> Array | None:
    """All weights, if the function returns them as Rax's do; otherwise None."""
    if lambdaweight_fn is None or isinstance(lambdaweight_fn, Lambdaweight):
        return None
    optional = {} if segments is None else {"segments": segments}
    matrix = lambdaweight_fn(
        jax.lax.stop_gradient(scores), labels, where=where, weights=weights, **optional
    )
    return jnp.reshape(matrix, (*scores.shape, scores.shape[-1]))
