"""Every answer leaves a usable connection, or says that the connection closes."""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_WAIT = 1.0  # seconds in which the rest of a refused body may come before the answer
_LINGER = 2.0  # seconds in which it is thrown away after the answer, so that the client reads that


class Connections:
    """Reads the rest of a request before it is answered, or says `Connection: close`.

    Otherwise a client or a proxy would write its next request behind a body that nobody reads.

    Args:
      app: what answers.
      is_ending: whether the server is shutting down, so that every answer closes.
    """

    def __init__(self, app: ASGIApp, is_ending: Callable[[], bool]):
        self._app = app
        self._is_ending = is_ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if self._is_ending():
                    headers["Connection"] = "close"
                closes = headers.get("connection", "").lower() == "close"
                if not body.is_whole and not closes and not await body.read_rest(_WAIT):
                    headers["Connection"] = "close"
            elif not body.is_whole and not message.get("more_body"):
                await send({**message, "more_body": True})
                await body.read_rest(_LINGER)
                message = {"type": "http.response.body"}
            await send(message)

        await self._app(scope, body.receive, sending)


class _Body:
    """A request's body.

    Attributes:
      is_whole: whether all of it has come, or the client has left.
    """

    def __init__(self, scope: Scope, receive: Receive):
        headers = Headers(scope=scope)
        self._receive = receive
        self._waits_for_us = "expect" in headers  # a client that sends nothing until it is asked
        length = headers.get("content-length", "0")
        self.is_whole = "transfer-encoding" not in headers and not length.strip("0")

    async def receive(self) -> Message:
        self._waits_for_us = False
        message = await self._receive()
        self.is_whole = self.is_whole or not message.get("more_body")
        return message

    async def read_rest(self, seconds: float) -> bool:
        """Throws away what still comes; returns whether all of it came in time."""
        if self._waits_for_us:
            return False
        try:
            async with asyncio.timeout(seconds):
                while not self.is_whole:
                    await self.receive()
        except (TimeoutError, asyncio.CancelledError):  # the latter where the server ends
            return False
        return True
