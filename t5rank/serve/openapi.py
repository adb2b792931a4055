"""`/openapi.json`, made from the Structs of requests and answers."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

import t5rank
from t5rank.serve import dialects
from t5rank.serve.descriptions import ClusterAuth, Info, Meta, Model, ModelList, Version
from t5rank.serve.dialects import DIALECTS, EMBEDDING, PATHS, Dialect
from t5rank.serve.dialects.common import SCORE_PATHS, Error
from t5rank.serve.settings import ServerSettings
from t5rank.serve.times import Times


class Status(Struct):
    """Whether the server lives."""

    status: str


class Readiness(Struct):
    """Whether every model is ready, and which is not."""

    status: str
    unready: list[str]


_REQUESTS = tuple(dict.fromkeys(each.request for each in reversed(DIALECTS)))
_ANSWERS = tuple({str(each.answer): each.answer for each in reversed(DIALECTS)}.values())
_ERRORS = tuple(dict.fromkeys(each.error for each in DIALECTS))
_OTHERS = (*_ERRORS, Status, Readiness, Model, ModelList, Info, Meta, Version, ClusterAuth)
_REFUSALS = {
    "400": "The request is wrong; the message says what.",
    "401": "An API key is needed.",
    "404": "No model has this name.",
    "408": "The request did not come in time.",
    "413": "The body or the number of documents is too large.",
    "415": "The body's encoding is another than gzip or deflate.",
    "429": "Too much work waits, or the key has no more left: try again after Retry-After seconds.",
    "503": "The model is not ready yet.",
}


def document(settings: ServerSettings) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a server."""
    types = (*_REQUESTS, *_ANSWERS, *_OTHERS)
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    by_type = dict(zip(map(str, types), schemas, strict=True))
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "t5rank",
            "version": t5rank.__version__,
            "description": (
                "Reranks documents and embeds texts. The path and the keys of a body tell whose "
                "API it speaks. Numbers and booleans may be written as strings."
            ),
        },
        "paths": {path: {"post": _rerank(path, by_type)} for path in PATHS},
        "components": {"schemas": components},
        "x-dialects": [_described(dialect) for dialect in reversed(DIALECTS)],
    }
    for path, operation in _others(by_type).items():
        document["paths"].setdefault(path, {})["get"] = operation
    if settings.root_path:
        document["servers"] = [{"url": settings.root_path}]
    if settings.api_keys or settings.api_keys_file is not None:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document


def _described(dialect: Dialect) -> dict[str, Any]:
    """What no schema has: the keys or paths that tell a dialect, and a body to try."""
    return {
        "title": dialect.title,
        "keys": sorted(dialect.keys),
        "paths": [path for path in dialect.paths if dialects.spoken(path) == [dialect]],
        "request": dialect.request.__name__,
        "path": dialect.paths[0],
        "example": dialect.example,
    }


def _rerank(path: str, by_type: dict[str, Any]) -> dict[str, Any]:
    spoken = list(reversed(dialects.spoken(path)))
    error = by_type[str(dialects.error_of(path))]
    refusals = {status: _content(text, error) for status, text in _REFUSALS.items()}
    return {
        "operationId": _operation("post", path),
        "summary": _summary(path, spoken),
        "requestBody": {
            "required": True,
            "content": _json(_any(by_type, (each.request for each in spoken))),
        },
        "responses": {
            "200": {
                "description": "Scores or vectors.",
                "headers": _headers(),
                "content": _json(_any(by_type, (each.answer for each in spoken))),
            },
            **refusals,
        },
    }


def _summary(path: str, spoken: Sequence[Dialect]) -> str:
    if path in SCORE_PATHS:
        return "Score pairs of texts"
    if all(each in EMBEDDING for each in spoken):
        return "Embed texts"
    return "Rank documents for a query"


def _headers() -> dict[str, Any]:
    texts = {"x-t5rank-truncated": "How many documents were cut, and which."}
    texts |= {name: "Milliseconds." for name in Times(0, 0, 0).headers()}
    return {
        name: {"description": text, "schema": {"type": "string"}} for name, text in texts.items()
    }


def _others(by_type: dict[str, Any]) -> dict[str, Any]:
    def found(text: str, kind: type) -> dict[str, Any]:
        return {"200": _content(text, by_type[str(kind)])}

    error = by_type[str(Error)]
    keyed = {"401": _content(_REFUSALS["401"], error)}
    empty = {"description": "Yes."}
    ready = found("Every model scores.", Readiness) | {
        "503": _content("Not yet, or no longer.", by_type[str(Readiness)])
    }
    responses: dict[str, dict[str, Any]] = {
        "/health": found("It lives.", Status),
        "/ready": ready,
        "/ping": ready,
        "/v1/models": found("The models.", ModelList) | keyed,
        "/v1/models/{name}": found("The model.", Model)
        | keyed
        | {"404": _content(_REFUSALS["404"], error)},
        "/v1/cluster/auth": found("Whether keys are needed, for Xinference.", ClusterAuth),
        "/info": found("The first model, for TEI's clients.", Info)
        | keyed
        | {"503": _content(_REFUSALS["503"], error)},
        "/meta": found("The server, for Weaviate.", Meta),
        "/version": found("Of t5rank.", Version),
        "/.well-known/live": {"204": empty},
        "/.well-known/ready": {"204": empty, "503": {"description": "Not yet, or no longer."}},
        "/metrics": {"200": {"description": "Prometheus's text.", "content": {"text/plain": {}}}},
    }
    return {path: _get(path, each) for path, each in responses.items()}


def _get(path: str, responses: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": _operation("get", path), "responses": responses}
    if "{name}" in path:
        operation["parameters"] = [
            {
                "name": "name",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "minLength": 1},
            }
        ]
    return operation


def _operation(method: str, path: str) -> str:
    words = "".join(letter if letter.isalnum() else "_" for letter in path.strip("/"))
    return words if words else f"{method}_root"


def _any(by_type: dict[str, Any], types: Iterable[Any]) -> dict[str, Any]:
    return {"anyOf": [by_type[name] for name in dict.fromkeys(map(str, types))]}


def _content(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": _json(schema)}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
