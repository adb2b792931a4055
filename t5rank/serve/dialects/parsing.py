"""A body becomes the request of a dialect."""

from typing import Any

import msgspec

from t5rank.serve.dialects.cohere import CohereRequest
from t5rank.serve.dialects.common import Dialect
from t5rank.serve.dialects.nim import NimRequest
from t5rank.serve.dialects.tei import TeiRequest
from t5rank.serve.dialects.vllm import QueriesRequest, ScoreRequest
from t5rank.serve.dialects.voyage import VoyageRequest
from t5rank.serve.errors import invalid

SCORE_PATHS = ("/score", "/v1/score")
RERANK_PATHS = ("/rerank", "/v1/rerank", "/v2/rerank", "/reranking", "/v1/reranking")
PATHS = (*RERANK_PATHS, "/ranking", "/v1/ranking", *SCORE_PATHS)


def parse(path: str, body: bytes | bytearray) -> Dialect:
    """The request in the body.

    Raises:
      Refusal: it is no JSON, or not what its dialect wants.
    """
    fields = _json_object(body)
    name, kind = _dialect(path, {key for key, value in fields.items() if value is not None})
    try:
        return Dialect(name, msgspec.convert(fields, kind))
    except msgspec.ValidationError as error:
        raise invalid(f"Body (read as {name}'s) has an error: {error}.") from error


def _json_object(body: bytes | bytearray) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"Body has no JSON: {error}; expected an object in UTF-8.") from error
    except RecursionError as error:
        raise invalid("Body has too many brackets within brackets; expected few.") from error
    if not isinstance(fields, dict):
        raise invalid(f"Body has a JSON {type(fields).__name__}; expected an object.")
    return {key: _as_integer(value) for key, value in fields.items()}


def _as_integer(value: Any) -> Any:
    """3.0 as 3, which JSON does not tell apart."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _dialect(path: str, keys: set[str]) -> tuple[str, type]:
    if keys & {"text_1", "text_2"}:
        return "vllm", ScoreRequest
    if path in SCORE_PATHS or "queries" in keys:
        return "vllm", QueriesRequest
    if "texts" in keys:
        return "tei", TeiRequest
    if "passages" in keys:
        return "nim", NimRequest
    if keys & {"top_k", "truncation"}:
        return "voyage", VoyageRequest
    return "cohere", CohereRequest
