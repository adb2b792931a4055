"""Functions that make a loss out of others: mixtures, means per list, a temperature."""

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from t5rank import ops
from t5rank.types import Array, Labels, LossFn, ReduceFn, Scores, Where

# What only some losses ask for, by the names of their arguments.
ASKED = ("key", "positive_scores", "scale")


def mixture(losses: Sequence[LossFn], weights: Sequence[float]) -> LossFn:
    """The weighted sum of several losses of t5rank, for each list.

    Every list counts the same in each loss: a pairwise or pointwise loss is first averaged over the
    list's pairs or documents. `reduce_fn` reduces over lists. A `key`, `positive_scores` and the
    `scale` go to the losses that take them. Each of these losses has a key of its own, made from
    the mixture's `key`.

    Args:
      losses: the losses.
      weights: a number for each loss.

    Raises:
      ValueError: there is no loss, or not one weight for each loss.

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

    factors = tuple(weights)

    def loss_fn(
        scores: Scores,
        labels: Labels,
        *,
        where: Where | None = None,
        segments: Array | None = None,
        weights: Array | None = None,
        reduce_fn: ReduceFn | None = jnp.mean,
        key: Array | None = None,
        positive_scores: Scores | None = None,
        scale: Array | float | None = None,
    ) -> Array:
        lists = ops.as_lists(scores, labels, where, segments)[-1]
        shared = {"where": where, "segments": segments, "weights": weights}
        total: Any = 0.0
        for number, (loss, factor) in enumerate(zip(losses, factors, strict=True)):
            asked = {
                "key": None if key is None else jax.random.fold_in(key, number),
                "positive_scores": positive_scores,
                "scale": scale,
            }
            own = {n: x for n, x in asked.items() if x is not None and takes(loss, n)}
            total = total + factor * loss(scores, labels, reduce_fn=ops.list_means, **shared, **own)
        return ops.reduce_lists(total, lists.first(), reduce_fn)

    signature = inspect.signature(loss_fn)
    unasked = {n for n in ASKED if not any(takes(loss, n) for loss in losses)}
    parameters = [p for n, p in signature.parameters.items() if n not in unasked]
    loss_fn.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return loss_fn


def per_list(loss: LossFn) -> LossFn:
    """A pairwise or pointwise loss in which every list counts the same, whatever its length.

    >>> import jax.numpy as jnp
    >>> from t5rank.losses import mse_loss
    >>> scores, where = jnp.array([[2.0, 2.0], [0.0, 0.0]]), jnp.array([[1, 1], [1, 0]])
    >>> float(per_list(mse_loss)(scores, jnp.zeros((2, 2)), where=where))  # (4 + 0) / 2
    2.0
    """
    return mixture([loss], [1.0])


def with_temperature(loss: LossFn, temperature: float) -> LossFn:
    """The loss of `scores / temperature`; a `scale` that the loss asks for is divided, too.

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
        if "scale" in kwargs:
            kwargs["scale"] = jnp.asarray(kwargs["scale"], jnp.float32) / temperature
        return loss(jnp.asarray(scores, jnp.float32) / temperature, labels, **kwargs)

    return loss_fn


def takes(function: LossFn, argument: str) -> bool:
    """Whether a function's signature has an argument of this name.

    >>> from t5rank.losses import listmle_loss, softmax_loss
    >>> takes(listmle_loss, "key"), takes(softmax_loss, "key")
    (True, False)
    """
    return argument in inspect.signature(function).parameters
