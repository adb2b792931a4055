"""A file that is not compressed, read from any place."""

from __future__ import annotations

import io
import os
import weakref

from t5rank.data.files import UTF8_BOM, PathLike, open_binary


def is_plain(path: PathLike) -> bool:
    """Whether a file is on disk and is not compressed."""
    if not os.path.isfile(path):
        return False
    with open_binary(path) as file:
        return isinstance(file.raw, io.FileIO)


class PlainFile:
    """An open file; several threads may read it at once."""

    def __init__(self, path: PathLike):
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`, without a byte order mark at the start of the file."""
        data = os.pread(self._descriptor, end - start, start)
        return data.removeprefix(UTF8_BOM) if start == 0 else data
