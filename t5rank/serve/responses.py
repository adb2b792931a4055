"""Answers in JSON."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response


def as_json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer whose body is a Struct, or anything else that JSON can say."""
    body = msgspec.json.encode(value)
    return Response(body, status, headers, media_type="application/json")
