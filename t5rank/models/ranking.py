"""The ranking model: the interface that T5X and our trainer drive, by duck typing.

It is not a subclass of `t5x.models.BaseModel`, and T5X is not imported: what T5X asks of a model is
the set of names below. A batch is of one of two layouts:

* padded: `encoder_input_tokens` `[lists, list_size, length]`, `label` and `mask`
  `[lists, list_size]`;
* packed, several documents a row (see `t5rank.train.layouts`): `encoder_input_tokens` and
  `encoder_segment_ids` `[groups, rows, length]`, `label`, `mask` and `list_ids`
  `[groups, rows, slots]`. A list is all in one group.
"""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Int

from t5rank import losses, metrics, ops
from t5rank.checks import check_integer, check_number
from t5rank.losses.combinations import takes
from t5rank.models import heads, network
from t5rank.models.parts import accumulated, recomputed_in_parts, split
from t5rank.types import Array, LossFn, MetricFn, PyTree

DEFAULT_METRIC_FNS: Mapping[str, MetricFn] = {
    "ndcg@10": functools.partial(metrics.ndcg_metric, topn=10),
    "mrr@10": functools.partial(metrics.mrr_metric, topn=10),
}
Batch = Mapping[str, Array]
Sums = dict[str, Array]
_LOSS_STREAM = 1  # of the random numbers of a step


class RankingModel:
    """A network, a score head, a ranking loss and metrics.

    Attributes:
      module: `network.Transformer`, `network.EncoderScorer`, or T5X's own `network.Transformer`.
      head: how the score is read off the network.
      input_vocabulary: for T5X.
      output_vocabulary: for T5X.
      optimizer_def: how the parameters are trained, see `t5rank.train.optimizers`.
      ranking_loss: any function with the signature of `t5rank.losses` (that of Rax). One that takes
        a `key` gets another for every training step, and always the same one otherwise.
      metric_fns: name to metric, logged while training.
      loss_normalizing_factor: the sum of the loss is divided by it. None divides by the number of
        lists (of documents or pairs, for a pointwise or pairwise loss) in the batch.
      num_microbatches: parts of a training batch that are computed one after the other, to save
        memory; the loss, its gradient and the metrics stay those of the batch (dropout apart).
      batch_size: lists of a training batch, if it is to be checked: T5X's own microbatches
        (`Trainer.num_microbatches`) hide the batch from the model.
      gradient_cache_rows: so many rows of tokens of a batch are computed at once, over all devices,
        and again for their part of the gradient (GradCache, Gao et al. 2021): a list of any length
        trains in the memory of so many rows, with the same gradient. None computes all at once.

    Raises:
      ValueError: the head does not belong to the network, or the numbers do not divide.
    """

    def __init__(
        self,
        module: nn.Module,
        head: heads.Head,
        input_vocabulary: Any = None,
        output_vocabulary: Any = None,
        optimizer_def: Any = None,
        loss_fn: LossFn = losses.softmax_loss,
        metric_fns: Mapping[str, MetricFn] = DEFAULT_METRIC_FNS,
        loss_normalizing_factor: float | None = None,
        num_microbatches: int = 1,
        batch_size: int | None = None,
        gradient_cache_rows: int | None = None,
    ):
        heads.check_head(head, module)
        check_integer("NUM_MICROBATCHES", num_microbatches)
        check_integer("BATCH_SIZE", batch_size, optional=True)
        check_integer("GRADIENT_CACHE_ROWS", gradient_cache_rows, optional=True)
        check_number("LOSS_NORMALIZING_FACTOR", loss_normalizing_factor, above=0, optional=True)
        if not callable(loss_fn):
            raise TypeError(
                f"LOSS_FN has {loss_fn!r:.80}; expected a loss, LOSS_FN = @losses.softmax_loss."
            )
        if (batch_size or 0) % num_microbatches:
            raise ValueError(
                f"NUM_MICROBATCHES has {num_microbatches} for {batch_size} lists; expected a "
                "divisor of BATCH_SIZE."
            )
        self.module = module
        self.head = head
        self.input_vocabulary = input_vocabulary
        self.output_vocabulary = output_vocabulary
        self.optimizer_def = optimizer_def
        self.ranking_loss = loss_fn
        self.metric_fns = dict(metric_fns)
        self.loss_normalizing_factor = loss_normalizing_factor
        self.num_microbatches = num_microbatches
        self.batch_size = batch_size
        self.gradient_cache_rows = gradient_cache_rows

    def __repr__(self) -> str:
        config = getattr(self.module, "config", None)
        layers = f"{getattr(config, 'num_encoder_layers', '?')}"
        if not isinstance(self.module, network.EncoderScorer):
            layers += f" + {getattr(config, 'num_decoder_layers', '?')}"
        return (
            f"{type(self).__name__}({type(self.module).__name__}, {layers} layers, "
            f"width {getattr(config, 'emb_dim', '?')}, {self.head!r})"
        )

    @property
    def FEATURE_CONVERTER_CLS(self) -> Any:  # noqa: N802, the name is T5X's
        """The seqio converter; imported when asked for, as scoring needs no TensorFlow."""
        from t5rank.tasks.feature_converters import RankingFeatureConverter

        return RankingFeatureConverter

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
        """Float32 scores `[...]` of `tokens` `[..., length]`; dropout only with an rng."""
        return self._slot_scores(params, tokens, None, 1, dropout_rng)[..., 0]

    def batch_scores(
        self, params: PyTree, batch: Batch, dropout_rng: Array | None = None
    ) -> Float[Array, "groups list"]:
        """Float32 scores of a batch, in the shape of its labels; dropout only with an rng."""
        tokens, segment_ids = batch["encoder_input_tokens"], batch.get("encoder_segment_ids")
        if segment_ids is None:
            return self.score(params, tokens, dropout_rng)
        slots = batch["label"].shape[-1]
        return self._slot_scores(params, tokens, segment_ids, slots, dropout_rng)

    def _slot_scores(
        self,
        params: PyTree,
        tokens: Array,
        segment_ids: Array | None,
        slots: int,
        dropout_rng: Array | None,
    ) -> Array:
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
        scores_of = run if size is None else recomputed_in_parts(run, size)
        return scores_of(flat, dropout_rng).reshape(*tokens.shape[:-1], slots)

    def loss_normalizer(self, batch: Batch) -> Array | float:
        """What the sum of the loss over `batch` is divided by: lists, documents or pairs."""
        scores = jnp.zeros(batch["label"].shape)
        return self._normalizer(self._loss_sum_and_count(scores, batch, None)[1])

    def _normalizer(self, count: Array) -> Array | float:
        factor = self.loss_normalizing_factor
        return jnp.maximum(count, 1.0) if factor is None else factor

    def _loss_sum_and_count(self, scores: Array, batch: Batch, rng: Array | None) -> Array:
        optional = {}
        if takes(self.ranking_loss, "key"):
            rng = jax.random.key(0) if rng is None else rng
            optional["key"] = jax.random.fold_in(rng, _LOSS_STREAM)
        return _over_lists(self.ranking_loss, scores, batch, **optional)

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
        scores = self.batch_scores(params, batch, dropout_rng)
        loss_sums = self._loss_sum_and_count(scores, batch, dropout_rng)
        if normalizer is None:
            normalizer = self._normalizer(loss_sums[1])
        loss, sums = loss_sums[0] / normalizer, {"loss": loss_sums}
        for name, metric_fn in self.metric_fns.items():
            sums[name] = _over_lists(metric_fn, scores, batch)
        return loss, sums

    def training_loss_and_sums(
        self, params: PyTree, batch: Batch, dropout_rng: Array
    ) -> tuple[Array, Sums]:
        """`loss_and_sums` of a training batch, in `num_microbatches` parts.

        Only the loss is to be differentiated.

        Raises:
          ValueError: the batch is not the whole one.
        """
        lists = batch["label"].shape[0]
        # Packed by our trainer, the lists of a group are not counted.
        whole = "list_ids" in batch or lists == (self.batch_size or lists)
        if not whole and self.loss_normalizing_factor is None:
            raise ValueError(
                f"Batch has {lists} lists; expected BATCH_SIZE {self.batch_size}. T5X's "
                "Trainer.num_microbatches hides the batch that the loss is a mean over: set "
                "NUM_MICROBATCHES, or LOSS_NORMALIZING_FACTOR to a constant."
            )
        if self.num_microbatches == 1:
            return self.loss_and_sums(params, batch, dropout_rng)
        normalizer = self.loss_normalizer(batch)
        loss_fn = functools.partial(self.loss_and_sums, normalizer=normalizer)
        parts = split(batch, self.num_microbatches)
        rngs = jax.random.split(dropout_rng, self.num_microbatches)
        return accumulated(loss_fn, parts, rngs)(params)

    def loss_fn(
        self,
        params: PyTree,
        batch: Batch,
        dropout_rng: Array,
        flax_mutables: PyTree | None = None,
    ) -> tuple[Array, dict[str, Any]]:
        """T5X's training step: the loss, and metrics of `clu` that merge across batches."""
        del flax_mutables
        loss, sums = self.training_loss_and_sums(params, batch, dropout_rng)
        return loss, _averages(sums)

    def eval_fn(self, params: PyTree, batch: Batch) -> tuple[Array, dict[str, Any]]:
        """T5X's evaluation step: the loss without dropout, and metrics."""
        loss, sums = self.loss_and_sums(params, batch, None)
        return loss, _averages(sums)

    def score_batch(
        self, params: PyTree, batch: Batch, return_intermediates: bool = False
    ) -> Array | tuple[Array, PyTree]:
        """Scores `[lists, list_size]`."""
        scores = self.batch_scores(params, batch)
        return (scores, {}) if return_intermediates else scores

    def predict_batch(self, params: PyTree, batch: Batch, rng: Array | None = None) -> Array:
        """Scores `[lists, list_size]`; there is nothing to decode."""
        del rng
        return self.batch_scores(params, batch)

    def predict_batch_with_aux(
        self, params: PyTree, batch: Batch, rng: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Scores `[lists, list_size]`, also as the auxiliary `scores`."""
        scores = self.predict_batch(params, batch, rng)
        return scores, {"scores": scores}


def _averages(sums: Sums) -> dict[str, Any]:
    from clu import metrics as clu_metrics

    return {
        name: clu_metrics.Average(total=total, count=count) for name, (total, count) in sums.items()
    }


def _over_lists(function: Any, scores: Array, batch: Batch, **optional: Any) -> Array:
    """`[sum, count]` of a loss or metric over the lists of a batch.

    Raises:
      TypeError: the batch is packed, and the function knows no segments.
    """
    label, where, segments = batch["label"], batch["mask"], batch.get("list_ids")
    if segments is not None:
        flat = (scores.shape[0], -1)
        scores, label, where, segments = (
            array.reshape(flat) for array in (scores, label, where, segments)
        )
        optional["segments"] = segments
        parameters = inspect.signature(function).parameters
        if "segments" not in parameters and not any(
            parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
        ):
            raise TypeError(
                f"Function '{getattr(function, '__name__', function)}' takes no 'segments'; "
                "expected it, as in t5rank.losses, for packed rows. The layout of "
                "t5rank/configs/layouts/padded.gin does without."
            )
    return function(scores, label, where=where, reduce_fn=ops.sum_and_count, **optional)
