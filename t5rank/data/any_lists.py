"""Lists of every format that has one line a list: the format is found by content.

`t5rank.data.list_formats` has the formats. A folder's files may be of several.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence

from t5rank.data.files import PathLike, location
from t5rank.data.indexed import IndexedLists
from t5rank.data.interleaving import lines_of
from t5rank.data.jsonl import jsonl_files
from t5rank.data.line_index import LineIndex, is_plain
from t5rank.data.list_formats import Format, format_of, said
from t5rank.data.pairs import Line
from t5rank.data.ranked_list import RankedList, filter_lists
from t5rank.data.tables import is_table, rows_or_lines
from t5rank.data.text_files import TextFiles

_log = logging.getLogger(__name__)
_said: set[tuple[str, str]] = set()


def read_lists(
    path: PathLike,
    *,
    collection: PathLike | None = None,
    queries: PathLike | None = None,
    strict: bool = True,
    labelled: bool = True,
    keep_without_relevant: bool = True,
    counts: Counter[str] | None = None,
    shuffle: int | None = None,
    prefix: str = "",
) -> Iterator[RankedList]:
    """Reads lists in file order from a plain or gzip file, or a folder (`t5rank.data.folder`).

    A parquet or CSV file is read by its columns' names (`t5rank.data.tables`). A query without
    an id gets the number of its line (in a folder, that of its file before it), and a document
    without one gets `t5rank.data.pairs.text_id`.

    Args:
      path: the file or folder.
      collection: a TSV file of `doc_id TAB text`, for formats that hold ids.
      queries: a TSV file of `qid TAB text`, for the same.
      strict: see `t5rank.data.ranked_list.checked_list`.
      labelled: see `t5rank.data.jsonl.read_jsonl`; pairs and triples have labels always.
      keep_without_relevant: whether lists with no label above 0 are kept.
      counts: see `t5rank.data.ranked_list`.
      shuffle: a seed for the order of a folder's files; see `t5rank.data.interleaving`.
      prefix: comes before the number of a query without an id.

    Raises:
      ValueError: an unknown format (the formats are listed), a malformed line, with file and line,
        an id without text, or a folder that is not whole.
    """
    counts = Counter() if counts is None else counts
    reader = _Reader(path, collection, queries, strict, labelled, counts, prefix)
    numbers = {file: number for number, file in enumerate(reader.files)}
    lists = (
        reader.read(numbers[file], number, line, location(file, number), counts)
        for file, number, line in lines_of(reader.files, shuffle, rows_or_lines)
    )
    return filter_lists(
        lists, source=str(path), keep_without_relevant=keep_without_relevant, counts=counts
    )


def index_lists(
    path: PathLike,
    *,
    collection: PathLike | None = None,
    queries: PathLike | None = None,
    strict: bool = True,
    labelled: bool = True,
    keep_without_relevant: bool = True,
    counts: Counter[str] | None = None,
) -> IndexedLists | None:
    """The lists of `read_lists`, of which one pass notes the places, to be read in any order.

    None where a file is compressed or a table.
    """
    counts = Counter() if counts is None else counts
    reader = _Reader(path, collection, queries, strict, labelled, counts)
    if not all(map(is_plain, reader.files)) or any(map(is_table, reader.files)):
        return None
    reader.find_formats()
    lines = LineIndex(*reader.files)

    def read(i: int, counts: Counter[str]) -> RankedList:
        file, number, line = lines.entry(i)
        return reader.read(file, number, line, location(reader.files[file], number), counts)

    return IndexedLists(str(path), len(lines), read, keep_without_relevant, counts)


def formats_of(path: PathLike) -> list[str]:
    """The names of the formats of a file, or of a folder's files; raises as `read_lists` does."""
    reader = _Reader(path, None, None, False, True, Counter())
    reader.find_formats()
    return sorted({found.name for found in reader.formats if found is not None})


class _Reader:
    """Reads lines of files, each of the format that the first one to be read has."""

    def __init__(
        self,
        path: PathLike,
        collection: PathLike | None,
        queries: PathLike | None,
        strict: bool,
        labelled: bool,
        counts: Counter[str],
        prefix: str = "",
    ):
        self.files: Sequence[PathLike] = jsonl_files(path)
        self.formats: list[Format | None] = [None] * len(self.files)
        self._path, self._is_folder, self._prefix = path, os.path.isdir(path), prefix
        self._text_files = (collection, queries)
        self._strict, self._labelled, self._counts = strict, labelled, counts
        self._opened: TextFiles | None = None

    def read(
        self, file: int, number: int, raw: bytes, place: str, counts: Counter[str]
    ) -> RankedList:
        """The list of a line of the file with this number."""
        line = self.line(file, number, raw, place, counts)
        found = self.format(file, line)
        return found.read(line, self._texts(found, line)) if found.has_ids else found.read(line)

    def find_formats(self) -> None:
        """Reads the first line of every file."""
        for i, file in enumerate(self.files):
            for number, raw in itertools.islice(rows_or_lines(file), 1):
                self.format(i, self.line(i, number, raw, location(file, number), Counter()))

    def line(self, file: int, number: int, raw: bytes, place: str, counts: Counter[str]) -> Line:
        """A line as formats take it."""
        name = f"{file}-{number}" if self._is_folder else str(number)
        return Line(raw, place, self._prefix + name, self._strict, counts, self._labelled)

    def format(self, file: int, line: Line) -> Format:
        """The format of a file, of which this is a line."""
        found = self.formats[file]
        if found is None:
            found = self.formats[file] = format_of(line)
            words = said(found, line)
            if (str(self._path), words) not in _said:
                _said.add((str(self._path), words))
                _log.info("'%s' holds %s", self._path, words)
        return found

    def _texts(self, found: Format, line: Line) -> TextFiles:
        collection, queries = self._text_files
        if collection is None or queries is None:
            raise ValueError(
                f"File in {line.place.removeprefix('file ')} holds {found.name}, which have no "
                "texts; expected the files of texts too, 'collection' (doc_id TAB text) and "
                "'queries' (qid TAB text)."
            )
        if self._opened is None:
            self._opened = TextFiles(collection, queries, self._strict, self._counts)
        return self._opened
