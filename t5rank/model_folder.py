"""A model folder: everything needed to score, beside the checkpoints.

MODEL_DIR/config.json           architecture, head, prompt, input length
MODEL_DIR/vocabulary.model      the SentencePiece vocabulary
MODEL_DIR/settings.json         what it is trained with, see t5rank.train.settings
MODEL_DIR/tokenizer_config.json the tokens that were added to it, where there are any
MODEL_DIR/run.json              how it was trained, see t5rank.train.run_record
MODEL_DIR/README.md             the model card, see t5rank.model_card
MODEL_DIR/checkpoint_N/         parameters (and the optimizer's state while training), or
MODEL_DIR/model.onnx            the scoring graph that `t5rank export` wrote
"""

import dataclasses
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

import flax
import jax
from etils import epath
from flax import linen as nn
from jax.sharding import Mesh

from t5rank import added_tokens, checkpoints, model_card, partitioning
from t5rank.checkpoints import found
from t5rank.checkpoints.opening import VOCABULARY
from t5rank.checkpoints.paths import BEST, load_best, path, write_text
from t5rank.checkpoints.paths import chosen_step as chosen_step
from t5rank.json_files import read_object, read_object_if_any
from t5rank.models import heads, network
from t5rank.models.ranking import RankingModel
from t5rank.prompts import PairEncoder, Prompt
from t5rank.types import PyTree
from t5rank.vocabulary import Vocabulary

CONFIG = "config.json"
RUN = "run.json"
CARD = "README.md"
ONNX = "model.onnx"
FORMAT = 1
_log = logging.getLogger(__name__)
_WRITTEN_ANEW = "Delete it: training in this folder writes it anew."
_WRONG = "Model configuration '{file}' has an error: {error}; expected what t5rank wrote."
_NETWORKS: dict[str, Any] = {
    "Transformer": network.Transformer,
    "EncoderScorer": network.EncoderScorer,
}
_HEADS: dict[str, Any] = {
    "RankT5Head": heads.RankT5Head,
    "MonoT5Head": heads.MonoT5Head,
    "EncoderHead": heads.EncoderHead,
}


def save_config(
    directory: str | os.PathLike[str], model: RankingModel, encoder: PairEncoder
) -> None:
    """Writes `config.json` and the vocabulary.

    Raises:
      ValueError: the network is not one of ours, so that it cannot be written down, or the folder
        has checkpoints of another model.
    """
    folder = path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    config = written_form(model, encoder)
    vocabulary = encoder.vocabulary
    _check_same_model(folder, config, vocabulary)
    if path(vocabulary.file) != folder / VOCABULARY:
        (folder / VOCABULARY).write_bytes(vocabulary.model.SerializeToString())
        tokenizer = folder / added_tokens.CONFIG
        if vocabulary.added_tokens or tokenizer.is_file():
            _write_json(tokenizer, added_tokens.written_form(vocabulary.added_tokens))
    _write_json(folder / CONFIG, config)


def written_form(model: RankingModel, encoder: PairEncoder) -> dict[str, Any]:
    """What `config.json` holds.

    Raises:
      ValueError: the network is not one of ours.
    """
    name = type(model.module).__name__
    if not isinstance(model.module, tuple(_NETWORKS.values())):
        raise ValueError(f"Network '{name}' has no written form; expected one of {[*_NETWORKS]}.")
    config = {
        "format": FORMAT,
        "network": name,
        "architecture": model.module.config.architecture(),
        "head": type(model.head).__name__,
        "head_settings": dataclasses.asdict(model.head),
        "prompt": encoder.prompt.template,
        "max_length": encoder.max_length,
        "extra_ids": encoder.vocabulary.extra_ids,
    }
    if isinstance(model.module, network.EncoderScorer):
        config["pooling"] = model.module.pooling
    return config


def _check_same_model(folder: epath.Path, config: dict[str, Any], vocabulary: Vocabulary) -> None:
    if not checkpoints.steps(folder) or not (folder / CONFIG).is_file():
        return
    has = read_object(folder / CONFIG, advice=_WRITTEN_ANEW)
    new = json.loads(json.dumps(config))
    # How it is computed may change from one run to the next.
    for settings in (has.get("architecture", {}), new["architecture"]):
        settings.update(dropout_rate=None, dtype=None)
        settings.setdefault("relpos_bias_per_layer", False)  # folders of earlier versions
    differing = [key for key in new if has.get(key) != new[key]]
    if vocabulary != Vocabulary(folder / VOCABULARY, extra_ids=has.get("extra_ids")):
        differing.append("vocabulary")
    if differing:
        raise ValueError(
            f"Model folder '{folder}' has checkpoints of a model with other "
            f"{', '.join(differing)}; expected the same. "
            "Choose another MODEL_DIR, or set the recipe back."
        )


def load_config(directory: str | os.PathLike[str]) -> tuple[RankingModel, PairEncoder]:
    """The model (without parameters) and the tokenization of a model folder.

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


def from_written_form(
    config: Mapping[str, Any],
    vocabulary: str | os.PathLike[str],
    file: str | os.PathLike[str],
) -> tuple[RankingModel, PairEncoder]:
    """The model and the tokenization that `written_form` describes.

    Args:
      config: what it gave.
      vocabulary: the SentencePiece file.
      file: where the configuration was read, for errors.

    Raises:
      ValueError: the configuration has another format, or is damaged.
    """
    try:
        if config["format"] != FORMAT:
            raise ValueError(
                f"Model folder '{path(file).parent}' has format {config['format']}; "
                f"expected {FORMAT}."
            )
        model = RankingModel(_network(config), _HEADS[config["head"]](**config["head_settings"]))
        pieces = Vocabulary(vocabulary, extra_ids=config["extra_ids"])
        pieces.check_rows(model.module.config.vocab_size)
        return model, PairEncoder(pieces, Prompt(config["prompt"]), config["max_length"])
    except (KeyError, TypeError) as error:
        raise ValueError(_WRONG.format(file=file, error=repr(error))) from error


def is_model_folder(directory: str | os.PathLike[str]) -> bool:
    """Whether a folder has a `config.json` that t5rank wrote.

    Raises:
      ValueError: that file is damaged.
    """
    return "network" in read_object_if_any(path(directory) / CONFIG)


def _network(config: Mapping[str, Any]) -> nn.Module:
    settings = {"pooling": config["pooling"]} if "pooling" in config else {}
    return _NETWORKS[config["network"]](network.T5Config(**config["architecture"]), **settings)


def save_best(directory: str | os.PathLike[str], best: dict[str, Any]) -> None:
    """Writes down which checkpoint is the best one: `step`, `metric` and `value`."""
    _write_json(path(directory) / BEST, best)


def save_run(directory: str | os.PathLike[str], run: Mapping[str, Any]) -> None:
    """Writes `run.json`."""
    _write_json(path(directory) / RUN, run)


def load_run(directory: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `run.json` holds; None where no run of `t5rank train` has ended.

    Raises:
      ValueError: the file is damaged.
    """
    file = path(directory) / RUN
    return read_object(file, advice=_WRITTEN_ANEW) if file.is_file() else None


def save_card(directory: str | os.PathLike[str], card: str) -> None:
    """Writes README.md, unless there is one that somebody has made their own."""
    file = path(directory) / CARD
    if file.is_file() and model_card.WRITTEN not in file.read_text():
        _log.info("Model card '%s' was not written by t5rank: it stays as it is.", file)
        return
    write_text(file, card)


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


def load_params(
    directory: str | os.PathLike[str], model: RankingModel, step: int, mesh: Mesh | None = None
) -> PyTree:
    """The parameters of one checkpoint, spread over the mesh, or on the default device."""
    return restore_params(directory, parameter_shapes(model, mesh), step)


def restore_params(directory: str | os.PathLike[str], like: PyTree, step: int) -> PyTree:
    """The parameters of one checkpoint, in the places that `parameter_shapes` says."""
    return checkpoints.restore_params(path(directory) / f"checkpoint_{step}", like)


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
    small = RankingModel(module, model.head)
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


def _write_json(file: epath.Path, value: Any) -> None:
    write_text(file, json.dumps(value, indent=2) + "\n")
