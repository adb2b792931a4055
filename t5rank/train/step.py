"""One training step: the gradient of a batch, then the optimizer."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from t5rank import ops
from t5rank.models import network, operations
from t5rank.models.ranking import RankingModel
from t5rank.text.vocabulary import PAD_ID
from t5rank.types import Array

Sums = dict[str, Array]
TrainStep = Callable[[Any, Mapping[str, Any], Array], tuple[Any, Sums]]
_log = logging.getLogger(__name__)


def make_train_step(model: RankingModel, learning_rate_fn: Callable[[Array], Any]) -> TrainStep:
    """A function `(optimizer, batch, rng) -> (optimizer, sums)`, to be compiled.

    The optimizer is one of `t5rank.train.optimizers`. `sums` holds `[sum, count]` of the loss and
    the metrics, of `grad_norm` and `learning_rate`, and of what `batch_sums` counts.
    """

    def train_step(optimizer: Any, batch: Mapping[str, Array], rng: Array) -> tuple[Any, Sums]:
        step = optimizer.state.step
        rng = jax.random.fold_in(rng, step)
        grads, sums = jax.grad(model.training_loss_and_sums, has_aux=True)(
            optimizer.target, batch, rng
        )
        learning_rate = learning_rate_fn(step)
        sums |= batch_sums(model, batch)
        for name, value in {
            "grad_norm": optax.global_norm(grads),
            "learning_rate": learning_rate,
        }.items():
            sums[name] = jnp.stack([value, 1.0])
        return optimizer.apply_gradient(grads, learning_rate=learning_rate), sums

    return train_step


def batch_sums(model: RankingModel, batch: Mapping[str, Array]) -> Sums:
    """`[sum, count]` of what a batch holds.

    `documents`, `tokens` (real ones), `rows` (of tokens) and `operations` (of training on it) are
    per step, `list_size` is documents per list, `padding` the padded share of all slots.
    """
    tokens, mask = batch["encoder_input_tokens"], batch["mask"]
    segment_ids = batch.get("encoder_segment_ids")
    rows = tokens.reshape(-1, tokens.shape[-1])
    if segment_ids is not None:
        segment_ids = segment_ids.reshape(rows.shape)
    lengths = network.tokens_of_slots(rows, segment_ids, mask.shape[-1]).sum(-1)
    real = jnp.sum(tokens != PAD_ID, dtype=jnp.float32)
    documents = jnp.sum(mask, dtype=jnp.float32)
    config = model.module.config  # type: ignore[attr-defined]
    needed = operations.scoring_operations(config, lengths, decoder=model.kind.has_decoder)
    values: dict[str, Any] = {
        "documents": documents,
        "tokens": real,
        "rows": float(rows.shape[0]),
        "operations": operations.TRAINING_FACTOR * needed,
        "padding": 1.0 - real / tokens.size,
    }
    sums = {name: jnp.stack([value, 1.0]) for name, value in values.items()}
    flat = (mask.shape[0], -1)
    segments = batch.get("list_ids")
    lists = ops.as_lists(
        jnp.zeros(mask.shape).reshape(flat),
        jnp.zeros(mask.shape).reshape(flat),
        mask.reshape(flat),
        None if segments is None else segments.reshape(flat),
    )[-1]
    return sums | {"list_size": jnp.stack([documents, lists.first().sum()])}


class CompiledStep:
    """A training step, compiled once for every shape of a batch.

    What each program needs is logged, and how many there are. The optimizer that is given is used
    up: its memory is that of the one returned.

    Args:
      train_step: see `make_train_step`.

    Attributes:
      temporary_bytes: memory of a device that the largest program needs while it runs.
    """

    def __init__(self, train_step: TrainStep):
        self._step = train_step
        self._programs: dict[Any, Any] = {}
        self.temporary_bytes = 0

    def __call__(self, optimizer: Any, batch: Mapping[str, Any], rng: Array) -> tuple[Any, Sums]:
        """See `make_train_step`."""
        shape = tuple(sorted((name, array.shape) for name, array in batch.items()))
        if shape not in self._programs:
            self._programs[shape] = self._compiled(optimizer, batch, rng)
            self._report(batch)
        return self._programs[shape](optimizer, batch, rng)

    def _compiled(self, optimizer: Any, batch: Mapping[str, Any], rng: Array) -> Any:
        # The new optimizer lies where the old one lay, and takes its place.
        places = jax.tree.map(lambda leaf: getattr(leaf, "sharding", None), optimizer)
        step = jax.jit(self._step, donate_argnums=0, out_shardings=(places, None))
        return step.lower(optimizer, batch, rng).compile()

    def _report(self, batch: Mapping[str, Any]) -> None:
        program = list(self._programs.values())[-1]
        memory = program.memory_analysis()
        size = "x".join(map(str, batch["encoder_input_tokens"].shape))
        needs = ""
        if memory is not None:
            kept, temporary = memory.argument_size_in_bytes, memory.temp_size_in_bytes
            self.temporary_bytes = max(self.temporary_bytes, temporary)
            needs = (
                f": {kept / 2**20:,.0f} MiB of parameters, optimizer and batch and "
                f"{temporary / 2**20:,.0f} MiB of temporaries a device"
            )
        _log.info("Program %d, for batches of %s tokens%s.", len(self._programs), size, needs)
