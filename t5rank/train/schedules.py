"""Learning rate schedules: step to learning rate. Steps start at 0."""

import jax.numpy as jnp
import optax

from t5rank.checks import check_integer, check_number


def constant(learning_rate: float, warmup_steps: int = 0) -> optax.Schedule:
    """`learning_rate`, after a linear warm-up from 0 over `warmup_steps`.

    >>> [float(constant(0.5, warmup_steps=4)(step)) for step in (0, 1, 4, 100)]
    [0.125, 0.25, 0.5, 0.5]
    """
    _check(learning_rate, warmup_steps)
    return lambda step: learning_rate * _warmup(step, warmup_steps)


def linear(learning_rate: float, total_steps: int, warmup_steps: int = 0) -> optax.Schedule:
    """Linear warm-up, then linear decay to 0 at `total_steps`.

    >>> [round(float(linear(1.0, 10, warmup_steps=2)(step)), 3) for step in (0, 2, 6, 10)]
    [0.5, 1.0, 0.5, 0.0]
    """
    _check(learning_rate, warmup_steps)
    check_integer("TRAIN_STEPS", total_steps)

    def schedule(step: jnp.ndarray) -> jnp.ndarray:
        left = (total_steps - step) / max(total_steps - warmup_steps, 1)
        return learning_rate * _warmup(step, warmup_steps) * jnp.clip(left, 0.0, 1.0)

    return schedule


def inverse_square_root(learning_rate: float, warmup_steps: int = 10_000) -> optax.Schedule:
    """`learning_rate` up to `warmup_steps`, then falling as `sqrt(warmup_steps / step)`.

    T5's pre-training schedule is `inverse_square_root(0.01, 10_000)` (Raffel et al. 2020, 3.1.2).

    >>> [float(inverse_square_root(1.0, 100)(step)) for step in (0, 100, 400)]
    [1.0, 1.0, 0.5]
    """
    _check(learning_rate, warmup_steps)
    steps = max(warmup_steps, 1)
    return lambda step: learning_rate * jnp.sqrt(steps / jnp.maximum(step, steps))


def _check(learning_rate: float, warmup_steps: int) -> None:
    check_number("LEARNING_RATE", learning_rate, at_least=0)
    check_integer("WARMUP_STEPS", warmup_steps, at_least=0)


def _warmup(step: jnp.ndarray, warmup_steps: int) -> jnp.ndarray:
    return jnp.minimum((step + 1) / max(warmup_steps, 1), 1.0)
