"""A load generator for rerank servers: bodies are made before, latency counts from the schedule."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from t5rank.text.prompts import PairEncoder

_PATIENCE = 400.0  # seconds until a request is given up


class Request(NamedTuple):
    """One request, ready to be sent.

    Attributes:
      lists: its query and documents.
      lengths: tokens of each pair.
      wire: its bytes.
    """

    lists: tuple[str, tuple[str, ...]]
    lengths: np.ndarray
    wire: bytes

    @property
    def size(self) -> int:
        """Documents."""
        return len(self.lengths)


class Reply(NamedTuple):
    """What became of a request.

    Attributes:
      request: that was sent.
      status: of HTTP; 0 where there was no answer.
      body: of the answer.
      seconds: from when it was to be sent to the end of its answer.
      late: seconds from when it was to be sent to when it was.
      end: when the answer was there, in seconds from the start.
    """

    request: Request
    status: int
    body: bytes
    seconds: float
    late: float
    end: float


def make_request(encoder: PairEncoder, query: str, documents: Sequence[str], **more) -> Request:
    """A request in Cohere's words."""
    body = json.dumps({"query": query, "documents": documents, **more}).encode()
    lengths = np.array([len(pair.tokens) for pair in encoder.encode(query, documents)])
    return Request((query, tuple(documents)), lengths, _wire("POST", "/rerank", body))


def get(path: str) -> Request:
    """A request without a body."""
    return Request(("", ()), np.zeros(0, np.int64), _wire("GET", path, b""))


def _wire(method: str, path: str, body: bytes) -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def arrivals(count: int, seconds: float, seed: int = 0) -> np.ndarray:
    """`[count]` times of a Poisson process that has so many in `seconds`, the first at 0."""
    times = np.sort(np.random.default_rng(seed).uniform(0, seconds, count))
    return times - times[0]


async def open_loop(port: int, requests: Sequence[Request], times: Sequence[float]) -> list[Reply]:
    """Sends each request at its time, whatever became of those before."""
    loop = asyncio.get_running_loop()
    start, tasks = loop.time(), []
    for request, time in zip(requests, times, strict=True):
        await asyncio.sleep(start + time - loop.time())
        tasks.append(asyncio.create_task(_reply(port, request, start, start + time)))
    return list(await asyncio.gather(*tasks))


async def closed_loop(port: int, requests: Sequence[Request], concurrency: int) -> list[Reply]:
    """Sends a request whenever fewer than `concurrency` are without an answer."""
    loop = asyncio.get_running_loop()
    start, waiting = loop.time(), iter(requests)

    async def client(requests: Iterator[Request]) -> list[Reply]:
        return [await _reply(port, request, start, loop.time()) for request in requests]

    replies = await asyncio.gather(*(client(waiting) for _ in range(concurrency)))
    return [reply for some in replies for reply in some]


@contextlib.asynccontextmanager
async def probing(port: int, path: str, every: float) -> AsyncIterator[list[Reply]]:
    """Asks for a page again and again, on a schedule; the list has the replies at the end."""
    loop, replies, stop = asyncio.get_running_loop(), list[Reply](), asyncio.Event()
    start, request = loop.time(), get(path)

    async def probe() -> None:
        tasks, time = [], start
        while not stop.is_set():
            tasks.append(asyncio.create_task(_reply(port, request, start, time)))
            time += every
            await asyncio.sleep(time - loop.time())
        replies.extend(await asyncio.gather(*tasks))

    task = asyncio.create_task(probe())
    try:
        yield replies
    finally:
        stop.set()
        await task


async def _reply(port: int, request: Request, start: float, scheduled: float) -> Reply:
    loop = asyncio.get_running_loop()
    sent, status, body = loop.time(), 0, b""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            status, body = await _exchange(port, request.wire)
    end = loop.time()
    return Reply(request, status, body, end - scheduled, sent - scheduled, end - start)


async def _exchange(port: int, wire: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(wire)
        answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split(b" ", 2)[1]), body) if head else (0, b"")
