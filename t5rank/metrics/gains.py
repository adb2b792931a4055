"""Gains of labels and discounts of ranks, for losses, metrics and lambda weights.

The exponential gain of a label from 128 on is more than a float32 holds. It is infinite, and so is
a sum of such gains. Quotients of gains are computed from `relative_gains` and are always finite.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from t5rank.ops import Lists
from t5rank.types import Array

GainFn = Callable[[Array], Array]
DiscountFn = Callable[[Array], Array]

_LARGEST = 30.0  # labels are shifted down to this one, whose gain can be squared


def exponential_gain(label: Array) -> Array:
    """The gain `2^label - 1` of learning to rank (Burges et al. 2005); infinite from 128 on."""
    return shifted_gain(label, jnp.float32(0.0))


def linear_gain(label: Array) -> Array:
    """The label itself, but at least 0: trec_eval's gain."""
    return jnp.maximum(label, 0.0)


def log2_discount(rank: Array) -> Array:
    """The discount `1 / log2(1 + rank)` (Järvelin and Kekäläinen 2002); `rank` starts at 1."""
    return 1.0 / jnp.log2(1.0 + rank)


def shifted_gain(label: Array, shift: Array) -> Array:
    """`(2^label - 1) / 2^shift`, accurate also for labels near 0 and for infinite gains."""
    label = jnp.asarray(label, jnp.float32)
    power = 2.0 ** (label - shift) - 2.0**-shift
    x = jnp.clip(label, -0.3, 0.3) * math.log(2.0)
    series = x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6)))))  # e^x - 1
    return jnp.where(jnp.abs(label) < 0.3, series * 2.0**-shift, power)


def label_shift(labels: Array, weights: Array, lists: Lists) -> Array:
    """The shift of each list that makes `shifted_gain` finite for all labels of non-zero weight."""
    largest = lists.max(jnp.where(weights != 0, labels, -jnp.inf))
    return jax.lax.stop_gradient(jnp.maximum(largest - _LARGEST, 0.0))


def relative_gains(labels: Array, weights: Array, lists: Lists, gain_fn: GainFn) -> Array:
    """Finite weighted gains, up to a factor for each list, which quotients do not depend on.

    An infinite gain of another `gain_fn` makes the quotient NaN.
    """
    if gain_fn is exponential_gain:
        gains = shifted_gain(labels, label_shift(labels, weights, lists))
    else:
        gains = relative(jnp.where(weights != 0, gain_fn(labels), 0.0), lists)
    return relative(jnp.where(lists.where & (weights != 0), gains * weights, 0.0), lists)


def relative(values: Array, lists: Lists) -> Array:
    """Values divided by a power of 2 for each list, so that none is above 1 and none is rounded."""
    largest = jax.lax.stop_gradient(lists.max(jnp.abs(values)))
    _, exponent = jnp.frexp(jnp.where(jnp.isfinite(largest), largest, 1.0))
    half = 0.5 * jnp.clip(exponent, -126, 128).astype(jnp.float32)  # 2^-128 is no float32
    return values * 2.0 ** -jnp.floor(half) * 2.0 ** -jnp.ceil(half)


def product(gains: Array | float, others: Array) -> Array:
    """The product, but an infinite gain times 0 is 0: without weight a gain does not count."""
    return jnp.where(jnp.isinf(gains) & (others == 0), 0.0, gains) * others
