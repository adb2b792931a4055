"""Plain and gzip files as bytes, lines and text; errors name the file and the line."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TextIO

from t5rank.data.errors import DataError
from t5rank.process.remote import check_local

PathLike = str | os.PathLike[str]

_GZIP_MAGIC = b"\x1f\x8b"
UTF8_BOM = b"\xef\xbb\xbf"
_BUFFER_BYTES = 1 << 20
_CHECKSUM_BYTES = 1 << 22
_SURROGATES = re.compile("[\ud800-\udfff]")


class _GzipBytes(io.RawIOBase):
    """The bytes of a gzip file; damaged data raise a ValueError that names the file."""

    def __init__(self, raw: io.BufferedReader, path: PathLike):
        self._raw = raw
        self._gzip = gzip.GzipFile(fileobj=raw)
        self._path = path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        try:
            return self._gzip.readinto(buffer)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"File '{self._path}' has truncated or damaged gzip data ({error}); "
                "expected a complete gzip file. Copy or download it again."
            ) from error

    def close(self) -> None:
        self._raw.close()
        super().close()


def open_binary(path: PathLike) -> io.BufferedReader:
    """Opens a plain or gzip file for reading bytes; the first two bytes tell gzip.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the path is remote; while reading, gzip data are truncated or damaged.
    """
    check_local(path)
    try:
        raw: io.BufferedReader = io.BufferedReader(io.FileIO(path), _BUFFER_BYTES)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"File '{path}' does not exist; expected a plain or gzip file. Check the path."
        ) from None
    if raw.peek(2)[:2] == _GZIP_MAGIC:
        return io.BufferedReader(_GzipBytes(raw, path), _BUFFER_BYTES)
    return raw


def check_regular(path: PathLike, why: str) -> None:
    """Raises ValueError for a pipe, a terminal or a remote path where a file is read in any order.

    Args:
      path: the file; one that does not exist passes.
      why: why that needs a file on disk, as the words after "because".
    """
    check_local(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise ValueError(
            f"File '{path}' is a pipe or a terminal; expected a file on disk, because {why}. "
            "Write what comes through it to a file first."
        )


def open_text_writer(path: PathLike) -> TextIO:
    r"""Opens a file for writing UTF-8 text with "\n" line ends; gzip if `path` ends in `.gz`."""
    check_local(path)
    if os.fspath(path).endswith(".gz"):
        return gzip.open(path, "wt", encoding="utf-8", newline="\n")
    return open(path, "w", encoding="utf-8", newline="\n")


def read_lines(path: PathLike) -> Iterator[tuple[int, bytes]]:
    r"""Yields (line number from 1, line without its end) of each line that is not blank.

    A line ends at "\n" or "\r\n" only: a text may hold other characters that Unicode calls line
    breaks.
    """
    with open_binary(path) as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                line = line.removeprefix(UTF8_BOM)
            line = line.removesuffix(b"\n").removesuffix(b"\r")
            if line and not line.isspace():
                yield number, line


def checksum(path: PathLike, kind: str = "sha256") -> str:
    """The hexadecimal digest of a file; `kind` is hashlib's name of it. Shows its progress."""
    from tqdm import tqdm  # late: every command reads this module

    digest = hashlib.new(kind)
    with (
        open(path, "rb", buffering=0) as file,
        tqdm(
            desc=f"checksum of {os.path.basename(path)}",
            total=os.path.getsize(path),
            unit="B",
            unit_scale=True,
            leave=False,
            disable=None,
        ) as progress,
    ):
        while chunk := file.read(_CHECKSUM_BYTES):
            digest.update(chunk)
            progress.update(len(chunk))
    return digest.hexdigest()


def location(path: PathLike, line: int) -> str:
    """The place of a line as every error names it.

    >>> location("queries.tsv", 12)
    "file 'queries.tsv', line 12"
    """
    return f"file '{path}', line {line}"


def is_broken(text: str) -> bool:
    r"""Whether text holds surrogates, which are not characters.

    A surrogate comes from a byte that is not UTF-8 (read with `surrogateescape`), or from a JSON
    escape such as "\ud800" without its second half.

    >>> is_broken("caf" + chr(0xE9)), is_broken(b"caf\xe9".decode("utf-8", "surrogateescape"))
    (False, True)
    """
    return not text.isascii() and _SURROGATES.search(text) is not None


def repaired(text: str) -> str:
    """Text with each surrogate replaced by U+FFFD, the replacement character."""
    return _SURROGATES.sub("\ufffd", text)


def broken_text_error(place: str, detail: str = "broken UTF-8") -> ValueError:
    """The error for broken text at `place` ("file 'x', line 12")."""
    return DataError(
        f"{capitalized(place)} has {detail}; expected valid UTF-8.",
        "strict",
        "replace what is broken by U+FFFD",
    )


def decode_line(
    raw: bytes, *, place: str, strict: bool = True, counts: Counter[str] | None = None
) -> str:
    """Decodes one line as UTF-8.

    Broken UTF-8 is a ValueError if `strict`. Otherwise U+FFFD replaces it, and the line is counted
    as `broken_utf8_lines_replaced`.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if strict:
            detail = f"broken UTF-8 (byte {raw[error.start]:#04x} at byte {error.start + 1})"
            raise broken_text_error(place, detail) from None
    if counts is not None:
        counts["broken_utf8_lines_replaced"] += 1
    return raw.decode("utf-8", "replace")


def capitalized(text: str) -> str:
    """The text with its first letter in upper case and the rest unchanged.

    >>> capitalized("file 'A.tsv', line 3")
    "File 'A.tsv', line 3"
    """
    return text[:1].upper() + text[1:]


def shards(folder: PathLike, extension: str) -> list[str]:
    """The files `NAME{extension}-00000-of-0000n` of a folder, all n of them, in order.

    A shard is finished when T5X has written a file with the shard's name and `.COMPLETED` after it.

    Raises:
      ValueError: there are no shards, their names or numbers differ, or one is missing or not
        finished.
    """
    pattern = re.compile(rf"(.+{re.escape(extension)})-(\d{{5}})-of-(\d{{5}})")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    found = {name: match for name in names if (match := pattern.fullmatch(name))}
    kinds = sorted({(match[1], int(match[3])) for match in found.values()})
    if len(kinds) != 1:
        raise ValueError(
            f"Folder '{folder}' has shards of {len(kinds)} kinds; expected files of one name, "
            f"such as NAME{extension}-00000-of-00002. Found: {kinds}."
        )
    ((name, number),) = kinds
    expected = [f"{name}-{i:05}-of-{number:05}" for i in range(number)]
    unfinished = [n for n in expected if n not in found or f"{n}.COMPLETED" not in names]
    if unfinished:
        raise ValueError(
            f"Shard '{unfinished[0]}' of folder '{folder}' is missing or not finished; expected "
            f"all {number}."
        )
    return [os.path.join(folder, name) for name in expected]


def fingerprint(files: Iterable[PathLike], *values: object) -> str:
    """A short text that changes with the values, and with the files' paths, sizes and times."""
    parts = [(os.path.abspath(f), os.stat(f).st_size, os.stat(f).st_mtime_ns) for f in files]
    return hashlib.sha256(repr((parts, values)).encode()).hexdigest()[:16]
