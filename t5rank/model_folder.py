"""A model folder: everything needed to score, beside the checkpoints.

MODEL_DIR/config.json           architecture, head, prompt, input length
MODEL_DIR/vocabulary.model      the SentencePiece vocabulary
MODEL_DIR/checkpoint_N/         parameters (and the optimizer's state while training)
"""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
from flax import linen as nn

from t5rank import checkpoints
from t5rank.models import heads, network
from t5rank.models.ranking import RankingModel
from t5rank.prompts import PairEncoder, Prompt
from t5rank.types import PyTree
from t5rank.vocabulary import Vocabulary

CONFIG = "config.json"
VOCABULARY = "vocabulary.model"
BEST = "best.json"
FORMAT = 1
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
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    name = type(model.module).__name__
    if not isinstance(model.module, tuple(_NETWORKS.values())):
        raise ValueError(f"Network '{name}' has no written form; expected one of {[*_NETWORKS]}.")
    config = {
        "format": FORMAT,
        "network": name,
        "architecture": dataclasses.asdict(model.module.config),
        "head": type(model.head).__name__,
        "head_settings": dataclasses.asdict(model.head),
        "prompt": encoder.prompt.template,
        "max_length": encoder.max_length,
        "extra_ids": encoder.vocabulary.extra_ids,
    }
    if isinstance(model.module, network.EncoderScorer):
        config["pooling"] = model.module.pooling
    _check_same_model(folder, config, Path(encoder.vocabulary.file))
    if Path(encoder.vocabulary.file).absolute() != (folder / VOCABULARY).absolute():
        shutil.copyfile(encoder.vocabulary.file, folder / VOCABULARY)
    _write_json(folder / CONFIG, config)


def _check_same_model(folder: Path, config: dict[str, Any], vocabulary: Path) -> None:
    if not checkpoints.steps(folder) or not (folder / CONFIG).is_file():
        return
    has = json.loads((folder / CONFIG).read_text())
    new = json.loads(json.dumps(config))
    # Dropout and the activations' type may change from one run to the next.
    for settings in (has.get("architecture", {}), new["architecture"]):
        settings.update(dropout_rate=None, dtype=None)
    differing = [key for key in new if has.get(key) != new[key]]
    if vocabulary.read_bytes() != (folder / VOCABULARY).read_bytes():
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
    file = Path(directory) / CONFIG
    if not file.is_file():
        raise ValueError(
            f"Model folder '{directory}' has no {CONFIG}; expected a folder written by t5rank "
            "(the MODEL_DIR of `t5rank train`)."
        )
    try:
        config = json.loads(file.read_text())
        if config["format"] != FORMAT:
            raise ValueError(
                f"Model folder '{directory}' has format {config['format']}; expected {FORMAT}."
            )
        model = RankingModel(_network(config), _HEADS[config["head"]](**config["head_settings"]))
        vocabulary = Vocabulary(Path(directory) / VOCABULARY, extra_ids=config["extra_ids"])
        return model, PairEncoder(vocabulary, Prompt(config["prompt"]), config["max_length"])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"Model configuration '{file}' has an error: {error!r}; expected what t5rank wrote."
        ) from error


def _network(config: dict[str, Any]) -> nn.Module:
    settings = {"pooling": config["pooling"]} if "pooling" in config else {}
    return _NETWORKS[config["network"]](network.T5Config(**config["architecture"]), **settings)


def save_best(directory: str | os.PathLike[str], best: dict[str, Any]) -> None:
    """Writes down which checkpoint is the best one: `step`, `metric` and `value`."""
    _write_json(Path(directory) / BEST, best)


def load_best(directory: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `save_best` wrote, or None; also None where that checkpoint is gone."""
    file = Path(directory) / BEST
    best = json.loads(file.read_text()) if file.is_file() else None
    return best if best and best["step"] in checkpoints.steps(directory) else None


def best_step(directory: str | os.PathLike[str]) -> int | None:
    """The best checkpoint's step, or None."""
    best = load_best(directory)
    return None if best is None else best["step"]


def chosen_step(directory: str | os.PathLike[str], step: int | None = None) -> int:
    """The checkpoint to use: `step`, or else the best one, or else the latest.

    Raises:
      ValueError: there is no such checkpoint.
    """
    steps = checkpoints.steps(directory)
    if step is None:
        step = best_step(directory)
    if step is None and steps:
        step = steps[-1]
    if step not in steps:
        raise ValueError(
            f"Model folder '{directory}' has checkpoints {steps}; expected "
            f"{'at least one' if step is None else step}."
        )
    return step


def load_params(directory: str | os.PathLike[str], model: RankingModel, step: int) -> PyTree:
    """The parameters of one checkpoint, on the default device."""
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    variables = jax.eval_shape(
        lambda: model.get_initial_variables(jax.random.key(0), {"encoder_input_tokens": (1, 1, 8)})
    )
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
        variables["params"],
    )
    return checkpoints.restore_params(Path(directory) / f"checkpoint_{step}", like)


def _write_json(file: Path, value: Any) -> None:
    temporary = file.with_suffix(".partial")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    temporary.replace(file)
