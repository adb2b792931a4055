"""What a label is worth and what a rank is worth, for metrics and lambda weights."""

from collections.abc import Callable

import jax.numpy as jnp

from t5rank.types import Array

GainFn = Callable[[Array], Array]
DiscountFn = Callable[[Array], Array]


def exponential_gain(label: Array) -> Array:
    """The gain `2^label - 1` of learning to rank (Burges et al. 2005)."""
    return 2.0**label - 1.0


def linear_gain(label: Array) -> Array:
    """The label itself, none below 0: trec_eval's gain."""
    return jnp.maximum(label, 0.0)


def log2_discount(rank: Array) -> Array:
    """The discount `1 / log2(1 + rank)` (Järvelin and Kekäläinen 2002); `rank` starts at 1."""
    return 1.0 / jnp.log2(1.0 + rank)
