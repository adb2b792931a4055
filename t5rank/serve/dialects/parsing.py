"""Parses a body into the request of its dialect."""

from typing import Any

import msgspec
from msgspec import Struct

from t5rank.serve.dialects.common import ParsedRequest
from t5rank.serve.dialects.registry import dialect_of
from t5rank.serve.errors import invalid


class Parsed(Struct):
    """A request and the name of its dialect."""

    name: str
    request: ParsedRequest


def parse(path: str, body: bytes | bytearray) -> Parsed:
    """The request in the body.

    Numbers and booleans may be strings, and booleans may be 0 and 1, as some clients send them.

    Raises:
      Refusal: the body is no JSON, or no request of its dialect.
    """
    fields = _json_object(body)
    dialect = dialect_of(path, {key for key, value in fields.items() if value is not None})
    names = dialect.request.__struct_encode_fields__
    known = {name: _as_integer(fields[name]) for name in names if name in fields}
    try:
        request = msgspec.convert(known, dialect.request, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(f"Body (read as {dialect.name}'s) has an error: {error}.") from error
    return Parsed(dialect.name, request)


def _json_object(body: bytes | bytearray) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"Body has no JSON: {error}; expected an object in UTF-8.") from error
    except RecursionError as error:
        raise invalid("Body has too many nested brackets; expected few.") from error
    if not isinstance(fields, dict):
        raise invalid(f"Body has a JSON {type(fields).__name__}; expected an object.")
    return fields


def _as_integer(value: Any) -> Any:
    """3 for 3.0, which are the same in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
