"""The state of a model folder, found without reading its weights."""

import hashlib
import os
from pathlib import Path

from t5rank import model_folder
from t5rank.checkpoints.opening import VOCABULARY
from t5rank.checkpoints.paths import path


def folder_state(folder: str) -> object:
    """A value that changes whenever the folder may hold another model.

    It has the contents of the configuration and of the vocabulary. For weights on a disk it has the
    inode, the size and the times (in nanoseconds) of every file, and the targets of links. So it
    differs for files of the same second, for copies that keep their times, and for links that lead
    elsewhere. On an object store it has the time of the weights.

    Raises:
      ValueError: the folder has no weights.
      OSError: something cannot be looked at.
    """
    weights = model_folder.weights_path(folder)
    names = (model_folder.CONFIG, VOCABULARY)
    small = [hashlib.sha256((path(folder) / name).read_bytes()).digest() for name in names]
    if "://" in os.fspath(weights):
        return small, os.fspath(weights), weights.stat().mtime
    return small, [_file_state(file) for file in _files(Path(weights))]


def _files(weights: Path) -> list[Path]:
    """A checkpoint's files; those of an exported graph have names that begin alike."""
    if weights.is_dir():
        return [weights, *sorted(weights.rglob("*"))]
    return sorted(weights.parent.glob(f"{weights.name}*"))


def _file_state(file: Path) -> tuple[str, list[int]]:
    s = file.stat()
    numbers = [s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns]
    return os.path.realpath(file), numbers
