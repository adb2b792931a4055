"""The ranking model as T5X drives it: by the names of `t5x.models.BaseModel`.

Nothing of T5X is imported.
"""

from collections.abc import Mapping
from typing import Any

import flax
from clu import metrics as clu_metrics
from flax import linen as nn

from t5rank.checks import check_choice, check_integer
from t5rank.models.ranking import Batch, RankingModel, Sums
from t5rank.models.retrieval import RetrievalModel
from t5rank.tasks.feature_converters import RankingFeatureConverter, converter_of
from t5rank.types import Array, PyTree

PREDICTS = ("scores", "vectors")


class T5XModel:
    """T5X's interface to a `RankingModel`.

    Attributes:
      model: scores, loss and metrics.
      input_vocabulary: seqio's.
      output_vocabulary: seqio's.
      optimizer_def: how the parameters are trained, see `t5rank.train.optimizers`.
      batch_size: lists of a training batch, if it is to be checked: T5X's own microbatches
        (`Trainer.num_microbatches`) hide the batch from the model.
      predicts: what `predict_batch` gives: "scores", or of a dual encoder "vectors".

    Raises:
      ValueError: the model's microbatches do not divide the batch, or it has no vectors to predict.
    """

    def __init__(
        self,
        model: RankingModel,
        input_vocabulary: Any = None,
        output_vocabulary: Any = None,
        optimizer_def: Any = None,
        batch_size: int | None = None,
        predicts: str = "scores",
    ):
        check_integer("BATCH_SIZE", batch_size, optional=True)
        check_choice("T5XModel 'predicts'", predicts, PREDICTS)
        if predicts == "vectors" and not isinstance(model, RetrievalModel):
            raise ValueError(
                f"T5XModel 'predicts' has 'vectors' for {model!r}; expected a dual encoder, as in "
                "t5rank/configs/models/dual_encoder.gin."
            )
        if (batch_size or 0) % model.num_microbatches:
            raise ValueError(
                f"NUM_MICROBATCHES has {model.num_microbatches} for {batch_size} lists; expected a "
                "divisor of BATCH_SIZE."
            )
        self.model = model
        self.input_vocabulary = input_vocabulary
        self.output_vocabulary = output_vocabulary
        self.optimizer_def = optimizer_def
        self.batch_size = batch_size
        self.predicts = predicts

    @property
    def FEATURE_CONVERTER_CLS(self) -> type[RankingFeatureConverter]:  # noqa: N802 (T5X's name)
        """The feature converter of the model's batches."""
        return converter_of(self.model.kind.prompt)

    @property
    def module(self) -> nn.Module:
        """The model's network."""
        return self.model.module

    def get_initial_variables(
        self,
        rng: Array,
        input_shapes: Mapping[str, tuple[int, ...]],
        input_types: Mapping[str, Any] | None = None,
    ) -> flax.core.FrozenDict:
        """Fresh `params` and their logical axes; see `RankingModel.get_initial_variables`."""
        return self.model.get_initial_variables(rng, input_shapes, input_types)

    def loss_fn(
        self,
        params: PyTree,
        batch: Batch,
        dropout_rng: Array,
        flax_mutables: PyTree | None = None,
    ) -> tuple[Array, dict[str, Any]]:
        """The training step: the loss, and metrics of `clu` that merge across batches.

        Raises:
          ValueError: the batch is not the whole one.
        """
        del flax_mutables
        self._check_whole(batch)
        loss, sums = self.model.training_loss_and_sums(params, batch, dropout_rng)
        return loss, _averages(sums)

    def _check_whole(self, batch: Batch) -> None:
        lists = batch["label"].shape[0]
        # The lists of a packed group are not counted.
        whole = "list_ids" in batch or lists == (self.batch_size or lists)
        if not whole and self.model.loss_normalizing_factor is None:
            raise ValueError(
                f"Batch has {lists} lists; expected BATCH_SIZE {self.batch_size}. T5X's "
                "Trainer.num_microbatches hides the batch that the loss is a mean over: set "
                "NUM_MICROBATCHES, or LOSS_NORMALIZING_FACTOR to a constant."
            )

    def eval_fn(self, params: PyTree, batch: Batch) -> tuple[Array, dict[str, Any]]:
        """The evaluation step: the loss without dropout, and metrics."""
        loss, sums = self.model.loss_and_sums(params, batch, None)
        return loss, _averages(sums)

    def score_batch(
        self, params: PyTree, batch: Batch, return_intermediates: bool = False
    ) -> Array | tuple[Array, PyTree]:
        """Scores `[lists, list_size]`."""
        scores = self.model.batch_scores(params, batch)
        return (scores, {}) if return_intermediates else scores

    def predict_batch(self, params: PyTree, batch: Batch, rng: Array | None = None) -> Array:
        """Scores `[lists, list_size]`, as there is nothing to decode.

        With `predicts` "vectors" they are those of each query and its documents,
        `[lists, 1 + list_size, dim]`.
        """
        del rng
        if self.predicts == "vectors":
            return self.model.results(params, batch)
        return self.model.batch_scores(params, batch)

    def predict_batch_with_aux(
        self, params: PyTree, batch: Batch, rng: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Scores `[lists, list_size]`, also as the auxiliary `scores`."""
        scores = self.predict_batch(params, batch, rng)
        return scores, {"scores": scores}


def _averages(sums: Sums) -> dict[str, Any]:
    return {
        name: clu_metrics.Average(total=total, count=count) for name, (total, count) in sums.items()
    }
