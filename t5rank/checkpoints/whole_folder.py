"""A new folder that is written as a whole or not at all."""

import contextlib
import os
from collections.abc import Iterator

from etils import epath

from t5rank.formats.writing import writing
from t5rank.process.remote import is_remote


@contextlib.contextmanager
def whole_folder(target: epath.Path) -> Iterator[epath.Path]:
    """Gives a folder to write into, which becomes `target` at the end; after an error it is gone.

    A folder that exists, or is remote, is written in its place, because it cannot be renamed.

    Args:
      target: a new or an empty folder.

    Raises:
      WriteError: the disk is full.
    """
    in_place = target.exists() or is_remote(os.fspath(target))
    folder = target if in_place else target.with_name(f"{target.name}.partial")
    if not in_place and folder.exists():  # a process that was killed has left it
        folder.rmtree()
    try:
        with writing(f"Folder '{target}'"):
            yield folder
            if not in_place:
                folder.rename(target)
    except BaseException:
        _empty(folder)
        if not in_place and folder.exists():
            folder.rmdir()
        raise


def _empty(folder: epath.Path) -> None:
    for child in folder.iterdir() if folder.is_dir() else ():
        if child.is_dir():
            child.rmtree()
        else:
            child.unlink()
