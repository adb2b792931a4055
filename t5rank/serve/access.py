"""The id of each request, and its line in the log."""

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Collection, Sequence
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from t5rank.serve.errors import Refusal
from t5rank.serve.metrics import Metrics

REQUEST_ID = "x-request-id"
PROBES = frozenset(
    ("/health", "/ready", "/ping", "/metrics", "/.well-known/live", "/.well-known/ready")
)
_LOG = logging.getLogger("t5rank.access")
KEY = "t5rank.key"  # in a scope: the digest of the accepted key
_CLOSE = {"Connection": "close"}
_TWO_LENGTHS = Refusal(
    400,
    "validation",
    "Request has Content-Length and Transfer-Encoding; expected one.",
    _CLOSE,
)
_ENDING = Refusal(
    503,
    "ending",
    "Server is shutting down; expected a running one. Send the request again.",
    _CLOSE,
)
_MOST_LETTERS = 200  # of a text that a client made up, in a log or a message
_VALID_ID = re.compile(r"[\x21-\x7e]{1,128}")


def record(scope: Scope) -> dict[str, Any]:
    """What is known of a request so far; it becomes its line in the log."""
    return scope.setdefault("t5rank", {})


def client_of(scope: Scope) -> tuple[str, bytes]:
    """The client that gets a fair share: its address, and the digest of the accepted key."""
    host = (scope.get("client") or ("", 0))[0]
    return host, scope.get(KEY, b"")


def shortened(text: str) -> str:
    """The beginning of a text that a client made up."""
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."


class AccessLog:
    """Gives each request an id, counts it, and logs one JSON object a request.

    Args:
      app: what answers.
      metrics: counts the requests.
      paths: are counted by name; all others together.
      quiet: paths that are counted but not logged.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        paths: Sequence[str],
        quiet: Collection[str] = (),
    ):
        self.app = app
        self._quiet = quiet
        self._metrics = metrics
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        entry = record(scope)
        entry["request_id"] = _request_id(Headers(scope=scope))
        try:
            with self._metrics.in_progress.track_inprogress():
                app = _TWO_LENGTHS.response() if _has_two_lengths(scope) else self.app
                await app(scope, receive, _noting(send, entry))
        except asyncio.CancelledError:  # by the server, when a drain has taken too long
            if "status" not in entry:
                await _ENDING.response()(scope, receive, _noting(send, entry))
        except Exception:
            entry["status"] = 500
            raise
        finally:
            entry.setdefault("status", 499)  # nothing was answered: the client had left
            self._finish(scope, entry, time.perf_counter() - start)

    def _finish(self, scope: Scope, entry: dict[str, Any], seconds: float) -> None:
        path = scope["path"] if scope["path"] in self._paths else "other"
        model, dialect = entry.get("model", ""), entry.get("dialect", "")
        self._metrics.requests.labels(path, dialect, model, entry["status"]).inc()
        if dialect and model:
            self._metrics.seconds.labels(model).observe(seconds)
        if key := entry.get("key"):
            self._metrics.key_requests.labels(key, entry["status"]).inc()
        if scope["path"] in self._quiet:
            return
        client = scope.get("client") or ("", 0)
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "method": shortened(scope["method"]),
            "path": shortened(scope["path"]),
            "client": client[0],
            **entry,
            "seconds": round(seconds, 4),
        }
        _LOG.info("%s", json.dumps(line))


def _has_two_lengths(scope: Scope) -> bool:
    """Then two servers on the way could disagree about where the body ends."""
    return {b"transfer-encoding", b"content-length"} <= {name for name, _ in scope["headers"]}


def _noting(send: Send, entry: dict[str, Any]) -> Send:
    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            entry["status"] = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = entry["request_id"]
            headers["X-Content-Type-Options"] = "nosniff"
        await send(message)

    return noting


def _request_id(headers: Headers) -> str:
    given = headers.get(REQUEST_ID, "")
    return given if _VALID_ID.fullmatch(given) else str(uuid.uuid4())
