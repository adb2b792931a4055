r"""Rows of one column of a large columnar JSON file, read in bounded memory.

The file is one object of columns, each an object keyed by row: `{"query": {"0": ..., ...}, ...}`.
The standard library's `json` parses the value of a row, from a buffer that is refilled as the file
is read. A stream parser such as ijson is faster but not exact: its C backend silently turns the
escape "\ud800" without its second half into "?", or merges it with the next character.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from t5rank.data.files import PathLike, open_binary

_CHUNK_BYTES = 1 << 18
# A longer value is no row but a string that never ends; the limit keeps memory bounded.
_MAX_VALUE_CHARACTERS = 1 << 26
# The end of the buffer may cut a token so that `json` misreads it; the longest is "-Infinity".
_MARGIN = 16


def read_column(path: PathLike, column: str) -> Iterator[tuple[str, Any]]:
    """Yields (row key, value) of one column, in file order, and skips the rest of the file.

    Bytes that are not UTF-8 become surrogates (see `t5rank.data.files.is_broken`).

    Args:
      path: a plain or gzip file.
      column: the column's name. A file without it yields nothing.

    Raises:
      ValueError: the JSON is malformed or truncated. The message names file, byte, column and the
        last row.
    """
    with open_binary(path) as file:
        text = _JsonText(file, path)
        for name in text.members():
            if text.peek() != "{":
                text.value()
                continue
            for key in text.members():
                text.place = f"column '{name}', row '{key}'"
                value = text.value()
                if name == column:
                    yield key, value
        if text.peek():
            raise text.error("more text after the object")


class _JsonText:
    """A moving window over JSON text: `at` is the next character to read."""

    def __init__(self, file: BinaryIO, path: PathLike):
        self._file, self._path = file, path
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._parse = json.JSONDecoder().raw_decode
        self._text, self._at, self._bytes, self._ended = "", 0, 0, False
        self.place = "the start"

    def members(self) -> Iterator[str]:
        """The keys of the object that comes next; the caller reads the value of each."""
        self._expect("{")
        if self.peek() == "}":
            self._expect("}")
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self.error(f"the key {key!r:.60}")
            self._expect(":")
            yield key
            if self._expect(",}") == "}":
                return

    def value(self) -> Any:
        """The whole value that comes next."""
        self.peek()
        while True:
            try:
                value, end = self._parse(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self._text) - _MARGIN or error.msg.startswith("Unterminated")
                if self._ended or not cut or len(self._text) - self._at > _MAX_VALUE_CHARACTERS:
                    self._at = error.pos
                    raise self.error(error.msg) from None
            else:
                # A number at the end of the buffer may continue in the next chunk.
                if self._ended or end < len(self._text) - _MARGIN:
                    self._at = end
                    return value
            self._fill()

    def peek(self) -> str:
        """The next character that is not white space, or "" at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in " \t\r\n":
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._fill()

    def error(self, got: str) -> ValueError:
        ahead = len(self._text[self._at :].encode("utf-8", "surrogateescape"))
        ahead += len(self._decoder.getstate()[0])
        end = f"byte {self._bytes - ahead + 1}" if ahead else "the end of the file"
        return ValueError(
            f"File '{self._path}' has malformed or truncated JSON at {end}, after {self.place} "
            f"({got}); expected one object of columns, each an object keyed by row. "
            "Is it the row layout (JSON lines), or an incomplete download?"
        )

    def _expect(self, characters: str) -> str:
        got = self.peek()
        if not got or got not in characters:
            wanted = " or ".join(f"'{character}'" for character in characters)
            raise self.error(f"{got or 'nothing'!r} in place of {wanted}")
        self._at += 1
        return got

    def _fill(self) -> None:
        ahead = self._text[self._at :]
        # The buffer doubles, so that a long value is not parsed again after every small step.
        data = self._file.read(max(_CHUNK_BYTES, len(ahead)))
        self._ended = not data
        self._bytes += len(data)
        self._text, self._at = ahead + self._decoder.decode(data, self._ended), 0
