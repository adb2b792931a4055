"""Reads a request's body, within limits of size and time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from t5rank.serve.access import client_of
from t5rank.serve.departure import departure, unless_gone
from t5rank.serve.encodings import decoded, encoding_of
from t5rank.serve.errors import Refusal, invalid
from t5rank.serve.settings import ServerSettings
from t5rank.serve.workers import Workers

_READ = 4  # times the limit is read and thrown away: clients listen when they have sent
_MOST_HELD = 32  # times the limit is held, of all bodies together
_TOO_MANY = "Server is reading too many requests; expected fewer. Try again later."
_CLOSE = {"Connection": "close"}


class Disconnected(Exception):
    """The client left before its request was whole."""


class Bodies:
    """Reads bodies, and counts their bytes until the requests are answered.

    Attributes:
      held: bytes of all bodies.
    """

    def __init__(self, settings: ServerSettings, workers: Workers):
        self.held = 0
        self._workers = workers
        self._limit = settings.max_body_bytes
        self._timeout = settings.body_timeout

    @contextlib.asynccontextmanager
    async def read(self, scope: Scope, receive: Receive) -> AsyncIterator[bytearray]:
        """The whole body of a request, which counts as held until the context ends.

        Raises:
          Refusal: the body is too large (413), comes too slowly (408), or has an encoding that is
            unknown (415) or wrong (400); or too many bodies are held (429).
          Disconnected: the client left before the body was there.
          ClientGone: it left while the body was being decoded.
        """
        headers = Headers(scope=scope)
        encoding = encoding_of(headers)
        length = int(headers.get("content-length", "0"))
        if length > _READ * self._limit:
            raise _too_large(self._limit)
        body = bytearray()
        try:
            await self._read_in_time(receive, body)
            if encoding:
                async with departure(receive) as gone:
                    body = await unless_gone(self._decoded(body, encoding, scope), gone)
            yield body
        finally:
            self.held -= len(body)

    async def _decoded(self, body: bytearray, encoding: str, scope: Scope) -> bytearray:
        self._hold(self._limit)
        try:
            task = decoded(body, encoding, self._limit)
            result = await self._workers.run(task, len(body), client_of(scope))
        finally:
            self.held -= self._limit
        if len(result) > self._limit:
            raise _too_large(self._limit)
        self.held += len(result) - len(body)
        return result

    def _hold(self, size: int) -> None:
        if self.held + size > _MOST_HELD * self._limit:
            raise Refusal(429, "overloaded", _TOO_MANY, {**_CLOSE, "Retry-After": "1"})
        self.held += size

    async def _read_in_time(self, receive: Receive, body: bytearray) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._read(receive, body)
        except TimeoutError:
            message = f"Body has not come within {self._timeout:g} s; expected all of it."
            raise Refusal(408, "timeout", message, _CLOSE) from None

    async def _read(self, receive: Receive, body: bytearray) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            size += len(part)
            more = message.get("more_body", False)
            if size > _READ * self._limit:
                raise _too_large(self._limit)
            if size <= self._limit:
                self._hold(len(part))
                body += part
        if size > self._limit:
            raise _too_large(self._limit)
        if not size:
            raise invalid("Body has 0 bytes; expected a JSON object.")


def _too_large(limit: int) -> Refusal:
    message = f"Body has more than {limit:,} bytes; expected fewer. Send fewer documents at a time."
    return Refusal(413, "too_large", message, _CLOSE)
