"""Losses made of losses."""

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from t5rank.types import Array, LossFn


def mixture(losses: Sequence[LossFn], weights: Sequence[float]) -> LossFn:
    """The weighted sum of losses, all with the same arguments.

    A `key` goes to the losses that take one, split so that each has its own. All must reduce alike:
    with `reduce_fn=None` they must return the same shape.

    Args:
      losses: the losses.
      weights: as many numbers.

    Raises:
      ValueError: not as many weights as losses, or none.

    >>> import jax.numpy as jnp
    >>> from t5rank.losses import sigmoid_loss, softmax_loss
    >>> loss = mixture([softmax_loss, sigmoid_loss], [1.0, 0.5])
    >>> float(loss(jnp.zeros(2), jnp.array([1, 0])) / jnp.log(2.0)).__round__(4)
    1.5
    """
    if len(losses) != len(weights) or not losses:
        raise ValueError(
            f"Argument 'weights' has {len(weights)} numbers for {len(losses)} losses; "
            "expected one for each of at least one loss."
        )

    def loss_fn(scores: Array, labels: Array, *, key: Array | None = None, **kwargs: Any) -> Array:
        total: Any = 0.0
        for number, (loss, weight) in enumerate(zip(losses, weights, strict=True)):
            own_key = {}
            if key is not None and takes(loss, "key"):
                own_key["key"] = jax.random.fold_in(key, number)
            total = total + weight * loss(scores, labels, **own_key, **kwargs)
        return total

    return loss_fn


def with_temperature(loss: LossFn, temperature: float) -> LossFn:
    """The loss of `scores / temperature`.

    Raises:
      ValueError: the temperature is not positive.

    >>> import jax.numpy as jnp
    >>> from t5rank.losses import mse_loss
    >>> float(with_temperature(mse_loss, 2.0)(jnp.array([2.0]), jnp.array([1.0])))
    0.0
    """
    if not temperature > 0:
        raise ValueError(f"Argument 'temperature' has {temperature}; expected a number above 0.")

    @functools.wraps(loss)
    def loss_fn(scores: Array, labels: Array, **kwargs: Any) -> Array:
        return loss(scores / temperature, labels, **kwargs)

    return loss_fn


def takes(function: LossFn, argument: str) -> bool:
    """Whether a function has an argument of this name, or takes any."""
    parameters: Mapping[str, inspect.Parameter] = inspect.signature(function).parameters
    return argument in parameters or any(
        p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()
    )
