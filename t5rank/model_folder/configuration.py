"""`config.json`: a model and its tokenization without the parameters, out and in."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from t5rank.checkpoints.paths import path
from t5rank.models import kinds
from t5rank.models.config import T5Config
from t5rank.models.heads import Head
from t5rank.models.ranking import RankingModel, model_of
from t5rank.text import encoders
from t5rank.text.encoders import Encoder
from t5rank.text.vocabulary import Vocabulary

CONFIG = "config.json"
FORMAT = 1
_WRONG = "Model configuration '{file}' has an error: {error}; expected what t5rank wrote."


def written_form(model: RankingModel, encoder: Encoder) -> dict[str, Any]:
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
        **encoders.written_form(encoder),
        "extra_ids": encoder.vocabulary.extra_ids,
    }
    taken = sorted(settings.keys() & config.keys())
    if taken:
        raise ValueError(
            f"Network '{name}' has the fields {taken}; expected other names. {CONFIG} has these."
        )
    return config | settings


def head_from_written_form(config: Mapping[str, Any], file: str | os.PathLike[str]) -> Head:
    """The head that `written_form`, or the part of it about the head, describes.

    Raises:
      ValueError: see `from_written_form`.
    """
    try:
        if config.get("format", FORMAT) != FORMAT:
            raise ValueError(
                f"Model folder '{path(file).parent}' has format {config['format']}; "
                f"expected {FORMAT}."
            )
        return kinds.of_head_named(config["head"]).head(**config["head_settings"])
    except (KeyError, TypeError) as error:
        raise ValueError(_WRONG.format(file=file, error=repr(error))) from error


def from_written_form(
    config: Mapping[str, Any],
    vocabulary: str | os.PathLike[str],
    file: str | os.PathLike[str],
) -> tuple[RankingModel, Encoder]:
    """The model and the tokenization that `written_form` describes.

    Args:
      config: what it gave.
      vocabulary: the SentencePiece file.
      file: where the configuration was read, for errors.

    Raises:
      ValueError: the configuration has another format, or is damaged.
    """
    try:
        head = head_from_written_form(config, file)
        kind = kinds.of(head)
        settings = {name: config[name] for name in kind.network_settings if name in config}
        if config["network"] != kind.network.__name__:
            raise ValueError(
                f"Model folder '{path(file).parent}' has the network '{config['network']}'; "
                f"expected '{kind.network.__name__}' with the head '{config['head']}'."
            )
        module = kind.network(T5Config(**config["architecture"]), **settings)
        model = model_of(module, head)
        pieces = Vocabulary(vocabulary, extra_ids=config["extra_ids"])
        pieces.check_rows(model.module.config.vocab_size)
        return model, encoders.from_written_form(config, pieces)
    except (KeyError, TypeError) as error:
        raise ValueError(_WRONG.format(file=file, error=repr(error))) from error
