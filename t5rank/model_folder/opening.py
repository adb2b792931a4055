"""Opens a model folder: what it is, and which of its states is meant, is found out once."""

import dataclasses
import os

import flax
import jax
from etils import epath
from jax.sharding import Mesh

from t5rank import checkpoints
from t5rank.checkpoints import found
from t5rank.checkpoints.opening import VOCABULARY
from t5rank.checkpoints.paths import chosen_step, load_best, path, step_of
from t5rank.formats.json_files import read_object_if_any
from t5rank.model_folder.configuration import CONFIG, from_written_form
from t5rank.models import partitioning
from t5rank.models.ranking import RankingModel, model_of
from t5rank.text.encoders import Encoder
from t5rank.types import PyTree

ONNX = "model.onnx"
WRITTEN_ANEW = "Delete it: training in this folder writes it anew."


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """An open model folder.

    Attributes:
      path: the folder.
      model: network and head, without parameters.
      encoder: the tokenization.
      weights: what holds the parameters: a `checkpoint_N`, or else `model.onnx`.
    """

    path: epath.Path
    model: RankingModel
    encoder: Encoder
    weights: epath.Path

    @property
    def is_exported(self) -> bool:
        """Whether it holds a graph for ONNX Runtime in place of checkpoints."""
        return self.weights.name == ONNX

    @property
    def step(self) -> int | None:
        """The checkpoint's step; None of an exported model."""
        return step_of(self.weights)

    def checkpoint(self) -> epath.Path:
        """The checkpoint's folder.

        Raises:
          ValueError: the model was exported.
        """
        if self.is_exported:
            raise ValueError(
                f"Model folder '{self.path}' has {ONNX}; expected a checkpoint. Take the folder "
                "that it was exported from."
            )
        return self.weights

    def params(self, mesh: Mesh | None = None) -> PyTree:
        """The parameters, spread over the mesh, or on the default device.

        Raises:
          ValueError: the model was exported, or the checkpoint does not fit it.
        """
        return self.restored(parameter_shapes(self.model, mesh))

    def restored(self, like: PyTree) -> PyTree:
        """The parameters in the places that `parameter_shapes` gave; see `params`."""
        return checkpoints.restore_params(self.checkpoint(), like)


def open_folder(directory: str | os.PathLike[str], step: int | None = None) -> ModelFolder:
    """Opens a model folder for scoring, exporting or converting.

    Args:
      directory: the folder, local or remote.
      step: which checkpoint; by default the best one, or else the latest.

    Raises:
      ValueError: the folder is no model folder, is damaged, or has no such checkpoint.
    """
    model, encoder = load_config(directory)
    return ModelFolder(path(directory), model, encoder, weights_path(directory, step))


def load_config(directory: str | os.PathLike[str]) -> tuple[RankingModel, Encoder]:
    """The model (without parameters) and the tokenization of a model folder.

    The folder need not have parameters. Where they are needed too, use `open_folder`.

    Raises:
      ValueError: the folder is no model folder, or one of another format.
    """
    folder = path(directory)
    config = read_object_if_any(folder / CONFIG)
    if not {"network", "format"} & {*config}:
        raise ValueError(
            f"Model folder '{directory}' {found.describe(folder)}; expected a folder written by "
            f"t5rank (the MODEL_DIR of `t5rank train`).{found.next_step(folder)}"
        )
    return from_written_form(config, folder / VOCABULARY, folder / CONFIG)


def is_model_folder(directory: str | os.PathLike[str]) -> bool:
    """Whether a folder has a `config.json` that t5rank wrote.

    Raises:
      ValueError: that file is damaged.
    """
    return "network" in read_object_if_any(path(directory) / CONFIG)


def best_step(directory: str | os.PathLike[str]) -> int | None:
    """The best checkpoint's step, or None."""
    best = load_best(directory)
    return None if best is None else best["step"]


def weights_path(directory: str | os.PathLike[str], step: int | None = None) -> epath.Path:
    """What holds a folder's parameters: a `checkpoint_N`, or else `model.onnx`.

    Raises:
      ValueError: there is neither, or not of this step.
    """
    folder = path(directory)
    if not (folder / ONNX).is_file():
        return folder / f"checkpoint_{chosen_step(folder, step)}"
    if step is not None:
        raise ValueError(
            f"Exported model '{directory}' has one state; expected no step, not {step}. "
            "Which checkpoint it is was chosen when it was exported."
        )
    return folder / ONNX


def parameter_shapes(model: RankingModel, mesh: Mesh | None = None) -> PyTree:
    """Shapes, types and places of a model's parameters, on the mesh or on the default device."""
    mesh = partitioning.one_device() if mesh is None else mesh
    params, axes = _shapes_and_axes(model)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        params,
        partitioning.shardings(params, axes, mesh),
    )


def _shapes_and_axes(model: RankingModel) -> tuple[PyTree, PyTree]:
    """Of the parameters. The layers of a stack are alike: one is traced, and stands for all."""
    config = model.module.config  # type: ignore[attr-defined]
    layers = {"encoder": config.num_encoder_layers, "decoder": config.num_decoder_layers}
    one = {f"num_{stack}_layers": min(1, count) for stack, count in layers.items()}
    module = model.module.clone(config=dataclasses.replace(config, **one))
    small = model_of(module, model.head)
    variables = jax.eval_shape(
        lambda: small.get_initial_variables(jax.random.key(0), {"encoder_input_tokens": (1, 1, 8)})
    )
    params = flax.core.unfreeze(variables["params"])
    axes = partitioning.axis_names(variables["params_axes"])
    for tree in (params, axes):
        for stack, count in layers.items():
            if "layers_0" in tree.get(stack, {}):
                layer = tree[stack]["layers_0"]
                tree[stack] |= {f"layers_{i}": layer for i in range(count)}
    return params, axes
