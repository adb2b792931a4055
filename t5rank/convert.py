"""Converts a checkpoint between t5rank, T5X and Hugging Face, array by array."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from typing import Any

from etils import epath
from flax import linen as nn

from t5rank import added_tokens, model_folder
from t5rank.answer_words import MONOT5 as MONOT5_WORDS
from t5rank.answer_words import Words, known_words
from t5rank.checkpoints import (
    RestoreReport,
    Source,
    architecture,
    huggingface,
    huggingface_files,
    open_checkpoint,
    orbax_writing,
)
from t5rank.checkpoints.paths import path
from t5rank.checkpoints.restoring import match
from t5rank.checkpoints.vocabularies import check_vocabulary
from t5rank.models import heads, network
from t5rank.models.ranking import RankingModel
from t5rank.probe import warn_of_unlikely_answers
from t5rank.prompts import MONOT5, RANKT5, PairEncoder, Prompt
from t5rank.vocabulary import Vocabulary

TARGETS = ("t5rank", "t5x", "huggingface")
HEADS = ("rankt5", "monot5", "encoder")
MAX_LENGTH = 512
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a checkpoint alone does not say; None takes the source's own, or a default.

    Attributes:
      head: "rankt5", "monot5" or "encoder".
      vocabulary: a SentencePiece file.
      prompt: with `{query}` and `{document}`; by default that of the head's paper.
      max_length: tokens of the longest input; 512 by default.
      pooling: of the encoder head, "first" by default.
      tokens: of the monot5 head, its answers for a document that is not relevant and for one that
        is, as words or ids; by default those of `t5rank.answer_words`.
    """

    head: str | None = None
    vocabulary: str | os.PathLike[str] | None = None
    prompt: str | None = None
    max_length: int | None = None
    pooling: str | None = None
    tokens: Words | None = None


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    to: str,
    settings: Settings | None = None,
    step: int | None = None,
) -> RestoreReport:
    """Converts a checkpoint; memory stays near one copy of the weights, or below.

    Args:
      source: what `checkpoints.open_checkpoint` reads, or one of our model folders.
      destination: a new or empty folder. For "t5x", where `checkpoint_N` goes.
      to: "t5rank" writes a model folder, "t5x" its orbax layout, "huggingface" a folder for
        transformers: `T5ForConditionalGeneration`, or for the encoder head `T5EncoderModel`.
      settings: what the checkpoint does not say. Where it has no head and `to` is not "t5rank",
        the weights alone are converted.
      step: which checkpoint of a folder; by default the best one, or else the latest.

    Raises:
      ValueError: the source is damaged, no T5 or not what `settings` say, or something is in the
        destination.
    """
    if to not in TARGETS:
        raise ValueError(f"Argument 'to' has '{to}'; expected one of {TARGETS}.")
    settings = settings or Settings()
    target = path(destination)
    if to != "t5x" and target.exists() and any(target.iterdir()):
        raise ValueError(f"Destination '{destination}' has files; expected a new or empty folder.")
    opened = _open(source, step)
    config = opened.config or architecture.infer(opened.shapes, f"Checkpoint '{opened.path}'")
    head = settings.head or _known_head(opened, config)
    if head is None and to == "t5rank":
        raise ValueError(
            f"Checkpoint '{opened.path}' has no word about its score head; expected one of "
            f"{HEADS}. Give --head."
        )
    _check_settings(head, to, settings)
    module = _module(opened, config, head, settings)
    report = match(opened, architecture.parameter_shapes(module))
    arrays = {name: opened.arrays[was] for name, was in report.restored.items()}
    if to == "t5x":
        orbax_writing.write_orbax(target, opened.step, arrays)
        return report
    made = None if head is None else _model_and_encoder(opened, module, head, settings)
    if to == "huggingface":
        huggingface.write_weights(target, config, arrays)
        if made is not None:
            run = model_folder.load_run(path(opened.path).parent) if opened.settings else None
            _write_beside(target, *made, run)
    elif made is not None:
        model_folder.save_config(target, *made)
        orbax_writing.write_orbax(target, opened.step, arrays)
    if made is not None and _is_new_head(opened, settings):
        warn_of_unlikely_answers(*made, arrays)
    return report


def _check_settings(head: str | None, to: str, settings: Settings) -> None:
    """Refuses settings that would have no effect."""
    given = [
        field.name
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) is not None
    ]
    idle = [name for name in given if name != "head"]
    if idle and (head is None or to == "t5x"):
        why = "weights alone are written" if head is None else "T5X's layout holds weights alone"
        raise ValueError(f"Options {_options(idle)} have no effect: {why}. Leave them out.")
    for name, needed in (("pooling", "encoder"), ("tokens", "monot5")):
        if name in given and head != needed:
            raise ValueError(
                f"Option '--{name}' has no effect on the head '{head}'; expected head '{needed}'. "
                "Leave it out."
            )


def _options(names: Sequence[str]) -> str:
    return ", ".join(f"'--{name}'" for name in names)


def _is_new_head(source: Source, settings: Settings) -> bool:
    return not source.settings or settings.head is not None or settings.tokens is not None


def _open(source: str | os.PathLike[str], step: int | None) -> Source:
    folder = path(source)
    if not model_folder.is_model_folder(folder):
        opened = open_checkpoint(folder, step)
        if not model_folder.is_model_folder(folder.parent):
            return opened
        folder = folder.parent
    else:
        step = model_folder.chosen_step(folder, step)
        opened = open_checkpoint(folder / f"checkpoint_{step}")
    model, encoder = model_folder.load_config(folder)
    return dataclasses.replace(
        opened,
        config=model.module.config,
        settings=model_folder.written_form(model, encoder),
        vocabulary=encoder.vocabulary.file,
        tokenizer=os.fspath(folder) if added_tokens.is_tokenizer(folder) else None,
    )


def _known_head(source: Source, config: network.T5Config) -> str | None:
    if source.settings:
        return source.settings["head"].removesuffix("Head").lower()
    encoder = not config.num_decoder_layers or "score_head/kernel" in source.arrays
    return "encoder" if encoder else None


def _module(
    source: Source, config: network.T5Config, head: str | None, settings: Settings
) -> nn.Module:
    if head == "encoder":
        pooling = settings.pooling or source.settings.get("pooling", "first")
        return network.EncoderScorer(config, pooling=pooling)
    return network.Transformer(config)


def _model_and_encoder(
    source: Source, module: Any, head: str, settings: Settings
) -> tuple[RankingModel, PairEncoder]:
    file = settings.vocabulary or source.vocabulary
    if file is None:
        raise ValueError(
            f"Checkpoint '{source.path}' has no vocabulary beside it; expected a SentencePiece "
            "file such as T5's spiece.model. Give --vocabulary."
        )
    vocabulary = _vocabulary(source, module.config, file)
    if _is_new_head(source, settings):
        chosen = _head(head, vocabulary, settings.tokens or _answer_words(source))
    else:
        chosen = model_folder.from_written_form(source.settings, file, source.path)[0].head
    prompt = settings.prompt or source.settings.get("prompt") or _prompt(head)
    max_length = settings.max_length or source.settings.get("max_length") or MAX_LENGTH
    return RankingModel(module, chosen), PairEncoder(vocabulary, Prompt(prompt), max_length)


def _prompt(head: str) -> str:
    return MONOT5 if head == "monot5" else RANKT5


def _vocabulary(
    source: Source, config: network.T5Config, file: str | os.PathLike[str]
) -> Vocabulary:
    vocabulary = Vocabulary(file, source.settings.get("extra_ids"), source.tokenizer)
    check_vocabulary(source, vocabulary, config.vocab_size)
    return vocabulary


def _head(name: str, vocabulary: Vocabulary, words: Words) -> heads.Head:
    if name not in HEADS:
        raise ValueError(f"Setting 'head' has '{name}'; expected one of {HEADS}.")
    if name == "encoder":
        return heads.EncoderHead()
    if name == "rankt5":
        return heads.rankt5_head(vocabulary)
    try:
        return heads.monot5_head(vocabulary, words.true, words.false)
    except ValueError as error:
        raise ValueError(f"{error} The answers are '--tokens FALSE,TRUE'.") from error


def _answer_words(source: Source) -> Words:
    known = known_words(path(source.path)) if source.format == huggingface.FORMAT else None
    if known is None:
        return MONOT5_WORDS
    name, words = known
    _log.info("Answers are %r and %r, as those of '%s'.", *words, name)
    return words


def _write_beside(
    folder: epath.Path, model: RankingModel, encoder: PairEncoder, run: dict[str, Any] | None
) -> None:
    huggingface_files.write_tokenizer(folder, encoder.vocabulary, encoder.max_length)
    written = model_folder.written_form(model, encoder)
    huggingface_files.write_head(folder, model, encoder, written, run)
