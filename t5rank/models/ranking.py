"""The ranking model: a network and a head in use. It gives scores, the loss and the metrics.

A batch is of one of two layouts:

* padded: `encoder_input_tokens` `[lists, list_size, length]`, `label` and `mask`
  `[lists, list_size]`;
* packed, several documents a row (see `t5rank.train.layouts`): `encoder_input_tokens` and
  `encoder_segment_ids` `[groups, rows, length]`, `label`, `mask` and `list_ids`
  `[groups, rows, slots]`. A list is all in one group.
"""

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float, Int

from t5rank import losses, ops
from t5rank.checks import check_integer, check_number
from t5rank.losses.combinations import ASKED, takes
from t5rank.metrics.defaults import DEFAULT_METRIC_FNS
from t5rank.models import kinds
from t5rank.models.heads import Head
from t5rank.models.parts import accumulated, recomputed_in_parts, split
from t5rank.types import Array, LossFn, MetricFn, PyTree

Batch = Mapping[str, Array]
Sums = dict[str, Array]
_LOSS_STREAM = 1  # of the random numbers of a step


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a loss or a metric is given, see `t5rank.types`.

    Attributes:
      scores: `[..., list]`.
      label: `[..., list]`.
      where: `[..., list]`, the real documents.
      segments: `[..., list]`, the lists of flat rows; None where a row is a list.
      optional: arguments that only some losses take, by name.
      sums: `[sum, count]` of what is logged beside the metrics, by name.
    """

    scores: Array
    label: Array
    where: Array
    segments: Array | None = None
    optional: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    sums: Sums = dataclasses.field(default_factory=dict)


def model_of(module: nn.Module, head: Head, **settings: Any) -> "RankingModel":
    """The model of a network and a head: a `RankingModel`, or what the head's kind makes of them.

    Args:
      module: the network.
      head: the head.
      **settings: those of the model.
    """
    return (kinds.of(head).model or RankingModel)(module, head, **settings)


class RankingModel:
    """A network, a score head, a ranking loss and metrics.

    Attributes:
      module: the network of the head's kind (see `t5rank.models.kinds`), or T5X's own
        `network.Transformer`.
      head: how the score is read off the network.
      kind: the head's kind.
      loss_fn: any function with the signature of `t5rank.losses` (that of Rax). One that takes a
        `key` gets another for every training step, and always the same one otherwise.
      metric_fns: name to metric, logged while training.
      loss_normalizing_factor: the sum of the loss is divided by it. None divides by the number of
        lists (of documents or pairs, for a pointwise or pairwise loss) in the batch.
      num_microbatches: parts of a training batch that are computed one after the other, to save
        memory; the loss, its gradient and the metrics stay those of the batch (dropout apart).
      gradient_cache_rows: so many rows of tokens of a batch are computed at once, over all devices,
        and again for their part of the gradient (GradCache, Gao et al. 2021): a list of any length
        trains in the memory of so many rows, with the same gradient. None computes all at once.

    Raises:
      ValueError: the head does not belong to the network, or is of no registered kind; or the loss
        takes what the model does not give.
    """

    def __init__(
        self,
        module: nn.Module,
        head: Head,
        loss_fn: LossFn = losses.softmax_loss,
        metric_fns: Mapping[str, MetricFn] = DEFAULT_METRIC_FNS,
        loss_normalizing_factor: float | None = None,
        num_microbatches: int = 1,
        gradient_cache_rows: int | None = None,
    ):
        kinds.check(head, module)
        check_integer("NUM_MICROBATCHES", num_microbatches)
        check_integer("GRADIENT_CACHE_ROWS", gradient_cache_rows, optional=True)
        check_number("LOSS_NORMALIZING_FACTOR", loss_normalizing_factor, above=0, optional=True)
        if not callable(loss_fn):
            raise TypeError(
                f"LOSS_FN has {loss_fn!r:.80}; expected a loss, LOSS_FN = @losses.softmax_loss."
            )
        self._check_asked(loss_fn)
        self.module = module
        self.head: Any = head  # of the class of its kind
        self.kind = kinds.of(head)
        self.loss_fn = loss_fn
        self.metric_fns = dict(metric_fns)
        self.loss_normalizing_factor = loss_normalizing_factor
        self.num_microbatches = num_microbatches
        self.gradient_cache_rows = gradient_cache_rows

    @property
    def gives(self) -> tuple[str, ...]:
        """The arguments of some losses that the model has a value for."""
        return ("key",)

    @property
    def sees_other_lists(self) -> bool:
        """Whether the loss of a list depends on the documents of the batch's other lists."""
        return False

    def _check_asked(self, loss_fn: LossFn) -> None:
        missing = [name for name in ASKED if name not in self.gives and takes(loss_fn, name)]
        if missing:
            raise ValueError(
                f"LOSS_FN '{getattr(loss_fn, '__name__', loss_fn)}' takes {', '.join(missing)}, "
                f"which this {type(self).__name__} does not give; expected a loss of scores and "
                "labels. It is for dual encoders with CANDIDATES = 'batch' or 'positives'."
            )

    def __repr__(self) -> str:
        config = getattr(self.module, "config", None)
        layers = f"{getattr(config, 'num_encoder_layers', '?')}"
        if self.kind.has_decoder:
            layers += f" + {getattr(config, 'num_decoder_layers', '?')}"
        return (
            f"{type(self).__name__}({type(self.module).__name__}, {layers} layers, "
            f"width {getattr(config, 'emb_dim', '?')}, {self.head!r})"
        )

    @property
    def computes(self) -> str | None:
        """Says what `score` computes of parameters and tokens; None where that is not all ours."""
        parts = (self, self.module, self.head)
        if not all(type(part).__module__.startswith("t5rank.models.") for part in parts):
            return None
        return repr((self.module, self.head, self.gradient_cache_rows))

    def get_initial_variables(
        self,
        rng: Array,
        input_shapes: Mapping[str, tuple[int, ...]],
        input_types: Mapping[str, Any] | None = None,
    ) -> flax.core.FrozenDict:
        """Fresh `params` and their logical axes, `params_axes`.

        Args:
          rng: a PRNG key.
          input_shapes: of a batch; only the last axis of `encoder_input_tokens` is used.
          input_types: not needed.
        """
        del input_types
        tokens = jnp.ones((1, input_shapes["encoder_input_tokens"][-1]), jnp.int32)
        return flax.core.freeze(
            self.module.init(rng, **self.head.inputs(self.module, tokens), enable_dropout=False)
        )

    def score(
        self,
        params: PyTree,
        tokens: Int[Array, "*batch length"],
        dropout_rng: Array | None = None,
    ) -> Float[Array, " *batch"]:
        """Float32 scores `[...]` of `tokens` `[..., length]`; dropout only with an rng.

        Results of another shape than a number have their axes after these.
        """
        results = self._results(params, tokens, None, 1, dropout_rng)[:, 0]
        return results.reshape(*tokens.shape[:-1], *results.shape[1:])

    def results(
        self, params: PyTree, batch: Batch, dropout_rng: Array | None = None
    ) -> Float[Array, "*places"]:
        """Float32 results of all inputs of a batch, in the shape of its labels."""
        tokens, segment_ids = batch["encoder_input_tokens"], batch.get("encoder_segment_ids")
        if segment_ids is None:
            return self.score(params, tokens, dropout_rng)
        slots = batch["label"].shape[-1]
        results = self._results(params, tokens, segment_ids, slots, dropout_rng)
        return results.reshape(*tokens.shape[:-1], *results.shape[1:])

    def batch_scores(
        self, params: PyTree, batch: Batch, dropout_rng: Array | None = None
    ) -> Float[Array, "groups list"]:
        """Float32 scores of a batch, in the shape of its labels; dropout only with an rng."""
        return self.results(params, batch, dropout_rng)

    def list_scores(self, results: np.ndarray) -> np.ndarray:
        """Scores `[documents]` of the results of a list's inputs, as its encoder orders them."""
        return results

    def scored(self, params: PyTree, batch: Batch, dropout_rng: Array | None) -> Scored:
        """What the loss and the metrics are given of a batch."""
        return _flat(self.batch_scores(params, batch, dropout_rng), batch)

    def _results(
        self,
        params: PyTree,
        tokens: Array,
        segment_ids: Array | None,
        slots: int,
        dropout_rng: Array | None,
    ) -> Array:
        """What the head reads, `[rows, slots, ...]`, of all rows of tokens."""

        def run(rows: Any, rng: Array | None) -> Array:
            outputs: Any = self.module.apply(
                {"params": params},
                **self.head.inputs(self.module, rows[0], rows[1], slots),
                enable_dropout=rng is not None,
                rngs={} if rng is None else {"dropout": rng},
            )
            return self.head.read(outputs)

        rows = (tokens, segment_ids)
        flat = jax.tree.map(lambda array: array.reshape(-1, array.shape[-1]), rows)
        size = self.gradient_cache_rows
        results_of = run if size is None else recomputed_in_parts(run, size)
        return results_of(flat, dropout_rng)

    def loss_normalizer(self, batch: Batch) -> Array | float:
        """What the sum of the loss over `batch` is divided by: lists, documents or pairs."""
        scored = _flat(jnp.zeros(batch["label"].shape), batch)
        return self._normalizer(self._loss_sum_and_count(scored, None)[1])

    def _normalizer(self, count: Array) -> Array | float:
        factor = self.loss_normalizing_factor
        return jnp.maximum(count, 1.0) if factor is None else factor

    def _loss_sum_and_count(self, scored: Scored, rng: Array | None) -> Array:
        optional = {n: value for n, value in scored.optional.items() if takes(self.loss_fn, n)}
        if takes(self.loss_fn, "key"):
            rng = jax.random.key(0) if rng is None else rng
            optional["key"] = jax.random.fold_in(rng, _LOSS_STREAM)
        return _over_lists(self.loss_fn, scored, **optional)

    def loss_and_sums(
        self,
        params: PyTree,
        batch: Batch,
        dropout_rng: Array | None,
        normalizer: Array | float | None = None,
    ) -> tuple[Array, Sums]:
        """The loss to differentiate, and `[sum, count]` of the loss and of every metric.

        The sums and counts of several microbatches add up to those of the whole batch. So do the
        losses, and their gradients, if all are given the whole batch's `normalizer`.

        Args:
          params: the network's parameters.
          batch: see the module's description.
          dropout_rng: a PRNG key, or None for no dropout.
          normalizer: divides the summed loss; `loss_normalizer(batch)` by default.
        """
        scored = self.scored(params, batch, dropout_rng)
        loss_sums = self._loss_sum_and_count(scored, dropout_rng)
        if normalizer is None:
            normalizer = self._normalizer(loss_sums[1])
        loss, sums = loss_sums[0] / normalizer, {"loss": loss_sums} | scored.sums
        for name, metric_fn in self.metric_fns.items():
            sums[name] = _over_lists(metric_fn, scored)
        return loss, sums

    def training_loss_and_sums(
        self, params: PyTree, batch: Batch, dropout_rng: Array
    ) -> tuple[Array, Sums]:
        """`loss_and_sums` of a training batch, in `num_microbatches` parts.

        Only the loss is to be differentiated.
        """
        if self.num_microbatches == 1:
            return self.loss_and_sums(params, batch, dropout_rng)
        normalizer = self.loss_normalizer(batch)
        loss_and_sums = functools.partial(self.loss_and_sums, normalizer=normalizer)
        parts = split(batch, self.num_microbatches)
        rngs = jax.random.split(dropout_rng, self.num_microbatches)
        return accumulated(loss_and_sums, parts, rngs)(params)


def _flat(scores: Array, batch: Batch) -> Scored:
    """The scores of a batch by list: padded lists as they are, packed ones with their segments."""
    label, where, segments = batch["label"], batch["mask"], batch.get("list_ids")
    if segments is None:
        return Scored(scores, label, where)
    flat = (scores.shape[0], -1)
    return Scored(
        scores.reshape(flat), label.reshape(flat), where.reshape(flat), segments.reshape(flat)
    )


def _over_lists(function: Any, scored: Scored, **optional: Any) -> Array:
    """`[sum, count]` of a loss or metric over lists.

    Raises:
      TypeError: the batch is packed, and the function knows no segments.
    """
    if scored.segments is not None:
        optional["segments"] = scored.segments
        parameters = inspect.signature(function).parameters
        if "segments" not in parameters and not any(
            parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
        ):
            raise TypeError(
                f"Function '{getattr(function, '__name__', function)}' takes no 'segments'; "
                "expected it, as in t5rank.losses, for packed rows. The layout of "
                "t5rank/configs/layouts/padded.gin does without."
            )
    return function(
        scored.scores,
        scored.label,
        where=scored.where,
        reduce_fn=ops.sum_and_count,
        **optional,
    )
