"""W3C Trace Context: a request continues the trace of its client.

For a valid `traceparent` the log has the `trace_id`, and the answer has a `traceresponse`, as the
drafts of Level 2 say. Spans are exported where OpenTelemetry is set up (see `spans`).
"""

import re
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from t5rank.serve.access import PROBES, record
from t5rank.serve.spans import Spans

TRACEPARENT = "traceparent"
TRACERESPONSE = "traceresponse"
_FORMAT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Parent(NamedTuple):
    """What a `traceparent` says, in hexadecimal digits."""

    trace_id: str
    span_id: str
    flags: str


class Tracing:
    """Continues traces.

    Args:
      app: what answers.
      spans: exports spans; None where nothing does.
      paths: give their names to spans; other paths do not.
    """

    def __init__(self, app: ASGIApp, spans: Spans | None, paths: Sequence[str]):
        self.app = app
        self._spans = spans
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self.app(scope, receive, send)
        elif self._spans is not None:
            await self._with_span(self._spans, scope, receive, send)
        elif (parent := parse(Headers(scope=scope).getlist(TRACEPARENT))) is not None:
            await self._answered(
                parent._replace(span_id=secrets.token_hex(8)), scope, receive, send
            )
        else:
            await self.app(scope, receive, send)

    async def _with_span(self, spans: Spans, scope: Scope, receive: Receive, send: Send) -> None:
        name = f"{scope['method']} {scope['path']}" if scope["path"] in self._paths else "other"
        with spans.span(name, dict(Headers(scope=scope)), record(scope)) as (trace, span, flags):
            await self._answered(Parent(trace, span, flags), scope, receive, send)

    async def _answered(self, ours: Parent, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers; the span of `ours` is the request's own."""
        entry = record(scope)
        entry["trace_id"], entry["span_id"] = ours.trace_id, ours.span_id

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[TRACERESPONSE] = "-".join(("00", *ours))
            await send(message)

        await self.app(scope, receive, telling)


def parse(values: Sequence[str]) -> Parent | None:
    """The parent that a request's `traceparent` headers name; None where there is no valid one.

    >>> parse(["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]).span_id
    'b7ad6b7169203331'
    >>> parse(["00-00000000000000000000000000000000-b7ad6b7169203331-01"])
    """
    match = _FORMAT.fullmatch(values[0].strip()) if len(values) == 1 else None
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    is_known = version != "ff" and (version != "00" or rest is None)
    if not is_known or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Parent(trace_id, span_id, flags)
