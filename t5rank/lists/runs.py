"""Random access to the queries of a run that is too large to hold in memory."""

from __future__ import annotations

import io
import itertools
import mmap
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from t5rank.data.files import UTF8_BOM, check_regular, decode_line, location, open_binary
from t5rank.data.trec import parse_run

_BLOCK_LINES = 1 << 16
_DEPTHS = re.compile(r"(.+):(\d+)-(\d+)")


class Candidates(Protocol):
    """A run, or the ranks first to last of it, by query."""

    path: str
    first: int
    last: int | None

    def query_ids(self) -> Iterator[str]:
        """The queries, in the run's order."""
        ...

    def place(self, query_id: str) -> Any:
        """What `read` needs, in another process too, to give a query's candidates."""
        ...

    def read(
        self, query_id: str, place: Any, counts: Counter[str] | None = None
    ) -> dict[str, float]:
        """Score by document, best first, of a query whose place is known.

        What is repaired is added to `counts`.
        """
        ...


class Place(NamedTuple):
    """Where the lines of a query stand in a run: bytes, and the number of the first line."""

    start: int
    end: int
    line: int


class IndexedRun:
    """A run's candidates by query: `run["q1"]` is score by document, best first.

    One pass over the file records where each query's lines begin; they stay in the file, which is
    memory-mapped, and are read when asked for. Who has the place of a query (`place`) reads them
    without that pass (`read`), in another process too.

    Args:
      path: an uncompressed TREC or MS MARCO run, the lines of each query together.
      first: the first rank that is given.
      last: the last one; None gives all.
      strict: see `t5rank.data.trec.read_run`.

    Raises:
      ValueError: the file is compressed or a pipe, a query's lines are in two places, the ranks are
        not in order; on access, what `t5rank.data.trec.read_run` refuses.
    """

    def __init__(self, path: str, first: int = 1, last: int | None = None, strict: bool = True):
        if first < 1 or (last is not None and last < first):
            raise ValueError(
                f"Run '{path}' has the ranks {first}-{last}; expected 1 <= FIRST <= LAST."
            )
        self.path, self.first, self.last, self.strict = path, first, last, strict
        self._index: tuple[dict[str, int], np.ndarray, np.ndarray] | None = None
        self._map: Any = None

    @classmethod
    def parse(cls, text: str, strict: bool = True) -> IndexedRun:
        """The run of an option `RUN[:FIRST-LAST]`.

        >>> run = IndexedRun.parse("bm25.txt:20-200")
        >>> run.path, run.first, run.last
        ('bm25.txt', 20, 200)
        """
        found = _DEPTHS.fullmatch(text)
        if found is None:
            return cls(text, strict=strict)
        return cls(found[1], int(found[2]), int(found[3]), strict)

    def query_ids(self) -> Iterator[str]:
        """The queries in file order."""
        return iter(self._places()[0])

    def __contains__(self, query_id: str) -> bool:
        return query_id in self._places()[0]

    def __getitem__(self, query_id: str) -> dict[str, float]:
        """Score by document, best first; nothing for a query that is not in the run."""
        return self.read(query_id, self.place(query_id))

    def place(self, query_id: str) -> Place | None:
        """Where a query's lines stand; None if there are none."""
        places, starts, numbers = self._places()
        at = places.get(query_id)
        return None if at is None else Place(int(starts[at]), int(starts[at + 1]), int(numbers[at]))

    def read(
        self, query_id: str, place: Place | None, counts: Counter[str] | None = None
    ) -> dict[str, float]:
        """Score by document, best first, of a query whose place is known."""
        if place is None:
            return {}
        lines = self._mapped()[place.start : place.end]
        scored = _parsed(lines, query_id)
        if scored is None:
            numbered = enumerate(lines.split(b"\n"), start=place.line)
            kept = [(n, line.removeprefix(UTF8_BOM)) for n, line in numbered if line.strip()]
            scored = parse_run(self.path, kept, strict=self.strict, counts=counts)[query_id]
        if (self.first, self.last) == (1, None):
            return scored
        return dict(itertools.islice(scored.items(), self.first - 1, self.last))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_index": None, "_map": None}

    def _mapped(self) -> Any:
        if self._map is None:
            check_regular(self.path, "queries are read in any order")
            with open_binary(self.path) as file:
                if not isinstance(file.raw, io.FileIO):
                    raise ValueError(
                        f"File '{self.path}' is gzip-compressed; expected plain text, because "
                        "queries are read in any order. Decompress it with gunzip."
                    )
                if not file.peek(1):
                    raise ValueError(f"File '{self.path}' is empty; expected the lines of a run.")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._map

    def _places(self) -> tuple[dict[str, int], np.ndarray, np.ndarray]:
        if self._index is None:
            size = len(self._mapped())
            with open_binary(self.path) as file:
                self._index = _index(file, self.path, size, self.strict)
        return self._index


def _parsed(lines: bytes, query_id: str) -> dict[str, float] | None:
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


def _index(
    file, path: str, size: int, strict: bool
) -> tuple[dict[str, int], np.ndarray, np.ndarray]:
    """The number of each query, and, by it, where its lines begin: byte and line number."""
    places: dict[str, int] = {}
    starts, numbers = [], []
    prefix, last, at = b"\n", "", 0
    with tqdm(total=size, desc=f"indexing {path}", unit="B", unit_scale=True, disable=None) as bar:
        for number, line in enumerate(file, start=1):
            if not line.startswith(prefix) and not line.isspace():
                raw = line.removeprefix(UTF8_BOM).split(maxsplit=1)[0]
                place = location(path, number)
                query_id = decode_line(raw, place=place, strict=strict)
                if query_id != last:
                    _check_new(query_id, places, path, number)
                    places[query_id] = len(places)
                    starts.append(at)
                    numbers.append(number)
                end = line.index(raw) + len(raw) + 1
                prefix, last = line[:end], query_id
            at += len(line)
            if number % _BLOCK_LINES == 0:
                bar.update(at - bar.n)
        bar.update(at - bar.n)
    return places, np.array([*starts, size], np.int64), np.array(numbers, np.int64)


def _check_new(query_id: str, places: dict[str, int], path: str, number: int) -> None:
    if query_id in places:
        raise ValueError(
            f"Query '{query_id}' in file '{path}' has lines in two places "
            f"(again in line {number}); expected them together. Sort the file by query: "
            f"LC_ALL=C sort -s -k1,1 {path} > SORTED"
        )


def all_query_ids(runs: Sequence[Candidates]) -> Iterator[str]:
    """The queries of several runs, each once, in the order of the files."""
    return iter(dict.fromkeys(query_id for run in runs for query_id in run.query_ids()))
