"""Bodies that came compressed."""

import zlib

from starlette.datastructures import Headers

from t5rank.serve.errors import Refusal, invalid
from t5rank.serve.workers import Task

_NONE = ("", "identity")
_GZIP = ("gzip", "x-gzip")
_PART = 1 << 20  # bytes that are made at once


def encoding_of(headers: Headers) -> str:
    """The encoding of a body: gzip, deflate, or nothing.

    Raises:
      Refusal: it is another one, or several.
    """
    name = headers.get("content-encoding", "").strip().lower()
    if name in _NONE:
        return ""
    if name not in (*_GZIP, "deflate"):
        message = f"Body has the encoding '{name[:80]}'; expected gzip, deflate or none."
        raise Refusal(415, "encoding", message, {"Accept-Encoding": "gzip, deflate"})
    return "gzip" if name in _GZIP else name


def decoded(data: bytes | bytearray, encoding: str, limit: int) -> Task[bytearray]:
    """A task that makes the bytes, and stops at the first beyond the limit.

    Raises:
      Refusal: the data are damaged or end early. More bytes than the limit are no error here.
    """
    result = bytearray()
    try:
        while data and len(result) <= limit:
            stream = zlib.decompressobj(_window(data, encoding))
            while not stream.eof and len(result) <= limit:
                part = stream.decompress(data, _PART)
                data = stream.unconsumed_tail
                result += part
                if not part and not data and not stream.eof:
                    raise invalid(f"Body has {encoding} that ends early; expected all of it.")
                yield len(part)
            data = stream.unused_data if encoding == "gzip" else b""  # gzip may have more members
    except zlib.error as error:
        raise invalid(f"Body has no valid {encoding}: {error}.") from error
    return result


def _window(data: bytes | bytearray, encoding: str) -> int:
    """zlib's word for the format. What is called deflate has zlib's two bytes before it, or not."""
    if encoding == "gzip":
        return 16 + zlib.MAX_WBITS
    has_header = len(data) > 1 and data[0] & 15 == 8 and not (data[0] << 8 | data[1]) % 31
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
