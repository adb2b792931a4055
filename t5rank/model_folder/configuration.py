"""`config.json`: a model and its tokenization without the parameters, out and in."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from t5rank.checkpoints.paths import path
from t5rank.models import kinds
from t5rank.models.config import T5Config
from t5rank.models.ranking import RankingModel
from t5rank.text.prompts import PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary

CONFIG = "config.json"
FORMAT = 1
_WRONG = "Model configuration '{file}' has an error: {error}; expected what t5rank wrote."


def written_form(model: RankingModel, encoder: PairEncoder) -> dict[str, Any]:
    """What `config.json` holds.

    Raises:
      ValueError: the network is not that of the model's kind, or has fields with names of the file.
    """
    name, kind = type(model.module).__name__, model.kind
    if type(model.module) is not kind.network:
        raise ValueError(f"Network '{name}' has no written form; expected {kind.network.__name__}.")
    settings = {setting: getattr(model.module, setting) for setting in kind.network_settings}
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
    taken = sorted(settings.keys() & config.keys())
    if taken:
        raise ValueError(
            f"Network '{name}' has the fields {taken}; expected other names. {CONFIG} has these."
        )
    return config | settings


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
        kind = kinds.of_head_named(config["head"])
        settings = {name: config[name] for name in kind.network_settings if name in config}
        if config["network"] != kind.network.__name__:
            raise ValueError(
                f"Model folder '{path(file).parent}' has the network '{config['network']}'; "
                f"expected '{kind.network.__name__}' with the head '{config['head']}'."
            )
        module = kind.network(T5Config(**config["architecture"]), **settings)
        model = RankingModel(module, kind.head(**config["head_settings"]))
        pieces = Vocabulary(vocabulary, extra_ids=config["extra_ids"])
        pieces.check_rows(model.module.config.vocab_size)
        return model, PairEncoder(pieces, Prompt(config["prompt"]), config["max_length"])
    except (KeyError, TypeError) as error:
        raise ValueError(_WRONG.format(file=file, error=repr(error))) from error
