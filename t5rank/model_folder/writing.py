"""Writes the files of a model folder that lie beside its checkpoints."""

import json
import logging
import os
from typing import Any

from etils import epath

from t5rank import checkpoints
from t5rank.checkpoints.opening import VOCABULARY
from t5rank.checkpoints.paths import BEST, path
from t5rank.formats.json_files import read_object, write_json
from t5rank.formats.text_files import write_text
from t5rank.model_folder import model_card
from t5rank.model_folder.configuration import CONFIG, written_form
from t5rank.model_folder.opening import WRITTEN_ANEW
from t5rank.models.ranking import RankingModel
from t5rank.text import added_tokens
from t5rank.text.prompts import PairEncoder
from t5rank.text.vocabulary import Vocabulary

CARD = "README.md"
_log = logging.getLogger(__name__)


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
            write_json(tokenizer, added_tokens.written_form(vocabulary.added_tokens))
    write_json(folder / CONFIG, config)


def _check_same_model(folder: epath.Path, config: dict[str, Any], vocabulary: Vocabulary) -> None:
    if not checkpoints.steps(folder) or not (folder / CONFIG).is_file():
        return
    has = read_object(folder / CONFIG, advice=WRITTEN_ANEW)
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


def save_best(directory: str | os.PathLike[str], best: dict[str, Any]) -> None:
    """Writes down which checkpoint is the best one: `step`, `metric` and `value`."""
    write_json(path(directory) / BEST, best)


def save_card(directory: str | os.PathLike[str], card: str) -> None:
    """Writes README.md, unless there is one that somebody has made their own."""
    file = path(directory) / CARD
    if file.is_file() and model_card.WRITTEN not in file.read_text():
        _log.info("Model card '%s' was not written by t5rank: it stays as it is.", file)
        return
    write_text(file, card)
