"""What clients ask before they rank: which models are served, and by which server.

Each answer has the keys of a peer: `/v1/models` those of OpenAI and Xinference, `/info` those of
TEI, `/meta` those of Weaviate.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

import t5rank
from t5rank.inference.scoring import ModelScorer
from t5rank.process.cores import core_count
from t5rank.serve.dialects.embedding import SIDES
from t5rank.serve.errors import Refusal, not_ready
from t5rank.serve.responses import as_json
from t5rank.serve.served_model import ServedModel
from t5rank.serve.settings import ServerSettings

if TYPE_CHECKING:
    from t5rank.serve.app import State

Handler = Callable[[Request], Awaitable[Response]]


class Model(Struct):
    """A served model: OpenAI's keys, and Xinference's `model_type`."""

    id: str
    created: int
    object: str = "model"
    owned_by: str = "t5rank"
    model_type: str = "rerank"


class ModelList(Struct):
    """All served models."""

    data: list[Model]
    object: str = "list"


class Labels(Struct):
    """The one score of a reranker, in TEI's words."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class Pooling(Struct):
    """How a dual encoder's tokens become a vector, in TEI's words."""

    pooling: str = "mean"


class ModelType(Struct, omit_defaults=True):
    """What a model gives; one of the two is there."""

    reranker: Labels | UnsetType = UNSET
    embedding: Pooling | UnsetType = UNSET


class Info(Struct):
    """The first model and its limits, in TEI's words; lengths are tokens of an input."""

    model_id: str
    model_dtype: str
    max_input_length: int
    max_batch_tokens: int
    max_client_batch_size: int
    tokenization_workers: int
    version: str
    model_type: ModelType
    auto_truncate: bool = True
    model_sha: str | None = None
    max_concurrent_requests: int | None = None
    max_batch_requests: int | None = None
    sha: str | None = None
    docker_label: str | None = None


class Version(Struct):
    """The version of t5rank."""

    version: str


class ClusterAuth(Struct):
    """Whether Xinference's client should send its key."""

    auth: bool


class Meta(Struct):
    """What Weaviate shows of a module."""

    name: str
    version: str
    models: list[str]


def handlers(state: "State") -> dict[str, Handler]:
    """What answers GET, by path."""

    async def models(request: Request) -> Response:
        state.keys.check(request.scope)
        return as_json(
            ModelList([each for model in state.models.by_name.values() for each in _listed(model)])
        )

    async def model(request: Request) -> Response:
        state.keys.check(request.scope)
        return as_json(_named(state, request.path_params["name"]))

    async def info(request: Request) -> Response:
        state.keys.check(request.scope)
        return as_json(_info(state.models.choose(None), state.settings))

    async def meta(request: Request) -> Response:
        return as_json(Meta("t5rank", t5rank.__version__, [*state.models.by_name]))

    async def version(request: Request) -> Response:
        return as_json(Version(t5rank.__version__))

    async def cluster_auth(request: Request) -> Response:
        return as_json(ClusterAuth(state.keys.are_needed))

    async def live(request: Request) -> Response:
        return Response(status_code=204)

    async def ready(request: Request) -> Response:
        return Response(status_code=204 if state.status() == "ready" else 503)

    return {
        "/v1/models": models,
        "/models": models,
        "/v1/models/{name:path}": model,
        "/v1/cluster/auth": cluster_auth,
        "/info": info,
        "/meta": meta,
        "/version": version,
        "/.well-known/live": live,
        "/.well-known/ready": ready,
    }


def _named(state: "State", name: str) -> Model:
    """The model of exactly this name, as the client asks whether it is served."""
    listed = [each for model in state.models.by_name.values() for each in _listed(model)]
    for model in listed:
        if model.id == name:
            return model
    names = [model.id for model in listed]
    message = f"Model '{name[:80]}' is not served; expected one of {names}."
    raise Refusal(404, "model_not_found", message)


def _listed(model: ServedModel) -> list[Model]:
    """A model under all names by which a request may choose it; see `Models.choose`."""
    if not model.is_embedder:
        return [Model(model.name, model.created)]
    names = [model.name, *(f"{model.name}/{side}" for side in SIDES)]
    return [Model(name, model.created, model_type="embedding") for name in names]


def _info(model: ServedModel, settings: ServerSettings) -> Info:
    if model.engine is None:
        raise not_ready(model.name)
    loaded = model.engine.model
    return Info(
        model_id=model.name,
        model_dtype=_dtype(loaded.score_tokens),
        model_type=_type(model),
        max_input_length=loaded.encoder.max_length,
        max_batch_tokens=loaded.shapes.tokens,
        max_client_batch_size=settings.max_documents,
        tokenization_workers=core_count(),
        version=t5rank.__version__,
    )


def _type(model: ServedModel) -> ModelType:
    if model.is_embedder:
        return ModelType(embedding=Pooling())
    return ModelType(reranker=Labels({"0": "LABEL_0"}, {"LABEL_0": 0}))


def _dtype(scorer: Any) -> str:
    """The type of the activations; ONNX Runtime's are float32."""
    if not isinstance(scorer, ModelScorer):
        return "float32"
    return np.dtype(scorer.model.module.config.dtype).name
