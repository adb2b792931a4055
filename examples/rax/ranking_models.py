"""The models of Rax's T5X example, by the names in its gin file.

What differs: metrics are means over lists, scoring works, and validation lists are whole. The
file's `LEARNING_RATE` still binds nothing, as nothing in it or in T5X's own files reads that macro;
the runs of t5rank (`gin/runs/t5x_finetune.gin`) do.
"""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn

from t5rank import losses
from t5rank.metrics.defaults import DEFAULT_METRIC_FNS
from t5rank.models.ranking import RankingModel
from t5rank.models.rankt5 import RankT5Head
from t5rank.t5x.model import T5XModel
from t5rank.tasks.feature_converters import RankingFeatureConverter
from t5rank.types import LossFn, MetricFn

TARGET = "<extra_id_10>"


class RankingEncDecFeatureConverter(RankingFeatureConverter):
    """The feature converter under its name in the example."""


class RankingEncDecModel(T5XModel):
    """`T5XModel` with the arguments of the example, and RankT5's head.

    Args:
      module: the network.
      input_vocabulary: seqio's.
      output_vocabulary: seqio's, whose `<extra_id_10>` is the score's token.
      optimizer_def: see `t5rank.train.optimizers`.
      rax_loss_fn: a loss of t5rank or of Rax.
      rax_metric_fns: name to metric.
      loss_normalizing_factor: see `RankingModel`.

    Raises:
      ValueError: the vocabulary has no such token.
    """

    def __init__(
        self,
        module: nn.Module,
        input_vocabulary: Any,
        output_vocabulary: Any,
        optimizer_def: Any,
        rax_loss_fn: LossFn = losses.softmax_loss,
        rax_metric_fns: Mapping[str, MetricFn] = DEFAULT_METRIC_FNS,
        loss_normalizing_factor: float | None = None,
    ):
        pieces = output_vocabulary.tokenizer
        token = pieces.piece_to_id(f"\u2581{TARGET}")
        if token == pieces.unk_id():
            raise ValueError(
                f"Vocabulary has no token '{TARGET}'; expected it, one of 100 extra ids."
            )
        model = RankingModel(
            module, RankT5Head(token), rax_loss_fn, rax_metric_fns, loss_normalizing_factor
        )
        super().__init__(model, input_vocabulary, output_vocabulary, optimizer_def)
