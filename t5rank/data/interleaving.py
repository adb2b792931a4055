"""Lines of several files, in their order or side by side in a random order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from t5rank.data.files import PathLike, read_lines

ReadLines = Callable[[PathLike], Iterator[tuple[int, bytes]]]
SIDE_BY_SIDE = 16  # files that are open at once; each has gzip's window in memory


def lines_of(
    files: Sequence[PathLike], shuffle: int | None = None, read: ReadLines = read_lines
) -> Iterator[tuple[PathLike, int, bytes]]:
    """Yields (file, line number, line) of each line that is not blank.

    Args:
      files: plain or gzip files.
      shuffle: a seed for a random order of the files. `SIDE_BY_SIDE` files are open at once and
        give a line in turn, so that neighbours come from different files. The lines of a file keep
        their order. None gives all lines in order.
      read: gives the numbered lines of a file.
    """
    if shuffle is None:
        for file in files:
            yield from _lines(file, read)
        return
    order = np.random.default_rng(shuffle).permutation(len(files))
    waiting = (_lines(files[i], read) for i in order)
    opened = deque(islice(waiting, SIDE_BY_SIDE))
    while opened:
        lines = opened.popleft()
        line = next(lines, None)
        if line is None:
            opened.extend(islice(waiting, 1))
        else:
            yield line
            opened.append(lines)


def _lines(file: PathLike, read: ReadLines) -> Iterator[tuple[PathLike, int, bytes]]:
    for number, line in read(file):
        yield file, number, line
