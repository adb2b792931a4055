"""The lines of files by their number, without their text in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from t5rank.data.files import UTF8_BOM, PathLike, location, open_binary
from t5rank.data.gzip_lines import GzipLineIndex, is_line_by_line
from t5rank.data.plain_file import PlainFile, is_plain

_BLOCK_LINES = 1 << 16
_PROGRESS_LINES = 1 << 12


def can_be_indexed(path: PathLike) -> bool:
    """Whether `LineIndex` takes a file: it is plain, or compressed line by line."""
    return is_plain(path) or is_line_by_line(path)


class LineIndex:
    r"""The lines of files by number from 0, without blank lines; eight bytes a line are in memory.

    Args:
      paths: plain files, or gzip files of `t5rank.data.gzip_lines`, as `t5rank lists` writes them.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     one, two = pathlib.Path(folder, "one"), pathlib.Path(folder, "two")
    ...     _ = one.write_text("a\n\nb\nc"), two.write_text("d")
    ...     lines = LineIndex(one, two)
    ...     len(lines), lines[1], lines.location(1).endswith("one', line 3"), lines[3]
    (4, b'b', True, b'd')
    """

    def __init__(self, *paths: PathLike):
        self._files = [
            GzipLineIndex(path) if is_line_by_line(path) else _PlainIndex(path) for path in paths
        ]
        self._ends = np.cumsum([len(file) for file in self._files])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, number: int) -> bytes:
        file, line = self._place(number)
        return file.line(line)

    def location(self, number: int) -> str:
        """The place of a line as errors name it."""
        file, line = self._place(number)
        return file.location(line)

    def _place(self, number: int) -> tuple[_PlainIndex | GzipLineIndex, int]:
        at = int(np.searchsorted(self._ends, number, side="right"))
        file = self._files[at]
        return file, number - int(self._ends[at]) + len(file)


class _PlainIndex:
    def __init__(self, path: PathLike):
        self._file = PlainFile(path)
        self.starts, self._blank = _places(path)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def line(self, number: int) -> bytes:
        start, end = (int(place) for place in self.starts[number : number + 2])
        # Blank lines that follow the line are read with it.
        return self._file.read(start, end).partition(b"\n")[0].removesuffix(b"\r")

    def location(self, number: int) -> str:
        blank = int(np.searchsorted(self._blank, number, side="right"))
        return location(self._file.path, number + blank + 1)


def lines_with_progress(path: PathLike) -> Iterator[bytes]:
    """The lines of a plain file, with blank ones; shows its progress."""
    with (
        open_binary(path) as file,
        tqdm(
            desc=f"index of {os.path.basename(path)}",
            total=os.path.getsize(path),
            unit="B",
            unit_scale=True,
            leave=False,
            disable=None,
            delay=2,
        ) as progress,
    ):
        done = 0
        for number, line in enumerate(file):
            yield line
            done += len(line)
            if number % _PROGRESS_LINES == 0:
                progress.update(done)
                done = 0


class Offsets:
    """Integers that are added one by one; each takes eight bytes."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._last: list[int] = []

    def add(self, value: int) -> None:
        self._last.append(value)
        if len(self._last) == _BLOCK_LINES:
            self._blocks.append(np.array(self._last, np.int64))
            self._last = []

    def array(self) -> np.ndarray:
        return np.concatenate([*self._blocks, np.array(self._last, np.int64)])


def _places(path: PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Where each line starts, then the end; and how many lines come before each blank line."""
    starts, blank = Offsets(), Offsets()
    start = lines = 0
    for line in lines_with_progress(path):
        if _is_blank(line, first=start == 0):
            blank.add(lines)
        else:
            starts.add(start)
            lines += 1
        start += len(line)
    starts.add(start)
    return starts.array(), blank.array()


def _is_blank(line: bytes, first: bool) -> bool:
    text = line.removeprefix(UTF8_BOM) if first else line
    return not text or text.isspace()
