"""`/openapi.json`, made from the Structs that parse requests and make answers."""

from typing import Any

import msgspec
from msgspec import Struct

import t5rank
from t5rank.serve.dialects import PATHS, SCORE_PATHS
from t5rank.serve.dialects.cohere import CohereRequest, CohereResponse
from t5rank.serve.dialects.nim import NimRequest, NimResponse
from t5rank.serve.dialects.tei import TeiRequest, TeiResult
from t5rank.serve.dialects.vllm import QueriesRequest, ScoreRequest, ScoreResponse
from t5rank.serve.dialects.voyage import VoyageRequest, VoyageResponse
from t5rank.serve.settings import Settings


class Error(Struct):
    """Why there is no answer: one message, under the names that different clients look for."""

    error: str
    error_type: str
    message: str
    detail: str


class Status(Struct):
    """Whether the server lives."""

    status: str


class Readiness(Struct):
    """Whether every model scores, and which does not."""

    status: str
    unready: list[str]


class Model(Struct):
    """A served model."""

    id: str
    object: str
    created: int
    owned_by: str


class ModelList(Struct):
    """All of them."""

    object: str
    data: list[Model]


_SCORE_REQUESTS = (ScoreRequest, QueriesRequest)
_REQUESTS = (CohereRequest, TeiRequest, NimRequest, VoyageRequest, *_SCORE_REQUESTS)
_ANSWERS = (CohereResponse, list[TeiResult], NimResponse, VoyageResponse, ScoreResponse)
_OTHERS = (Error, Status, Readiness, ModelList)
_REFUSALS = {
    "400": "The request is wrong; the message says what.",
    "401": "An API key is needed.",
    "404": "There is no such model.",
    "408": "The request did not come in time.",
    "413": "The body or the number of documents is too large.",
    "415": "The body's encoding is another than gzip or deflate.",
    "429": "Too much waits: come again after Retry-After seconds.",
    "503": "The model is not ready yet.",
}


def document(settings: Settings) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a server."""
    types = (*_REQUESTS, *_ANSWERS, *_OTHERS)
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    by_type = dict(zip(map(str, types), schemas, strict=True))
    paths = {path: {"post": _rerank(path, by_type)} for path in PATHS}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "t5rank",
            "version": t5rank.__version__,
            "description": (
                "Reranks documents. A body is read by its keys: texts, TEI; passages, NIM; top_k "
                "or truncation, Voyage; text_1 or queries, vLLM's score; else Cohere and Jina."
            ),
        },
        "paths": paths | _others(by_type),
        "components": {"schemas": components},
    }
    if settings.api_keys:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document


def _rerank(path: str, by_type: dict[str, Any]) -> dict[str, Any]:
    is_score = path in SCORE_PATHS
    requests = _SCORE_REQUESTS if is_score else _REQUESTS
    answers = (ScoreResponse,) if is_score else _ANSWERS
    refusals = {status: _content(text, by_type[str(Error)]) for status, text in _REFUSALS.items()}
    return {
        "operationId": path.strip("/").replace("/", "_"),
        "summary": "Score pairs of texts" if is_score else "Rank documents for a query",
        "requestBody": {
            "required": True,
            "content": _json({"anyOf": [by_type[str(each)] for each in requests]}),
        },
        "responses": {
            "200": {
                "description": "Scores.",
                "headers": {
                    "x-t5rank-truncated": {
                        "description": "How many documents were cut, and which.",
                        "schema": {"type": "string"},
                    }
                },
                "content": _json({"anyOf": [by_type[str(each)] for each in answers]}),
            },
            **refusals,
        },
    }


def _others(by_type: dict[str, Any]) -> dict[str, Any]:
    status, models = by_type[str(Status)], by_type[str(ModelList)]
    readiness = by_type[str(Readiness)]
    error = by_type[str(Error)]
    get = {
        "/health": {"200": _content("It lives.", status)},
        "/ready": {
            "200": _content("Every model scores.", readiness),
            "503": _content("Not yet, or no longer.", readiness),
        },
        "/v1/models": {
            "200": _content("The models.", models),
            "401": _content(_REFUSALS["401"], error),
        },
        "/metrics": {"200": {"description": "Prometheus's text.", "content": {"text/plain": {}}}},
    }
    return {
        path: {"get": {"operationId": path.strip("/").replace("/", "_"), "responses": responses}}
        for path, responses in get.items()
    }


def _content(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": _json(schema)}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
