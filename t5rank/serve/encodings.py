"""Compressed bodies."""

import zlib

from starlette.datastructures import Headers

from t5rank.serve.errors import Refusal, invalid
from t5rank.serve.workers import Task

_NONE = ("", "identity")
_GZIP = ("gzip", "x-gzip")
_PART = 1 << 18  # bytes that are decoded without a break
_TAKEN = 1 << 12  # bytes that are given to zlib at once
_MEMBER = 1 << 10  # bytes that take as long as the start of a gzip member


def encoding_of(headers: Headers) -> str:
    """The encoding of a body: gzip, deflate, or nothing.

    Raises:
      Refusal: the body has another encoding, or several.
    """
    name = headers.get("content-encoding", "").strip().lower()
    if name in _NONE:
        return ""
    if name not in (*_GZIP, "deflate"):
        message = f"Body has the encoding '{name[:80]}'; expected gzip, deflate or none."
        raise Refusal(415, "encoding", message, {"Accept-Encoding": "gzip, deflate"})
    return "gzip" if name in _GZIP else name


def decoded(data: bytes | bytearray, encoding: str, limit: int) -> Task[bytearray]:
    """A task that decodes a body, and stops once it has more bytes than the limit.

    Raises:
      Refusal: the data are damaged or end early. Too many bytes are no error here.
    """
    result, taken, done = bytearray(), 0, 0
    stream = zlib.decompressobj(_window(data, encoding))
    try:
        while len(result) <= limit:
            if stream.eof and (encoding != "gzip" or taken == len(data)):
                break
            if stream.eof:  # gzip may have more members
                stream = zlib.decompressobj(_window(data, encoding))
            some = data[taken : taken + _TAKEN]  # few: a member that ends copies what is left
            part = stream.decompress(some, _PART)
            used = len(some) - len(stream.unconsumed_tail) - len(stream.unused_data)
            if not used and not part and not stream.eof:
                raise invalid(f"Body has {encoding} that ends early; expected all of it.")
            taken += used
            result += part
            done += used + len(part) + _MEMBER * stream.eof
            if done > _PART:
                yield done
                done = 0
    except zlib.error as error:
        raise invalid(f"Body has no valid {encoding}: {error}.") from error
    return result


def _window(data: bytes | bytearray, encoding: str) -> int:
    """zlib's number for the format. A deflate stream may begin with zlib's two bytes, or not."""
    if encoding == "gzip":
        return 16 + zlib.MAX_WBITS
    has_header = len(data) > 1 and data[0] & 15 == 8 and not (data[0] << 8 | data[1]) % 31
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
