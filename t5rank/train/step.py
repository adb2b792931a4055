"""One training step: microbatches under one normalizer, then the optimizer."""

from collections.abc import Callable, Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

from t5rank.models.ranking import RankingModel
from t5rank.types import Array, PyTree
from t5rank.vocabulary import PAD_ID


@flax.struct.dataclass
class TrainState:
    """What training changes.

    Attributes:
      step: steps done, int32.
      params: the network's parameters.
      opt_state: the optimizer's state.
    """

    step: Array
    params: PyTree
    opt_state: PyTree


Sums = dict[str, Array]
TrainStep = Callable[[TrainState, Mapping[str, Any], Array], tuple[TrainState, Sums]]


def make_train_step(
    model: RankingModel, optimizer: optax.GradientTransformation, num_microbatches: int = 1
) -> TrainStep:
    """A function `(state, batch, rng) -> (state, sums)`, to be compiled.

    The gradient does not depend on `num_microbatches` (dropout apart): the summed loss of every
    microbatch is divided by the whole batch's normalizer. `sums` holds `[sum, count]` of the loss
    and the metrics, and of `grad_norm`, `tokens` and `padding` (the padded share of all slots).
    """

    def gradients(params: PyTree, batch: Mapping[str, Array], rng: Array) -> tuple[PyTree, Sums]:
        normalizer = model.loss_normalizer(batch)
        grad_fn = jax.grad(model.loss_and_sums, has_aux=True)
        if num_microbatches == 1:
            return grad_fn(params, batch, rng, normalizer)

        def accumulate(carry: Any, part: Any) -> tuple[Any, None]:
            part_batch, part_rng = part
            return jax.tree.map(
                jnp.add, carry, grad_fn(params, part_batch, part_rng, normalizer)
            ), None

        parts = (split_batch(batch, num_microbatches), jax.random.split(rng, num_microbatches))
        shapes = jax.eval_shape(grad_fn, params, jax.tree.map(lambda x: x[0], parts[0]), rng, 1.0)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.scan(accumulate, zeros, parts)[0]

    def train_step(
        state: TrainState, batch: Mapping[str, Array], rng: Array
    ) -> tuple[TrainState, Sums]:
        rng = jax.random.fold_in(rng, state.step)
        grads, sums = gradients(state.params, batch, rng)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        tokens = batch["encoder_input_tokens"]
        real = jnp.sum(tokens != PAD_ID, dtype=jnp.float32)
        sums["grad_norm"] = jnp.stack([optax.global_norm(grads), 1.0])
        sums["tokens"] = jnp.stack([real, 1.0])
        sums["padding"] = jnp.stack([1.0 - real / tokens.size, 1.0])
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, opt_state), sums

    return train_step


def split_batch(batch: Mapping[str, Array], parts: int) -> dict[str, Array]:
    """`[lists, ...]` to `[parts, lists / parts, ...]`, every part spread over all of the batch.

    A batch lies on the devices in consecutive blocks; taking every `parts`-th list leaves each
    microbatch on all devices, without moving any.
    """

    def split(array: Array) -> Array:
        return array.reshape(-1, parts, *array.shape[1:]).swapaxes(0, 1)

    return {name: split(array) for name, array in batch.items()}
