"""Compressed bodies, beside what Python's gzip and zlib make."""

import asyncio
import gzip
import json
import threading
import zlib

import pytest
from starlette.testclient import TestClient

from t5rank.serve import body as body_module
from t5rank.serve.app import make_app
from t5rank.serve.body import Bodies
from t5rank.serve.departure import ClientGone
from t5rank.serve.encodings import decoded
from t5rank.serve.settings import ServerSettings
from t5rank.serve.workers import Workers, run_here

BODY = json.dumps({"query": "q", "documents": ["a list", "b" * 5000]}).encode()
LIMIT = 10_000


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def post(content: bytes, encoding: str):
    client = TestClient(make_app(ServerSettings({"m": "nowhere"}, max_body_bytes=LIMIT)))
    response = client.post("/rerank", content=content, headers={"Content-Encoding": encoding})
    assert client.app.state.t5rank.bodies.held == 0
    return response


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("GZIP", gzip.compress(BODY, mtime=0)),
        ("x-gzip", gzip.compress(BODY[:9], mtime=0) + gzip.compress(BODY[9:], mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
        ("identity", BODY),
    ],
)
def test_compressed_bodies_are_read(encoding, content):
    assert post(content, encoding).status_code == 503  # read; there is no model here


@pytest.mark.parametrize(
    ("encoding", "content", "status", "message"),
    [
        ("br", BODY, 415, "the encoding 'br'; expected gzip, deflate or none"),
        ("zstd", BODY, 415, "expected gzip"),
        ("gzip, gzip", BODY, 415, "expected gzip"),
        ("gzip", BODY, 400, "no valid gzip"),
        ("gzip", gzip.compress(BODY, mtime=0)[:-9], 400, "ends early"),
        ("deflate", b"\xff" * 9, 400, "no valid deflate"),
        ("gzip", b"", 400, "0 bytes"),
        ("gzip", gzip.compress(b" " * (LIMIT + 1), mtime=0), 413, "more than 10,000 bytes"),
        ("gzip", gzip.compress(b" " * 9_000_000, mtime=0), 413, "more than 10,000 bytes"),
        ("deflate", zlib.compress(b" " * 1_000_000), 413, "more than 10,000 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused(encoding, content, status, message):
    response = post(content, encoding)
    assert (response.status_code, message in response.json()["message"]) == (status, True)


def test_many_members_are_read_in_pieces():
    data = gzip.compress(b"{", mtime=0) + gzip.compress(b"", mtime=0) * 2000
    task = decoded(data, "gzip", LIMIT)
    assert len(list(task)) >= 4
    assert run_here(decoded(data, "gzip", LIMIT)) == b"{"


def test_a_client_that_leaves_ends_the_decoding_of_its_body(monkeypatch):
    begun, closed = asyncio.Event(), threading.Event()

    def endless(data, encoding, limit):
        loop.call_soon_threadsafe(begun.set)
        try:
            while True:
                yield 1
        finally:
            closed.set()

    async def receive():
        if not received:
            received.append(1)
            return {"type": "http.request", "body": b"x", "more_body": False}
        await begun.wait()
        return {"type": "http.disconnect"}

    async def main():
        nonlocal loop
        loop = asyncio.get_running_loop()
        bodies = Bodies(ServerSettings({"m": "nowhere"}), Workers(threads=2))
        scope = {"type": "http", "headers": [(b"content-encoding", b"gzip")]}
        with pytest.raises(ClientGone):
            async with bodies.read(scope, receive):
                pass
        assert await asyncio.to_thread(closed.wait, 30)
        assert bodies.held == 0

    loop, received = None, []
    monkeypatch.setattr(body_module, "decoded", endless)
    asyncio.run(asyncio.wait_for(main(), 60))
