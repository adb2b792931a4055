"""The ASGI application."""

import asyncio
import contextlib
import importlib.resources
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from t5rank.serve import access, dialects, openapi
from t5rank.serve.body import Bodies, Disconnected
from t5rank.serve.errors import Refusal
from t5rank.serve.json_size import most_values
from t5rank.serve.metrics import Metrics
from t5rank.serve.models import Models
from t5rank.serve.served_model import Scored
from t5rank.serve.settings import Settings
from t5rank.serve.work import Work
from t5rank.serve.workers import ClientGone, Workers, once, unless_gone

T = TypeVar("T")
TRUNCATED = "x-t5rank-truncated"
_LOG = logging.getLogger(__name__)
_SMALL = 1 << 14  # bytes of a body that the event loop reads and answers itself
_VALUES = 128  # of JSON, for each document that may be sent
_MOST_NAMED = 100  # truncated documents that are named in a header


class State:
    """What the handlers share.

    Attributes:
      settings: of the server.
      models: what scores.
      metrics: what is counted.
      keys: who may ask.
      bodies: what is being asked.
      workers: threads for what grows with a request.
      draining: whether the server is about to end.
    """

    def __init__(self, settings: Settings, failed: Callable[[Exception], None]):
        self.settings = settings
        self.metrics = Metrics()
        self.workers = Workers()
        self.models = Models(settings, self.workers, self.metrics.observe, failed)
        self.metrics.watch(self.models)
        self.keys = access.ApiKeys(settings.api_keys)
        self.bodies = Bodies(settings, self.workers)
        self.draining = False


def make_app(
    settings: Settings, failed: Callable[[Exception], None] = lambda error: None
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
        yield
        await asyncio.to_thread(state.models.close)

    routes = [
        *(Route(path, _Rerank(state)) for path in dialects.PATHS),
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


def _middleware(settings: Settings, state: State, paths: Sequence[str]) -> list[Middleware]:
    chain = [Middleware(access.AccessLog, metrics=state.metrics, paths=paths)]
    if settings.cors_origins:
        exposed = [TRUNCATED, access.REQUEST_ID, "retry-after"]
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


class _Rerank:
    """Answers the rerank APIs; an ASGI application, as it watches for the client leaving."""

    def __init__(self, state: State):
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise HTTPException(405, headers={"Allow": "POST"})
        try:
            response = await self._answer(scope, receive)
        except (Disconnected, ClientGone):
            return
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        self._state.keys.check(scope)
        async with self._state.bodies.read(scope, receive) as body, _departure(receive) as gone:
            return await self._scored(scope, body, gone)

    async def _scored(self, scope: Scope, body: bytearray, gone: asyncio.Event) -> Response:
        state, entry = self._state, access.record(scope)
        size = len(body)
        dialect, work = await self._run(
            lambda: _read(scope, body, state.settings), scope, size, gone
        )
        model = state.models.choose(dialect.request.model)
        entry["model"] = model.name
        try:
            scored = await model.score(work, gone, access.client_of(scope), size)
        except ClientGone:
            state.metrics.abandoned.labels(model.name).inc()
            raise
        self._count(model.name, work, scored)
        entry |= _timing(scored)
        answer = dialects.Answer(
            model=model.name,
            scores=scored.scores,
            probabilities=scored.probabilities,
            tokens=scored.inputs.tokens,
            path=scope["path"],
        )
        written = await self._run(
            lambda: msgspec.json.encode(dialect.request.answer(answer)), scope, size, gone
        )
        headers = _truncated(scored.inputs.cut)
        return Response(written, headers=headers, media_type="application/json")

    async def _run(
        self, function: Callable[[], T], scope: Scope, size: int, gone: asyncio.Event
    ) -> T:
        """Calls a function: here if the request is small, else in the workers' threads."""
        if size <= _SMALL:
            return function()
        running = self._state.workers.run(once(function), size, access.client_of(scope))
        return await unless_gone(running, gone)

    def _count(self, model: str, work: Work, scored: Scored) -> None:
        metrics = self._state.metrics
        metrics.documents.labels(model).inc(work.documents())
        metrics.cut_documents.labels(model).inc(len(scored.inputs.cut))
        metrics.queue_seconds.labels(model).observe(scored.waited)


def _read(scope: Scope, body: bytearray, settings: Settings) -> tuple[dialects.Dialect, Work]:
    """What a body asks for."""
    if len(body) > _SMALL and (count := most_values(body)) > _VALUES * settings.max_documents:
        raise _too_many_values(count, _VALUES * settings.max_documents)
    entry = access.record(scope)
    dialect = dialects.parse(scope["path"], body)
    entry["dialect"] = dialect.name
    work = dialect.request.work()
    _check_size(work, settings.max_documents)
    entry["documents"] = work.documents()
    if settings.log_texts:
        entry["lists"] = work.lists
    return dialect, work


@contextlib.asynccontextmanager
async def _departure(receive: Receive) -> AsyncIterator[asyncio.Event]:
    """An event that is set when the client leaves."""
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


def _check_size(work: Work, most: int) -> None:
    count = work.documents()
    if count > most:
        message = f"Request has {count:,} documents; expected at most {most:,}."
        raise Refusal(413, "too_large", message)


def _too_many_values(count: int, most: int) -> Refusal:
    message = f"Body has {count:,} JSON values; expected at most {most:,}."
    return Refusal(413, "too_large", message)


def _timing(scored: Scored) -> dict[str, object]:
    return {
        "tokens": scored.inputs.tokens,
        "truncated": len(scored.inputs.cut),
        "queue_seconds": round(scored.waited, 4),
        "score_seconds": round(scored.computed, 4),
    }


def _truncated(cut: list[int]) -> dict[str, str]:
    """How many documents were cut, and which: `3; indexes=0,4,7`."""
    if not cut:
        return {}
    named = ",".join(map(str, cut[:_MOST_NAMED])) + (",..." if len(cut) > _MOST_NAMED else "")
    return {TRUNCATED: f"{len(cut)}; indexes={named}"}


def _pages(state: State) -> dict[str, Callable]:
    async def health(request: Request) -> Response:
        return _json({"status": "ok"})

    async def ready(request: Request) -> Response:
        unready = state.models.unready()
        status = "draining" if state.draining else "loading" if unready else "ready"
        body = {"status": status, "unready": unready}
        return _json(body, 200 if status == "ready" else 503)

    async def models(request: Request) -> Response:
        state.keys.check(request.scope)
        data = [
            {"id": model.name, "object": "model", "created": model.created, "owned_by": "t5rank"}
            for model in state.models.by_name.values()
        ]
        return _json({"object": "list", "data": data})

    async def metrics(request: Request) -> Response:
        return Response(state.metrics.text(), media_type="text/plain; version=0.0.4")

    async def schema(request: Request) -> Response:
        return _json(openapi.document(state.settings))

    return {
        "/health": health,
        "/ready": ready,
        "/v1/models": models,
        "/models": models,
        "/metrics": metrics,
        "/openapi.json": schema,
        "/docs": _page("docs.html"),
        "/": _page("page.html"),
    }


def _page(name: str) -> Callable:
    html = importlib.resources.files("t5rank.serve").joinpath(name).read_bytes()
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    policy += "connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
    headers = {"Content-Security-Policy": policy}

    async def page(request: Request) -> Response:
        return Response(html, media_type="text/html", headers=headers)

    return page


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = msgspec.json.encode(value)
    return Response(body, status, headers, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


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
    message = f"Server has an error of its own; expected none. Its log tells of request {number}."
    return await _refused(request, Refusal(500, "internal", message, {access.REQUEST_ID: number}))
