"""The candidates of a run by query, without the whole run in memory."""

from __future__ import annotations

import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from t5rank.data.files import UTF8_BOM, check_regular, decode_line, location, open_binary
from t5rank.data.line_index import Offsets, lines_with_progress
from t5rank.data.plain_file import PlainFile
from t5rank.data.trec import RUN_COLUMNS, Run, parse_run

_RANKS = re.compile(r"(.+):(\d+)-(\d+)")


class Candidates(Protocol):
    """A run by query, or its ranks `first` to `last`."""

    path: str
    first: int
    last: int | None

    def query_ids(self) -> Iterator[str]:
        """The queries, in the order of the run."""
        ...

    def place(self, query_id: str) -> Any:
        """What `read` needs to give a query's candidates. It can be sent to another process."""
        ...

    def read(
        self, query_id: str, place: Any, counts: Counter[str] | None = None
    ) -> dict[str, float]:
        """Score by document, best first, of a query whose place is known.

        What is repaired is added to `counts`.
        """
        ...


class Place(NamedTuple):
    """Where the lines of a query stand in a run: bytes, the first line's number, and columns."""

    start: int
    end: int
    line: int
    columns: int


class ScatteredRunError(ValueError):
    """The lines of a query stand in several places of a run."""


class IndexedRun:
    """A run's candidates by query: `run["q1"]` is score by document, best first.

    One pass over the file notes where the lines of each query begin. The lines stay in the file and
    are read when they are asked for. A process that has the place of a query (`place`) reads its
    lines (`read`) without that pass.

    Args:
      path: an uncompressed TREC or MS MARCO run, in which the lines of each query stand together.
      first: the first rank that is given.
      last: the last rank that is given; None gives all.
      strict: see `t5rank.data.trec.read_run`.

    Raises:
      ValueError: the file is compressed, empty or a pipe, or the ranks are not in order; on access,
        what `t5rank.data.trec.read_run` refuses.
      ScatteredRunError: on access, a query's lines stand in several places.
    """

    def __init__(self, path: str, first: int = 1, last: int | None = None, strict: bool = True):
        if first < 1 or (last is not None and last < first):
            raise ValueError(
                f"Run '{path}' has the ranks {first}-{last}; expected 1 <= FIRST <= LAST."
            )
        self.path, self.first, self.last, self.strict = path, first, last, strict
        self._index: _Index | None = None
        self._file: PlainFile | None = None

    @classmethod
    def parse(cls, text: str, strict: bool = True) -> IndexedRun:
        """The run of an option `RUN[:FIRST-LAST]`.

        >>> run = IndexedRun.parse("bm25.txt:20-200")
        >>> run.path, run.first, run.last
        ('bm25.txt', 20, 200)
        """
        found = _RANKS.fullmatch(text)
        if found is None:
            return cls(text, strict=strict)
        return cls(found[1], int(found[2]), int(found[3]), strict)

    def query_ids(self) -> Iterator[str]:
        """The queries, in the order of the file."""
        return iter(self._places().numbers)

    def __contains__(self, query_id: str) -> bool:
        return query_id in self._places().numbers

    def __getitem__(self, query_id: str) -> dict[str, float]:
        """Score by document, best first; an empty dict for a query that is not in the run."""
        return self.read(query_id, self.place(query_id))

    def place(self, query_id: str) -> Place | None:
        """Where a query's lines stand; None if there are none."""
        index = self._places()
        at = index.numbers.get(query_id)
        if at is None:
            return None
        start, end = (int(byte) for byte in index.starts[at : at + 2])
        return Place(start, end, int(index.lines[at]), index.columns)

    def read(
        self, query_id: str, place: Place | None, counts: Counter[str] | None = None
    ) -> dict[str, float]:
        """Score by document, best first, of a query whose place is known."""
        if place is None:
            return {}
        lines = self._opened().read(place.start, place.end)
        scored = _well_formed(lines, query_id) if place.columns == 6 else None
        if scored is None:
            numbered = enumerate(lines.split(b"\n"), start=place.line)
            kept = [(number, line) for number, line in numbered if line.strip()]
            layouts = {n: names for n, names in RUN_COLUMNS.items() if n == place.columns}
            scored = parse_run(
                self.path, kept, layouts or RUN_COLUMNS, strict=self.strict, counts=counts
            )[query_id]
        return ranks(scored, self.first, self.last)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_index": None, "_file": None}

    def _opened(self) -> PlainFile:
        if self._file is None:
            check_regular(self.path, "queries are read in any order")
            with open_binary(self.path) as file:
                if not isinstance(file.raw, io.FileIO):
                    raise ValueError(
                        f"File '{self.path}' is gzip-compressed; expected plain text, because "
                        "queries are read in any order. Decompress it with gunzip."
                    )
                if not file.peek(1):
                    raise ValueError(f"File '{self.path}' is empty; expected the lines of a run.")
            self._file = PlainFile(self.path)
        return self._file

    def _places(self) -> _Index:
        if self._index is None:
            self._opened()
            self._index = _indexed(self.path, self.strict)
        return self._index


class RunInMemory:
    """A run that is in memory, with the methods of `Candidates`."""

    first = 1
    last: int | None = None

    def __init__(self, path: str, run: Run):
        self.path, self._run = path, run

    def query_ids(self) -> Iterator[str]:
        """The queries, in the order of the run."""
        return iter(self._run)

    def place(self, query_id: str) -> dict[str, float] | None:
        """The candidates themselves; None if there are none."""
        return self._run.get(query_id)

    def read(
        self,
        query_id: str,
        place: dict[str, float] | None,
        counts: Counter[str] | None = None,
    ) -> dict[str, float]:
        """Score by document, best first."""
        del query_id, counts  # repairs were counted when the run was read
        return place or {}


class _Index(NamedTuple):
    """Where the queries of a run stand.

    Attributes:
      numbers: the number of each query, from 0.
      starts: by this number, the byte where its lines begin; then the end of the file.
      lines: by this number, the number of its first line.
      columns: how many columns the first line has; they decide the layout of all lines.
    """

    numbers: dict[str, int]
    starts: np.ndarray
    lines: np.ndarray
    columns: int


def _indexed(path: str, strict: bool) -> _Index:
    numbers: dict[str, int] = {}
    starts, lines = Offsets(), Offsets()
    prefix, last, at, columns = b"\n", "", 0, 0
    for number, line in enumerate(lines_with_progress(path), start=1):
        text = line.removeprefix(UTF8_BOM) if number == 1 else line
        if not text.startswith(prefix) and not text.isspace() and text:
            raw = text.split(maxsplit=1)[0]
            columns = columns or len(text.split())
            query_id = decode_line(raw, place=location(path, number), strict=strict)
            if query_id != last:
                _check_new(query_id, numbers, path, number)
                numbers[query_id] = len(numbers)
                starts.add(at)
                lines.add(number)
            # Most lines begin like the one before them, and need no look at their columns.
            prefix, last = text[: text.index(raw) + len(raw) + 1], query_id
        at += len(line)
    starts.add(at)
    return _Index(numbers, starts.array(), lines.array(), columns)


def _check_new(query_id: str, numbers: Mapping[str, int], path: str, line: int) -> None:
    if query_id in numbers:
        raise ScatteredRunError(
            f"Query '{query_id}' in file '{path}' has lines in two places "
            f"(again in line {line}); expected them together. Sort the file by query: "
            f"LC_ALL=C sort -s -k1,1 {path} > SORTED"
        )


def _well_formed(lines: bytes, query_id: str) -> dict[str, float] | None:
    """The documents of well-formed TREC lines in the order of their scores; None for all others."""
    rows = lines.count(b"\n") + (not lines.endswith(b"\n"))
    words = lines.split()
    if len(words) != 6 * rows or words[::6].count(query_id.encode()) != rows:
        return None
    try:
        with np.errstate(over="ignore"):
            scores = np.array(list(map(float, words[4::6]))).astype(np.float32)
        doc_ids = b"\n".join(words[2::6]).decode().split("\n")
    except ValueError:
        return None
    if not np.isfinite(scores).all() or not (scores[1:] < scores[:-1]).all():
        return None
    scored = dict(zip(doc_ids, scores.tolist(), strict=True))
    return scored if len(scored) == rows else None


def ranks(scored: dict[str, float], first: int, last: int | None) -> dict[str, float]:
    """The documents of some ranks, counted from 1, of documents that are sorted best first."""
    if (first, last) == (1, None):
        return scored
    return dict(itertools.islice(scored.items(), first - 1, last))


def all_query_ids(runs: Sequence[Candidates]) -> Iterator[str]:
    """The queries of several runs, each once, in the order of the files."""
    return iter(dict.fromkeys(query_id for run in runs for query_id in run.query_ids()))
