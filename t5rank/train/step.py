"""One training step: the gradient of a batch, then the optimizer."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from t5rank.models.ranking import RankingModel
from t5rank.types import Array
from t5rank.vocabulary import PAD_ID

Sums = dict[str, Array]
TrainStep = Callable[[Any, Mapping[str, Any], Array], tuple[Any, Sums]]


def make_train_step(model: RankingModel, learning_rate_fn: Callable[[Array], Any]) -> TrainStep:
    """A function `(optimizer, batch, rng) -> (optimizer, sums)`, to be compiled.

    The optimizer is one that `model.optimizer_def` made (see `t5rank.optimizers`). `sums` holds
    `[sum, count]` of the loss and the metrics, and of `grad_norm`, `learning_rate`, `tokens` and
    `padding` (the padded share of all slots).
    """

    def train_step(optimizer: Any, batch: Mapping[str, Array], rng: Array) -> tuple[Any, Sums]:
        step = optimizer.state.step
        rng = jax.random.fold_in(rng, step)
        grads, sums = jax.grad(model.training_loss_and_sums, has_aux=True)(
            optimizer.target, batch, rng
        )
        learning_rate = learning_rate_fn(step)
        tokens = batch["encoder_input_tokens"]
        real = jnp.sum(tokens != PAD_ID, dtype=jnp.float32)
        values = {
            "grad_norm": optax.global_norm(grads),
            "learning_rate": learning_rate,
            "tokens": real,
            "padding": 1.0 - real / tokens.size,
        }
        sums |= {name: jnp.stack([value, 1.0]) for name, value in values.items()}
        return optimizer.apply_gradient(grads, learning_rate=learning_rate), sums

    return train_step
