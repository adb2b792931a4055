"""Answers in JSON."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response


def as_json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON.

    Args:
      value: a Struct, or anything else that msgspec encodes.
      status: of HTTP.
      headers: beside Content-Type.
    """
    body = msgspec.json.encode(value)
    return Response(body, status, headers, media_type="application/json")
