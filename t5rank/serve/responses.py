"""Answers in JSON."""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import UNSET, Struct
from starlette.responses import Response

_ITEMS = 64  # of a list that are encoded without a break, in which all other threads wait


def as_json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON.

    Args:
      value: a Struct, or anything else that msgspec encodes.
      status: of HTTP.
      headers: beside Content-Type.
    """
    body = b"".join(_pieces(value))
    return Response(body, status, headers, media_type="application/json")


def _pieces(value: object) -> Iterator[bytes]:
    if isinstance(value, list):
        yield b"["
        for start in range(0, len(value), _ITEMS):
            yield b"," if start else b""
            yield msgspec.json.encode(value[start : start + _ITEMS])[1:-1]
        yield b"]"
    elif isinstance(value, Struct) and not value.__struct_config__.omit_defaults:
        before = b"{"
        for field, name in zip(
            value.__struct_fields__, value.__struct_encode_fields__, strict=True
        ):
            if (item := getattr(value, field)) is not UNSET:
                yield before + msgspec.json.encode(name) + b":"
                yield from _pieces(item)
                before = b","
        yield b"}"
    else:
        yield msgspec.json.encode(value)
