"""Squared errors of differences, by moments that hold at every label of float32."""

import jax.numpy as jnp

from t5rank import ops
from t5rank.types import Array

_LARGEST = float(jnp.finfo(jnp.float32).max)


def centred_error(scores: Array, labels: Array, lists: ops.Lists) -> Array:
    """Scores minus labels, both about their own largest, then about the mean of each list."""
    error = lists.from_best(ops.finite(scores)) - lists.from_best(labels)
    error = jnp.where(lists.where, jnp.clip(error, -_LARGEST, _LARGEST), 0.0)
    return error - lists.sum(error / jnp.maximum(lists.count, 1.0))


def minus(squares: Array, products: Array) -> Array:
    """The difference, infinite where the squares are: these are the larger ones."""
    return jnp.where(jnp.isinf(squares), squares, squares - products)
