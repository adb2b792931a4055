"""Random access by doc_id to a `doc_id TAB text` file that need not fit into memory."""

from __future__ import annotations

import functools
import io
import mmap
import os
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from t5rank.data.errors import DataError
from t5rank.data.files import (
    UTF8_BOM,
    PathLike,
    check_regular,
    decode_line,
    fingerprint,
    location,
    open_binary,
)
from t5rank.data.line_index import lines_with_progress

_BLOCK_LINES = 1 << 17


class Collection:
    r"""The texts of a TSV file by doc_id: `collection["7067032"]`.

    One pass over the file notes the id and the place of each line, which takes about 30 bytes a
    line for MS MARCO's 8.8M passages. The texts stay in the file, which is memory-mapped. A text is
    what follows the first tab of a line, and may be blank.

    Args:
      path: an uncompressed file of `doc_id TAB text` lines; blank lines are left out.
      strict: whether broken UTF-8 and an id that comes twice are errors. If not, broken bytes
        become U+FFFD, and the first line of an id is kept.

    Attributes:
      repaired: counts of what was repaired when the file was opened, under the names of
        `t5rank.data.ranked_list`. Repairs of a text are counted by `text`.

    Raises:
      ValueError: the file is compressed, empty or a pipe, a line has no tab or no id, or what
        `strict` refuses. The message names file and line.
      KeyError: on access, there is no such document.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "collection.tsv")
    ...     _ = path.write_text("d2\ta text\nd1\tanother\n")
    ...     with Collection(path) as collection:
    ...         len(collection), "d3" in collection, collection["d1"]
    (2, False, 'another')
    """

    def __init__(self, path: PathLike, *, strict: bool = True):
        self.path = path
        self.repaired: Counter[str] = Counter()
        self._strict = strict
        check_regular(path, "documents are read in any order")
        with open_binary(path) as file:
            self._check_mappable(file)
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            ids, starts = _index(path, strict, self.repaired)
        order = np.argsort(ids, kind="stable")
        self._ids, self._starts = ids[order], starts[order]
        self._keep_first()

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"file '{self.path}'"

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, doc_id: str) -> bool:
        return self._find(doc_id) is not None

    def __getitem__(self, doc_id: str) -> str:
        return self.text(doc_id)

    def text(self, doc_id: str, counts: Counter[str] | None = None) -> str:
        """The text of a document; what is repaired in it is added to `counts`.

        Raises:
          KeyError: there is no such document.
        """
        found = self._find(doc_id)
        if found is None:
            raise KeyError(f"Document '{doc_id}' is not in {self.name}.")
        start = int(self._starts[found])
        raw = self._line(start).partition(b"\t")[2]
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:  # only now does anyone need the number of the line
            place = location(self.path, self._line_number(start))
            return decode_line(raw, place=place, strict=self._strict, counts=counts)

    def doc_ids(self) -> Iterator[str]:
        """All ids, sorted by their bytes."""
        return (doc_id.decode("utf-8", "replace") for doc_id in self._ids)

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; texts can no longer be read."""
        self._map.close()

    def _find(self, doc_id: str) -> int | None:
        key = doc_id.encode("utf-8", "surrogatepass")
        # A key longer than the ids is cut: numpy would widen a copy of all ids to compare it.
        at = int(self._ids.searchsorted(np.array(key, self._ids.dtype)))
        return at if at < len(self._ids) and self._ids[at] == key else None

    def _line(self, start: int) -> bytes:
        end = self._map.find(b"\n", start)
        line = self._map[start:] if end < 0 else self._map[start:end]
        return line.removesuffix(b"\r")

    def _line_number(self, start: int) -> int:
        step = 1 << 24
        blocks = (self._map[at : min(at + step, start)] for at in range(0, start, step))
        return 1 + sum(block.count(b"\n") for block in blocks)

    def _check_mappable(self, file) -> None:
        if not isinstance(file.raw, io.FileIO):
            raise ValueError(
                f"File '{self.path}' is gzip-compressed; expected plain text, because documents "
                "are read in any order. Decompress it with gunzip."
            )
        if not file.peek(1):
            raise ValueError(f"File '{self.path}' is empty; expected doc_id TAB text lines.")

    def _keep_first(self) -> None:
        """Keeps the first line of each id; lines of one id stand together now, in file order.

        Raises:
          DataError: an id has several lines, and the collection is strict.
        """
        same = np.flatnonzero(self._ids[1:] == self._ids[:-1])
        if same.size and self._strict:
            doc_id = self._ids[same[0]].decode("utf-8", "replace")
            first, again = (self._line_number(int(self._starts[same[0] + i])) for i in (0, 1))
            raise DataError(
                f"Document '{doc_id}' of line {first} is again in {location(self.path, again)}; "
                "expected each id once.",
                "strict",
                "keep the first",
            )
        if same.size:
            self._ids = np.delete(self._ids, same + 1)
            self._starts = np.delete(self._starts, same + 1)
            self.repaired["duplicate_documents_merged"] += same.size


def _index(path: PathLike, strict: bool, counts: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
    """The ids as fixed-width bytes and the byte offsets of their lines, both in file order."""
    id_blocks, start_blocks = [], []
    ids: list[bytes] = []
    starts: list[int] = []
    for doc_id, start in _ids_and_starts(lines_with_progress(path), path, strict, counts):
        ids.append(doc_id)
        starts.append(start)
        if len(ids) == _BLOCK_LINES:
            id_blocks.append(np.array(ids, np.bytes_))
            start_blocks.append(np.array(starts, np.int64))
            ids, starts = [], []
    id_blocks.append(np.array(ids, np.bytes_))
    start_blocks.append(np.array(starts, np.int64))
    return np.concatenate(id_blocks), np.concatenate(start_blocks)


def _ids_and_starts(
    lines: Iterable[bytes], path: PathLike, strict: bool, counts: Counter[str]
) -> Iterator[tuple[bytes, int]]:
    start = 0
    for number, line in enumerate(lines, start=1):
        doc_id, tab, _ = line.partition(b"\t")
        if number == 1:
            doc_id = doc_id.removeprefix(UTF8_BOM)
        if not line.isspace():
            if not tab or doc_id.split() != [doc_id]:
                raise ValueError(
                    f"Line {number} of file '{path}' has the start {line[:40]!r}; "
                    "expected doc_id TAB text, the id without white space."
                )
            if not doc_id.isascii():
                place = location(path, number)
                doc_id = decode_line(doc_id, place=place, strict=strict, counts=counts).encode()
            yield doc_id, start
        start += len(line)


def shared_collection(path: PathLike, strict: bool) -> Collection:
    """A collection that several splits and epochs read; it is opened again when its file changes.

    Raises:
      ValueError: as `Collection`.
    """
    if not os.path.isfile(path):
        return Collection(path, strict=strict)  # raises an error that says so
    return _opened(os.path.abspath(path), strict, fingerprint([path]))


@functools.lru_cache(maxsize=8)
def _opened(path: str, strict: bool, state: str) -> Collection:
    del state  # it is only a part of the key
    return Collection(path, strict=strict)
