"""Any checkpoint as a `Source`."""

import os

from etils import epath

from t5rank.checkpoints import huggingface, paths, t5x
from t5rank.checkpoints.sources import Source

_FORMATS = (
    "a checkpoint_N folder of t5rank or T5X, a folder of them, T5X's msgpack file, "
    "or a Hugging Face folder with config.json"
)


def open_checkpoint(location: str | os.PathLike[str], step: int | None = None) -> Source:
    """Opens a checkpoint; its format is detected, and no parameter is read yet.

    Args:
      location: a local or remote path to a `checkpoint_N` folder of T5X's orbax layout (ours is) or
        legacy layout, to a folder of them, to T5X's msgpack file, or to a Hugging Face folder.
      step: which of a folder's checkpoints; the best by validation by default, or else the latest.

    Raises:
      ValueError: there is no checkpoint, or it is damaged.
    """
    folder = paths.path(location)
    if folder.is_file():
        return t5x.read_legacy(folder)
    if (folder / t5x.INDEX).is_file():
        return t5x.read_legacy(folder)
    if (folder / t5x.STATE).is_dir() or (folder / "_METADATA").is_file():
        return t5x.read_orbax(folder)
    if paths.steps(folder):
        return open_checkpoint(folder / f"{paths.PREFIX}_{paths.chosen_step(folder, step)}")
    if _is_hugging_face(folder / huggingface.CONFIG):
        return huggingface.read(folder)
    raise ValueError(f"Path '{location}' has no checkpoint; expected {_FORMATS}.")


def _is_hugging_face(config: epath.Path) -> bool:
    """Whether there is a `config.json`, and none of t5rank."""
    return config.is_file() and "network" not in huggingface.read_json(config)
