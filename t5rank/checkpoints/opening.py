"""Any checkpoint as a `Source`."""

import dataclasses
import os

from etils import epath

from t5rank.checkpoints import (
    architecture,
    found,
    huggingface,
    paths,
    sentence_transformers,
    t5x,
)
from t5rank.checkpoints.sources import Source
from t5rank.formats.json_files import read_object, read_object_if_any
from t5rank.models.network import T5Config

VOCABULARY = "vocabulary.model"  # in a model folder, see t5rank.model_folder
_FORMATS = (
    "a checkpoint_N folder of t5rank or T5X, a folder of them, T5X's msgpack file, "
    "or a folder of Hugging Face or sentence-transformers"
)


def open_checkpoint(location: str | os.PathLike[str], step: int | None = None) -> Source:
    """Opens a checkpoint and detects its format; reads no parameter yet.

    Args:
      location: a local or remote path. It leads to a `checkpoint_N` folder of T5X's orbax layout
        (which is also ours) or legacy layout, to a folder of such folders, to T5X's msgpack file,
        or to a folder of Hugging Face or sentence-transformers.
      step: which checkpoint of a folder; by default the best by validation, or the latest where
        none is known to be the best.

    Raises:
      ValueError: there is no checkpoint, or it is damaged.
    """
    folder = paths.path(location)
    if step is not None and folder.exists() and not paths.steps(folder):
        raise ValueError(
            f"Path '{location}' is no folder of checkpoints; expected no step, not {step}. Leave "
            "out --step."
        )
    return _with_vocabulary(_open(folder, step))


def architecture_of(location: str | os.PathLike[str], step: int | None = None) -> T5Config:
    """The sizes of the T5 in a checkpoint, for a network that takes its parameters.

    Args:
      location: see `open_checkpoint`.
      step: see `open_checkpoint`.

    Raises:
      ValueError: there is no checkpoint, or it is no T5.
    """
    source = open_checkpoint(location, step)
    return source.config or architecture.infer(source.shapes, f"Checkpoint '{source.path}'")


def _with_vocabulary(source: Source) -> Source:
    """Adds the vocabulary that lies beside a checkpoint of a model folder."""
    folder = paths.path(source.path).parent
    if source.vocabulary is not None or not (folder / VOCABULARY).is_file():
        return source
    config = read_object_if_any(folder / huggingface.CONFIG)
    settings = config if "network" in config else source.settings
    vocabulary = str(folder / VOCABULARY)
    return dataclasses.replace(source, vocabulary=vocabulary, settings=settings)


def _open(folder: epath.Path, step: int | None) -> Source:
    if folder.is_file():
        return t5x.read_legacy(folder)
    if (folder / t5x.INDEX).is_file():
        return t5x.read_legacy(folder)
    if (folder / t5x.STATE).is_dir() or (folder / "_METADATA").is_file():
        return t5x.read_orbax(folder)
    if paths.steps(folder):
        return open_checkpoint(folder / f"{paths.PREFIX}_{paths.chosen_step(folder, step)}")
    if sentence_transformers.is_folder(folder):
        return sentence_transformers.read(folder)
    if _is_hugging_face(folder / huggingface.CONFIG):
        return huggingface.read(folder)
    if paths.step_of(folder) is not None and folder.is_dir() and any(folder.iterdir()):
        raise ValueError(
            f"Checkpoint '{folder}' has no '{t5x.STATE}' and no '{t5x.INDEX}' in it; expected one. "
            "Is the copy complete?"
        )
    raise ValueError(
        f"Path '{folder}' {found.describe(folder)}; expected a checkpoint: {_FORMATS}."
        f"{found.download(folder)}"
    )


def _is_hugging_face(config: epath.Path) -> bool:
    """Whether there is a `config.json` that t5rank has not written."""
    return config.is_file() and "network" not in read_object(config)
