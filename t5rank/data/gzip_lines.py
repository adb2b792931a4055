"""Gzip files whose lines are compressed one by one, so that a line is read by its number.

Such a file is a sequence of gzip members (RFC 1952, section 2.2), one a line, and any program that
reads gzip reads it. The header of each member has an extra field "T5" with the number of bytes of
the member, so that the members are found without decompressing them.
"""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np

from t5rank.data.files import PathLike
from t5rank.data.plain_file import PlainFile

# Magic, deflate, "there is an extra field", no time, no flags, system unknown; then the length of
# the extra field, its name "T5", the length of its value, and the value: the bytes of the member.
_HEADER = struct.Struct("<4s6sH2sHI")
_FIXED = (b"\x1f\x8b\x08\x04", b"\0\0\0\0\0\xff", 8, b"T5", 4)
_TRAILER = struct.Struct("<II")  # checksum and length of the line


def gzip_member(line: bytes, level: int) -> bytes:
    """One line as a gzip member; an empty line makes a file without lines a gzip file.

    Args:
      line: the line, its end included.
      level: zlib's, from 1 to 9.

    >>> import gzip
    >>> gzip.decompress(gzip_member(b"one\\n", 3) + gzip_member(b"two\\n", 3))
    b'one\\ntwo\\n'
    """
    deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(line) + deflate.flush()
    size = _HEADER.size + len(body) + _TRAILER.size
    return _HEADER.pack(*_FIXED, size) + body + _TRAILER.pack(zlib.crc32(line), len(line))


_EMPTY = len(gzip_member(b"", 1))


def is_line_by_line(path: PathLike) -> bool:
    """Whether a file is a gzip file whose first member says its size."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return _member_size(file.read(_HEADER.size)) is not None


class GzipLineIndex:
    """The lines of one such file by their number from 0; eight bytes a line are in memory.

    Raises:
      ValueError: a member does not say its size, or the file ends within one; on access, its data
        are damaged.
    """

    def __init__(self, path: PathLike):
        self.path = path
        self._file = PlainFile(path)
        self._starts = self._found()

    def __len__(self) -> int:
        return len(self._starts) - 1

    def line(self, number: int) -> bytes:
        """A line without its end."""
        start, end = (int(place) for place in self._starts[number : number + 2])
        data = self._file.read(start, end)
        try:
            return zlib.decompress(data, wbits=zlib.MAX_WBITS | 16).rstrip(b"\r\n")
        except zlib.error as error:
            raise self._damaged(start, str(error)) from None

    def line_number(self, number: int) -> int:
        return number + 1

    @property
    def nbytes(self) -> int:
        return self._starts.nbytes

    def _found(self) -> np.ndarray:
        """Where each member starts, and the end of the file."""
        length = os.path.getsize(self._file.path)
        starts, at = [], 0
        while at < length:
            size = _member_size(self._file.read(at, at + _HEADER.size))
            if size is None or at + size > length:
                raise self._damaged(at, "a member is cut short")
            if size > _EMPTY:
                starts.append(at)
            at += size
        return np.array([*starts, length], np.int64)

    def _damaged(self, at: int, what: str) -> ValueError:
        return ValueError(
            f"File '{self._file.path}' has damaged gzip data at byte {at} ({what}); expected a "
            "complete gzip file. Copy or download it again."
        )


def _member_size(header: bytes) -> int | None:
    """How many bytes a member has; None where its header does not say so."""
    if len(header) < _HEADER.size:
        return None
    *fixed, size = _HEADER.unpack(header)
    return size if tuple(fixed) == _FIXED else None
