"""The documents of a collection in the order of its files, each once.

A file is plain or gzip, and one of:

  doc_id TAB text
  {"_id": "d1", "title": "...", "text": "..."}    JSON lines of BEIR; its text is title, space, text
  {"query_id": ..., "documents": [...]}           lists, as `t5rank.data.jsonl` reads them

A folder holds lists. A document that several lists have is read once.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from t5rank.data.errors import DataError
from t5rank.data.files import (
    PathLike,
    broken_text_error,
    check_regular,
    decode_line,
    is_broken,
    location,
    read_lines,
    repaired,
)
from t5rank.data.jsonl import read_jsonl
from t5rank.data.line_index import Offsets
from t5rank.data.trec import is_id


class Document(NamedTuple):
    """A document of a collection."""

    doc_id: str
    text: str


class Documents:
    """A collection that is read from its first document to its last, as often as needed.

    The first pass checks every line and counts; it takes eight bytes of memory a document.

    Args:
      paths: files, or folders of lists; see the module.
      strict: whether broken UTF-8 and an id that comes twice are errors. If not, broken bytes are
        replaced by U+FFFD, and the first of an id is kept.
      counts: see `t5rank.data.ranked_list`.

    Attributes:
      paths: the files.
      count: how many documents.
      checksum: changes with the ids, the texts and their order, and not with the files' format.

    Raises:
      ValueError: there is no document, a line is malformed, or what `strict` refuses.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "collection.tsv")
    ...     _ = path.write_text("d2\\ta text\\nd1\\tanother\\n")
    ...     documents = Documents([path])
    ...     documents.count, [document.doc_id for document in documents.read()]
    (2, ['d2', 'd1'])
    """

    def __init__(
        self,
        paths: Sequence[PathLike],
        *,
        strict: bool = True,
        counts: Counter[str] | None = None,
    ):
        self.paths = [*paths]
        self._strict = strict
        for path in paths:
            check_regular(path, "documents are counted before they are read")
        counts = Counter() if counts is None else counts
        hashes, digest = Offsets(), hashlib.sha256()
        for document, _, _ in self._all(counts, "counting documents"):
            hashes.add(hash(document.doc_id))
            digest.update(f"{document.doc_id}\t{len(document.text)}\t{document.text}\n".encode())
            counts["empty_documents"] += not document.text.strip()
        self.checksum = digest.hexdigest()
        self._repeated = _repeated(hashes.array())
        dropped = self._drop_repeated(counts)
        self.count = len(hashes.array()) - dropped
        if not self.count:
            names = ", ".join(f"'{path}'" for path in paths)
            raise ValueError(f"Collection {names} has no document; expected at least one.")

    def read(self, start: int = 0) -> Iterator[Document]:
        """The documents from the one of this number on."""
        return itertools.islice(self._once(Counter()), start, None)

    def _once(self, counts: Counter[str]) -> Iterator[Document]:
        seen: set[str] = set()
        for document, place, of_list in self._all(Counter(), None):
            if hash(document.doc_id) in self._repeated:
                if document.doc_id in seen:
                    self._check_repeated(document.doc_id, place, of_list)
                    counts["duplicate_documents_merged"] += not of_list
                    counts["repeated"] += 1
                    continue
                seen.add(document.doc_id)
            yield document

    def _drop_repeated(self, counts: Counter[str]) -> int:
        """How many documents are left out; those that no list repeats are counted."""
        if not self._repeated:
            return 0
        found: Counter[str] = Counter()
        for _ in self._once(found):
            pass
        counts["duplicate_documents_merged"] += found["duplicate_documents_merged"]
        return found["repeated"]

    def _check_repeated(self, doc_id: str, place: str, of_list: bool) -> None:
        if self._strict and not of_list:
            raise DataError(
                f"Document '{doc_id}' is again in {place}; expected each id once.",
                "strict",
                "keep the first",
            )

    def _all(
        self, counts: Counter[str], progress: str | None
    ) -> Iterator[tuple[Document, str, bool]]:
        """Every document, where it stands, and whether a list has it."""
        shown = {"desc": progress, "unit": " documents", "leave": False, "delay": 2}
        with tqdm(disable=None if progress else True, **shown) as bar:
            for path in self.paths:
                for item in _documents(path, self._strict, counts):
                    yield item
                    bar.update()


def _repeated(hashes: np.ndarray) -> frozenset[int]:
    """Those that come more than once."""
    hashes = np.sort(hashes)
    return frozenset(hashes[1:][hashes[1:] == hashes[:-1]].tolist())


def _documents(
    path: PathLike, strict: bool, counts: Counter[str]
) -> Iterator[tuple[Document, str, bool]]:
    first = {} if os.path.isdir(path) else _first_object(path)
    if os.path.isdir(path) or {"query_id", "documents"} & first.keys():
        found: Counter[str] = Counter()
        for ranked in read_jsonl(path, labelled=False, strict=strict, counts=found):
            place = f"'{path}', the list of query '{ranked.query_id}'"
            for doc_id, text in zip(ranked.doc_ids, ranked.documents, strict=True):
                yield _checked(doc_id, text, place), place, True
        counts["broken_utf8_lines_replaced"] += found["broken_utf8_lines_replaced"]
        return
    parse = _parsed_object if first else _parsed_columns
    for number, raw in read_lines(path):
        place = location(path, number)
        yield parse(raw, place, strict, counts), place, False


def _first_object(path: PathLike) -> dict[str, Any]:
    """The JSON object that a file begins with; an empty one where it begins with none."""
    for _, line in read_lines(path):
        if line.lstrip().startswith(b"{"):
            try:
                return json.loads(line.decode("utf-8", "replace"))
            except ValueError:
                return {}
        return {}
    return {}


def _parsed_columns(raw: bytes, place: str, strict: bool, counts: Counter[str]) -> Document:
    line = decode_line(raw, place=place, strict=strict, counts=counts)
    doc_id, tab, text = line.partition("\t")
    if not tab:
        raise ValueError(
            f"Document in {place} has the start {line[:40]!r}; expected doc_id TAB text, or JSON "
            "lines."
        )
    return _checked(doc_id, text, place)


def _parsed_object(raw: bytes, place: str, strict: bool, counts: Counter[str]) -> Document:
    try:
        parsed = json.loads(raw.decode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise ValueError(f"JSON in {place} is malformed: {error}; expected one object.") from None
    parsed = parsed if isinstance(parsed, dict) else {}
    doc_id, title, text = parsed.get("_id"), parsed.get("title") or "", parsed.get("text")
    if not (isinstance(doc_id, str) and isinstance(text, str) and isinstance(title, str)):
        raise ValueError(
            f"Document in {place} has the keys {', '.join(parsed) or 'of no object'}; expected "
            "strings under '_id' and 'text', and under 'title' if it is there."
        )
    whole = f"{title} {text}".strip()
    if is_broken(doc_id + whole):
        if strict:
            raise broken_text_error(place, "broken UTF-8 or half a surrogate pair")
        counts["broken_utf8_lines_replaced"] += 1
    return _checked(repaired(doc_id), repaired(whole), place)


def _checked(doc_id: str, text: str, place: str) -> Document:
    if not is_id(doc_id):
        raise ValueError(
            f"Document in {place} has the id {doc_id!r:.60}; expected one without white space, "
            "which parts the columns of a run."
        )
    return Document(doc_id, text)
