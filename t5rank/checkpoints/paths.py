"""Local and remote paths (`gs://`, `s3://`), and the checkpoints in a folder."""

import os
import re
from typing import Any

import tensorstore
from etils import epath

from t5rank.formats.json_files import read_object
from t5rank.process.remote import check_remote, is_remote

PREFIX = "checkpoint"
BEST = "best.json"
COMMITTED = "commit_success.txt"
_LATEST = "Without this file the latest checkpoint is used: delete it."
_NAME = re.compile(rf"^{PREFIX}_(\d+)$")


def path(location: str | os.PathLike[str]) -> epath.Path:
    """An absolute path, local or remote; `file://` is local.

    Raises:
      MissingExtra: the package that reads `gs://` or `s3://` is not installed.
      ValueError: it is remote in another way.
    """
    name = os.fspath(location).removeprefix("file://")
    check_remote(name)
    return epath.Path(name if is_remote(name) else os.path.abspath(os.path.expanduser(name)))


def key_value_store(location: str | os.PathLike[str]) -> dict[str, Any]:
    """A folder as tensorstore names it."""
    folder = os.fspath(location).rstrip("/") + "/"
    url = folder if "://" in folder else f"file://{folder}"
    return tensorstore.KvStore.Spec(url).to_json()


def step_of(location: str | os.PathLike[str]) -> int | None:
    """The step in the name of a `checkpoint_N` folder, or None."""
    match = _NAME.match(epath.Path(location).name)
    return int(match[1]) if match else None


def checkpoint_name(location: str | os.PathLike[str] | None) -> str | None:
    """The last part of a path that is no step: `t5_base` of `gs://models/t5_base/checkpoint_9`.

    >>> checkpoint_name("gs://models/t5_base/checkpoint_9"), checkpoint_name(None)
    ('t5_base', None)
    """
    if location is None:
        return None
    folder = path(location)
    return (folder if step_of(folder) is None else folder.parent).name


def steps(directory: str | os.PathLike[str]) -> list[int]:
    """The steps of the finished checkpoints in a model folder, ascending."""
    folder = path(directory)
    if not folder.is_dir():
        return []
    found = [(step_of(p), p) for p in folder.iterdir() if p.is_dir()]
    return sorted(step for step, p in found if step is not None and _is_finished(p))


def _is_finished(checkpoint: epath.Path) -> bool:
    """On a disk a finished folder gets its name; on an object store orbax adds a file."""
    if "://" not in os.fspath(checkpoint):
        return True
    legacy = checkpoint / PREFIX  # T5X's index
    return (checkpoint / COMMITTED).is_file() or legacy.is_file()


def load_best(directory: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The best checkpoint's `step`, `metric` and `value`; None if it is not known or is deleted.

    Raises:
      ValueError: the file is damaged.
    """
    file = path(directory) / BEST
    if not file.is_file():
        return None
    best = read_object(file, ("step", "metric", "value"), _LATEST)
    return best if best["step"] in steps(directory) else None


def chosen_step(directory: str | os.PathLike[str], step: int | None = None) -> int:
    """The checkpoint to use: `step` if it is given, then the best one if known, then the latest.

    Raises:
      ValueError: there is no such checkpoint.
    """
    found = steps(directory)
    if step is None:
        best = load_best(directory)
        step = best["step"] if best else None
    if step is None and found:
        step = found[-1]
    if step not in found:
        raise ValueError(
            f"Model folder '{directory}' has checkpoints {found}; expected "
            f"{'at least one' if step is None else step}."
        )
    return step
