"""Clients that leave before they are answered."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


class ClientGone(Exception):
    """The client did not wait for its answer."""


@contextlib.asynccontextmanager
async def departure(receive: Receive) -> AsyncIterator[asyncio.Event]:
    """An event that is set when the client leaves; its body must have been read."""
    gone = asyncio.Event()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    task = asyncio.create_task(watch())
    try:
        yield gone
    finally:
        task.cancel()


async def unless_gone(running: Coroutine[Any, Any, T], gone: asyncio.Event) -> T:
    """What a coroutine gives; it is cancelled when the client leaves.

    Raises:
      ClientGone: the client has left.
    """
    task, left = asyncio.ensure_future(running), asyncio.ensure_future(gone.wait())
    try:
        await asyncio.wait([task, left], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        left.cancel()
