"""Loads the model of a model folder, its programs at the same time as its parameters."""

import dataclasses
from typing import Any

import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from t5rank import model_folder
from t5rank.inference.batching import BatchShapes
from t5rank.inference.onnx_session import OnnxScorer
from t5rank.inference.packing import Shapes
from t5rank.inference.scoring import ModelScorer
from t5rank.model_folder import ModelFolder
from t5rank.models import partitioning
from t5rank.models.ranking import RankingModel, model_of

ONNX_TOKENS = 512  # of a batch: about four of MS MARCO's, of nearly equal length


class ExportedScorer:
    """`scorer(tokens)`: the results of a model that was exported, by ONNX Runtime.

    Args:
      opened: the folder.
      batch_tokens: tokens computed at once, padding included.

    Attributes:
      model: what is computed, without its parameters.
      shapes: the batches.

    Raises:
      MissingExtra: ONNX Runtime is not installed.
    """

    def __init__(self, opened: ModelFolder, batch_tokens: int | None = None):
        self.model = opened.model
        self.shapes: Shapes = BatchShapes(batch_tokens or ONNX_TOKENS, closed=False)
        self._compute = OnnxScorer(opened.weights)

    def __call__(self, tokens: np.ndarray) -> Any:
        """Results `[batch, ...]` of int32 tokens `[batch, length]`."""
        return self._compute(tokens)


def load_scorer(
    opened: ModelFolder,
    batch_tokens: int | None = None,
    mesh: Mesh | None = None,
    like: ModelScorer | None = None,
    progress: tqdm | None = None,
) -> ModelScorer:
    """The model of an open folder with its parameters, ready to compute.

    On a CPU activations are float32 whatever they were in training.

    Args:
      opened: the folder.
      batch_tokens: tokens computed at once, padding included; what suits the device by default.
      mesh: devices to run on; the first by default.
      like: a scorer on the same devices, whose compiled programs serve this one too where only the
        parameters differ.
      progress: where given, every shape is compiled while the parameters are read, and it is told
        of each.

    Raises:
      ValueError: the checkpoint is missing or wrong.
    """
    places = model_folder.parameter_shapes(opened.model, mesh)
    model = _for_devices(opened.model, mesh)
    if like is None or (like.model.module, like.model.head) != (model.module, model.head):
        like = ModelScorer(model, places, batch_tokens, mesh)
    every = [] if progress is None else like.shapes.all(opened.encoder.max_length)
    with like.preparing(every, progress):
        params = opened.restored(places)
    return like.with_params(params)


def _for_devices(model: RankingModel, mesh: Mesh | None) -> RankingModel:
    """The model with float32 activations on a CPU, where bfloat16 is slower, not faster."""
    config = model.module.config  # type: ignore[attr-defined]
    if partitioning.platform(mesh) != "cpu" or config.dtype == "float32":
        return model
    config = dataclasses.replace(config, dtype="float32")
    return model_of(model.module.clone(config=config), model.head)
