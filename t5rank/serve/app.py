"""The ASGI application."""

import asyncio
import contextlib
import functools
import importlib.resources
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from t5rank.serve import access, descriptions, dialects, openapi
from t5rank.serve.body import Bodies, Disconnected
from t5rank.serve.departure import ClientGone, departure, unless_gone
from t5rank.serve.errors import Refusal, invalid
from t5rank.serve.json_size import large_exponents, longest_number, most_values
from t5rank.serve.keys import ApiKeys, Key
from t5rank.serve.metrics import Metrics
from t5rank.serve.models import Models
from t5rank.serve.paths import Paths
from t5rank.serve.plans import AnyWork
from t5rank.serve.responses import as_json
from t5rank.serve.served_model import Scored
from t5rank.serve.settings import ServerSettings
from t5rank.serve.spans import spans_of_environment
from t5rank.serve.times import Times
from t5rank.serve.tracing import TRACERESPONSE, Tracing
from t5rank.serve.workers import Workers, once

T = TypeVar("T")
TRUNCATED = "x-t5rank-truncated"
_LOG = logging.getLogger(__name__)
_KEYS_SECONDS = 1.0  # between looks at the file of API keys
_SMALL = 1 << 14  # bytes; the event loop itself reads and answers such a body
_VALUES = 128  # of JSON, for each document that may be sent
_NUMBER = 40  # letters of a number
_EXPONENTS = 2  # of three digits, for each document that may be sent
_MOST_NAMED = 100  # truncated documents that are named in a header


class State:
    """What the handlers share.

    Attributes:
      settings: of the server.
      models: score.
      metrics: counts.
      keys: the API keys.
      bodies: reads requests.
      spans: exports traces; None where nothing does.
      workers: threads for work that grows with a request.
      draining: whether the server is about to end.
    """

    def __init__(self, settings: ServerSettings, failed: Callable[[Exception], None]):
        self.settings = settings
        self.metrics = Metrics()
        self.workers = Workers()
        self.models = Models(settings, self.workers, self.metrics.observe, failed)
        self.metrics.watch(self.models)
        self.keys = ApiKeys(settings.api_keys, settings.api_keys_file)
        self.bodies = Bodies(settings, self.workers)
        self.spans = spans_of_environment()
        self.draining = False

    def status(self) -> str:
        """`ready`, `loading` or `draining`."""
        return "draining" if self.draining else "loading" if self.models.unready() else "ready"


def make_app(
    settings: ServerSettings, failed: Callable[[Exception], None] = lambda error: None
) -> Starlette:
    """The application; its models begin to load when it starts.

    Args:
      settings: of the server.
      failed: called, by another thread, when a model cannot be loaded.
    """
    state = State(settings, failed)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        state.models.start()
        watch = asyncio.create_task(_watch_keys(state.keys))
        yield
        watch.cancel()
        await asyncio.to_thread(state.models.close)
        if state.spans is not None:
            await asyncio.to_thread(state.spans.close)

    routes = [
        Route("/", _page("page.html"), methods=["GET"]),
        *(Route(path, _Rerank(state)) for path in dialects.PATHS),
        Route("/embed_all", _no_token_vectors, methods=["POST"]),
        *(Route(path, handler, methods=["GET"]) for path, handler in _pages(state).items()),
    ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=_middleware(settings, state, [route.path for route in routes]),
        exception_handlers={Refusal: _refused, HTTPException: _http_error, Exception: _failed},
    )
    app.router.redirect_slashes = False
    app.state.t5rank = state
    return app


def _middleware(settings: ServerSettings, state: State, paths: Sequence[str]) -> list[Middleware]:
    quiet = () if settings.log_probes else access.PROBES
    chain = [
        Middleware(Paths, root=settings.root_path),
        Middleware(access.AccessLog, metrics=state.metrics, paths=paths, quiet=quiet),
        Middleware(Tracing, spans=state.spans, paths=paths),
    ]
    if settings.cors_origins:
        exposed = [TRUNCATED, access.REQUEST_ID, TRACERESPONSE, "retry-after"]
        chain.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=exposed,
            )
        )
    return chain


async def _watch_keys(keys: ApiKeys) -> None:
    """Reads the file of keys again and again: it is small, and may be replaced in any way."""
    while keys.file is not None:
        await asyncio.sleep(_KEYS_SECONDS)
        await asyncio.to_thread(keys.read_anew)


class _Rerank:
    """Answers the rerank APIs. It is an ASGI application, which sees that a client leaves."""

    def __init__(self, state: State):
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise HTTPException(405, headers={"Allow": "POST"})
        try:
            response = await self._answer(scope, receive)
        except Disconnected:
            return
        except ClientGone:
            model = access.record(scope).get("model", "")  # none while its body is parsed
            self._state.metrics.abandoned.labels(model).inc()
            return
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        key = self._state.keys.check(scope)
        scope[access.KEY] = key.digest
        if key.name:
            access.record(scope)["key"] = key.name
        key.admit()
        async with self._state.bodies.read(scope, receive) as body, departure(receive) as gone:
            return await self._scored(scope, body, key, gone)

    async def _scored(
        self, scope: Scope, body: bytearray, key: Key, gone: asyncio.Event
    ) -> Response:
        state, entry = self._state, access.record(scope)
        size = len(body)
        dialect, work = await self._run(
            lambda: _read(scope, body, state.settings), scope, size, gone
        )
        model = state.models.choose(dialect.request.model)
        entry["model"] = model.name
        start = time.perf_counter()
        scored = await model.score(work, gone, access.client_of(scope), size)
        times = Times(time.perf_counter() - start, scored.waited, scored.computed)
        self._count(model.name, work, scored, times, key)
        entry |= _sizes(scored) | times.logged()
        tokens, path = scored.inputs.tokens, scope["path"]
        answer = dialects.answer_of(scored.result, model.name, tokens, path)
        headers = _truncated(scored.inputs.cut) | times.headers()
        size = max(size, scored.result.letters)
        return await self._run(
            lambda: as_json(dialect.request.answer(answer), headers=headers), scope, size, gone
        )

    async def _run(
        self, function: Callable[[], T], scope: Scope, size: int, gone: asyncio.Event
    ) -> T:
        """Calls a function: here if the request is small, otherwise in a worker."""
        if size <= _SMALL:
            return function()
        running = self._state.workers.run(once(function), size, access.client_of(scope))
        return await unless_gone(running, gone)

    def _count(self, model: str, work: AnyWork, scored: Scored, times: Times, key: Key) -> None:
        metrics, tokens = self._state.metrics, scored.inputs.tokens
        key.spend(tokens)
        if key.name:
            metrics.key_tokens.labels(key.name).inc(tokens)
        metrics.request_documents.labels(model).observe(work.documents())
        metrics.request_tokens.labels(model).observe(tokens)
        metrics.tokenize_seconds.labels(model).observe(times.tokenize)
        metrics.documents.labels(model).inc(work.documents())
        metrics.cut_documents.labels(model).inc(len(scored.inputs.cut))
        metrics.queue_seconds.labels(model).observe(scored.waited)


def _read(
    scope: Scope, body: bytearray, settings: ServerSettings
) -> tuple[dialects.Parsed, AnyWork]:
    """Reads a request."""
    if len(body) > _SMALL:
        _check_json(body, settings.max_documents)
    entry = access.record(scope)
    dialect = dialects.parse(scope["path"], body)
    entry["dialect"] = dialect.name
    work = dialect.request.work()
    _check_size(work, settings.max_documents)
    entry["documents"] = work.documents()
    if settings.log_texts:
        entry |= work.logged()
    return dialect, work


def _check_json(body: bytearray, documents: int) -> None:
    """Refuses what takes a parser long: all other threads wait for it."""
    if (count := most_values(body)) > (most := _VALUES * documents):
        message = f"Body has {count:,} JSON values; expected at most {most:,}."
        raise Refusal(413, "too_large", message)
    if (longest := longest_number(body)) > _NUMBER:
        raise invalid(f"Body has a number of {longest:,} letters; expected at most {_NUMBER}.")
    if (count := large_exponents(body)) > (most := _EXPONENTS * documents):
        message = f"Body has {count:,} numbers such as 1e300; expected at most {most:,}."
        raise Refusal(413, "too_large", message)


def _check_size(work: AnyWork, most: int) -> None:
    count = work.documents()
    if count > most:
        message = f"Request has {count:,} documents; expected at most {most:,}."
        raise Refusal(413, "too_large", message)


def _sizes(scored: Scored) -> dict[str, object]:
    return {"tokens": scored.inputs.tokens, "truncated": len(scored.inputs.cut)}


def _truncated(cut: list[int]) -> dict[str, str]:
    """How many documents were cut, and which: `3; indexes=0,4,7`."""
    if not cut:
        return {}
    named = ",".join(map(str, cut[:_MOST_NAMED])) + (",..." if len(cut) > _MOST_NAMED else "")
    return {TRUNCATED: f"{len(cut)}; indexes={named}"}


def _pages(state: State) -> dict[str, Callable]:
    async def health(request: Request) -> Response:
        return as_json({"status": "ok"})

    async def ready(request: Request) -> Response:
        status = state.status()
        body = {"status": status, "unready": state.models.unready()}
        return as_json(body, 200 if status == "ready" else 503)

    async def metrics(request: Request) -> Response:
        return Response(state.metrics.text(), media_type="text/plain; version=0.0.4")

    document = functools.cache(lambda: openapi.document(state.settings))  # takes long to make

    async def schema(request: Request) -> Response:
        return as_json(document())

    return {
        "/health": health,
        "/ready": ready,
        "/ping": ready,
        "/metrics": metrics,
        "/openapi.json": schema,
        "/docs": _page("docs.html"),
    } | descriptions.handlers(state)


def _page(name: str) -> Callable:
    html = importlib.resources.files("t5rank.serve").joinpath(name).read_bytes()
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    policy += "connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
    headers = {"Content-Security-Policy": policy}

    async def page(request: Request) -> Response:
        return Response(html, media_type="text/html", headers=headers)

    return page


async def _no_token_vectors(request: Request) -> Response:
    raise invalid(
        "Path '/embed_all' asks for a vector of each token; expected '/embed', which gives one of "
        "each text. No model that is served here does late interaction."
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    body = dialects.error_of(request.scope["path"]).of(error)
    return as_json(body, error.status, error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = access.shortened(request.scope["path"])
    what = f"{access.shortened(request.method)} {path}"
    message = {
        404: f"Path '{path}' is not served; expected one that /docs lists.",
        405: f"Request '{what}' is not served; expected another method, as /docs lists.",
    }.get(error.status_code, error.detail)
    kind = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http")
    refusal = Refusal(error.status_code, kind, message, error.headers)
    return await _refused(request, refusal)


async def _failed(request: Request, error: Exception) -> Response:
    number = access.record(request.scope)["request_id"]
    _LOG.error("Request %s failed.", number)
    message = (
        f"Server has an error of its own; expected none. Look for request {number} in its log."
    )
    return await _refused(request, Refusal(500, "internal", message, {access.REQUEST_ID: number}))
