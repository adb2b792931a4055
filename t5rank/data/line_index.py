"""The lines of files by their number, without their text in memory."""

from __future__ import annotations

import array
import bisect
import itertools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from t5rank.data.files import UTF8_BOM, PathLike, location, open_binary
from t5rank.data.gzip_lines import GzipLineIndex, is_line_by_line
from t5rank.data.plain_file import PlainFile, is_plain

GROUP_BYTES = 2048  # of lines of which the first one's place is noted: what is read for one line
_GROUP_LINES = 64
_BLOCK_BYTES = 1 << 23
_NEWLINE = ord("\n")
_SPACES = np.array([bytes([byte]).isspace() for byte in range(256)])
_BLOCK_LINES = 1 << 16
_PROGRESS_LINES = 1 << 12


def can_be_indexed(path: PathLike) -> bool:
    """Whether `LineIndex` takes a file: it is plain, or compressed line by line."""
    return is_plain(path) or is_line_by_line(path)


class LineIndex:
    r"""The lines of files that are not blank, by number from 0.

    The place of one line in several is noted: about `GROUP_BYTES` of text have eight bytes here.

    Args:
      paths: plain files, or gzip files of `t5rank.data.gzip_lines`, as `t5rank lists` writes them.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     one, two = pathlib.Path(folder, "one"), pathlib.Path(folder, "two")
    ...     _ = one.write_text("a\n\nb\nc"), two.write_text("d")
    ...     lines = LineIndex(one, two)
    ...     len(lines), lines[1], lines.entry(1), lines.location(1)[-12:], lines[3]
    (4, b'b', (0, 3, b'b'), "one', line 3", b'd')
    """

    def __init__(self, *paths: PathLike):
        self._files = [
            GzipLineIndex(path) if is_line_by_line(path) else _PlainIndex(path) for path in paths
        ]
        self._ends = [*itertools.accumulate(len(file) for file in self._files)]

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def nbytes(self) -> int:
        """The bytes of what is noted."""
        return sum(file.nbytes for file in self._files)

    def __getitem__(self, number: int) -> bytes:
        file, line = self._found(number)
        return self._files[file].line(line)

    def entry(self, number: int) -> tuple[int, int, bytes]:
        """The number of a line's file from 0, its own number there from 1, and the line.

        The number in the file counts blank lines, too.
        """
        file, line = self._found(number)
        found = self._files[file]
        return file, found.line_number(line), found.line(line)

    def location(self, number: int) -> str:
        """The place of a line as errors name it."""
        file, line = self._found(number)
        return location(self._files[file].path, self._files[file].line_number(line))

    def _found(self, number: int) -> tuple[int, int]:
        file = bisect.bisect_right(self._ends, number)
        return file, number - self._ends[file] + len(self._files[file])


class _PlainIndex:
    def __init__(self, path: PathLike):
        self.path = path
        self._file = PlainFile(path)
        self._every = 1  # lines of a group
        self._number = 0
        # Arrays that grow in place: small ones among the large ones of the blocks would keep these.
        starts, blank = array.array("q"), array.array("q")
        for block_starts, block_blank in _line_starts(path):
            if not starts and len(block_starts):
                size = int(block_starts[-1] - block_starts[0]) // len(block_starts)
                self._every = min(max(GROUP_BYTES // max(size, 1), 1), _GROUP_LINES)
            starts.frombytes(block_starts[-self._number % self._every :: self._every].tobytes())
            blank.frombytes((self._number + block_blank).tobytes())
            self._number += len(block_starts)
        starts.append(os.path.getsize(path))
        self._starts = np.frombuffer(starts, np.int64)  # of groups
        self._blank = np.frombuffer(blank, np.int64)  # lines before each blank one

    def __len__(self) -> int:
        return self._number

    @property
    def nbytes(self) -> int:
        return self._starts.nbytes + self._blank.nbytes

    def line(self, number: int) -> bytes:
        group, place = divmod(number, self._every)
        start, end = self._starts[group : group + 2].tolist()
        lines = self._file.read(start, end).split(b"\n")
        if self._every > 1:
            lines = [line for line in lines if line and not line.isspace()]
        return lines[place].removesuffix(b"\r")

    def line_number(self, number: int) -> int:
        return number + int(self._blank.searchsorted(number, side="right")) + 1


def _line_starts(path: PathLike) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of where lines start that are not blank, and of how many came before each blank one.

    The latter are counted from the block's first line.
    """
    at = 0  # the first byte of `block`
    for block in _whole_lines(path):
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE) + 1
        starts = np.concatenate([[0], ends])
        starts = starts[starts < len(block)]
        may_be_blank = np.flatnonzero(_SPACES[np.frombuffer(block, np.uint8)[starts]])
        blank = np.zeros(len(starts), bool)
        for i in may_be_blank.tolist():
            end = int(starts[i + 1]) if i + 1 < len(starts) else len(block)
            blank[i] = block[int(starts[i]) : end].isspace()
        if at == 0 and len(starts):
            end = int(starts[1]) if len(starts) > 1 else len(block)
            blank[0] = _is_blank(block[:end], first=True)
        yield starts[~blank] + at, np.cumsum(~blank, dtype=np.int64)[blank]
        at += len(block)


def _whole_lines(path: PathLike) -> Iterator[bytes]:
    """The file in blocks that end where lines do; shows how far it is."""
    rest = b""
    with open(path, "rb", buffering=0) as file, _progress(path) as progress:
        while data := file.read(_BLOCK_BYTES):
            progress.update(len(data))
            end = data.rfind(b"\n") + 1
            if end:
                yield rest + data[:end]
                rest = data[end:]
            else:
                rest += data
        if rest:
            yield rest


def lines_with_progress(path: PathLike) -> Iterator[bytes]:
    """The lines of a plain file, with blank ones; shows its progress."""
    with open_binary(path) as file, _progress(path) as progress:
        done = 0
        for number, line in enumerate(file):
            yield line
            done += len(line)
            if number % _PROGRESS_LINES == 0:
                progress.update(done)
                done = 0


def _progress(path: PathLike) -> Any:
    return tqdm(
        desc=f"index of {os.path.basename(path)}",
        total=os.path.getsize(path),
        unit="B",
        unit_scale=True,
        leave=False,
        disable=None,
        delay=2,
    )


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


def _is_blank(line: bytes, first: bool) -> bool:
    text = line.removeprefix(UTF8_BOM) if first else line
    return not text or text.isspace()
