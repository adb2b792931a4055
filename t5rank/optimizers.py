"""Optimizers as optax transformations, with T5's habits as defaults."""

from collections.abc import Callable

import optax

Schedule = Callable | float


def adafactor(
    learning_rate: Schedule,
    decay_rate: float = 0.8,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: float | None = 1.0,
    momentum: float | None = None,
    weight_decay: float | None = None,
) -> optax.GradientTransformation:
    """Adafactor with T5's settings (Shazeer and Stern 2018; Raffel et al. 2020, 3.1.2).

    With `multiply_by_parameter_scale` the step is relative to a parameter's root mean square, which
    is what T5's published learning rates (1e-3, 1e-4) are for.
    """
    return optax.adafactor(
        learning_rate,
        decay_rate=decay_rate,
        multiply_by_parameter_scale=multiply_by_parameter_scale,
        clipping_threshold=clipping_threshold,
        momentum=momentum,
        weight_decay_rate=weight_decay,
    )


def adamw(
    learning_rate: Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    clip_global_norm: float | None = 1.0,
) -> optax.GradientTransformation:
    """AdamW (Loshchilov and Hutter 2019) behind a clip of the gradient's global norm."""
    adam = optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)
    if clip_global_norm is None:
        return adam
    return optax.chain(optax.clip_by_global_norm(clip_global_norm), adam)
