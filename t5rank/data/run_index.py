"""A run file whose queries are read by number."""

from __future__ import annotations

from collections import Counter

import numpy as np

from t5rank.data.files import UTF8_BOM, PathLike
from t5rank.data.line_index import Offsets, PlainFile, lines_with_progress
from t5rank.data.trec import RUN_COLUMNS, columns_of, read_run, run_of


class RunIndex:
    """The queries of a plain run file by number from 0; sixteen bytes a query in memory.

    Where a query's lines do not stand together, the whole run is in memory.

    Args:
      path: a plain file; what is in it is checked when it is read.
      strict: see `read_run`.
      counts: what is repaired where the whole run is read at once.
    """

    def __init__(self, path: PathLike, *, strict: bool, counts: Counter[str]):
        self.path = path
        self._strict = strict
        self._file = PlainFile(path)
        self._layout, self._starts, self._lines, is_grouped = _query_places(path)
        whole = None if is_grouped else read_run(path, strict=strict, counts=counts)
        self._run = None if whole is None else [*whole.items()]

    def __len__(self) -> int:
        return len(self._lines) if self._run is None else len(self._run)

    def read(self, number: int, counts: Counter[str]) -> tuple[str, dict[str, float]]:
        """A query and its documents, as `read_run` has them; repairs are added to `counts`."""
        if self._run is not None:
            return self._run[number]
        start, end = (int(place) for place in self._starts[number : number + 2])
        lines = self._file.read(start, end).split(b"\n")
        numbered = [
            (n, line) for n, line in enumerate(lines, int(self._lines[number])) if line.strip()
        ]
        columns = columns_of(self.path, numbered, self._layout, self._strict, counts)
        ((query_id, scored),) = run_of(self.path, columns, self._strict, counts).items()
        return query_id, scored


def _query_places(path: PathLike) -> tuple[dict[int, str], np.ndarray, np.ndarray, bool]:
    """A run's layout, where each query's lines start (and the end), their first lines' numbers, and
    whether the lines of every query stand together."""
    starts, lines = Offsets(), Offsets()
    seen: set[bytes] = set()
    last, place, layout, is_grouped = None, 0, dict(RUN_COLUMNS), True
    for number, line in enumerate(lines_with_progress(path), start=1):
        words = line.removeprefix(UTF8_BOM if number == 1 else b"").split(maxsplit=1)
        if words and words[0] != last:
            if last is None:
                layout = _layout_of(line, layout)
            is_grouped &= words[0] not in seen
            last = words[0]
            seen.add(last)
            starts.add(place)
            lines.add(number)
        place += len(line)
    starts.add(place)
    return layout, starts.array(), lines.array(), is_grouped


def _layout_of(line: bytes, layouts: dict[int, str]) -> dict[int, str]:
    """The one that the file's first line chooses; all, where it has no such columns."""
    count = len(line.split())
    return {count: layouts[count]} if count in layouts else layouts
