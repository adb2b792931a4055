"""Reads a request's body, within limits of size and time."""

import asyncio

from starlette.types import Receive, Scope

from t5rank.serve.errors import Refusal, invalid
from t5rank.serve.settings import Settings

_PATIENCE = 4  # so many times the limit is read and thrown away: clients listen when they have sent
_CLOSE = {"Connection": "close"}


class Disconnected(Exception):
    """The client left before its request was whole."""


async def read_body(scope: Scope, receive: Receive, settings: Settings) -> bytearray:
    """The whole body.

    Raises:
      Refusal: it is too large (413), comes too slowly (408), or its length is stated twice (400).
      Disconnected: the client left.
    """
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers and b"content-length" in headers:
        # Servers on the way could take different ends for the body's end.
        raise Refusal(
            400,
            "validation",
            "Request has Content-Length and Transfer-Encoding; expected one.",
            _CLOSE,
        )
    limit = settings.max_body_bytes
    length = int(headers.get(b"content-length", b"0"))
    if length > _PATIENCE * limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(settings.body_timeout):
            return await _read(receive, limit)
    except TimeoutError:
        message = f"Body has not come within {settings.body_timeout:g} s; expected all of it."
        raise Refusal(408, "timeout", message, _CLOSE) from None


async def _read(receive: Receive, limit: int) -> bytearray:
    body, size, more = bytearray(), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        more = message.get("more_body", False)
        if size > _PATIENCE * limit:
            raise _too_large(limit)
        if size <= limit:
            body += part
    if size > limit:
        raise _too_large(limit)
    if not size:
        raise invalid("Body has 0 bytes; expected a JSON object.")
    return body


def _too_large(limit: int) -> Refusal:
    message = f"Body has more than {limit:,} bytes; expected fewer. Send fewer documents at a time."
    return Refusal(413, "too_large", message, _CLOSE)
