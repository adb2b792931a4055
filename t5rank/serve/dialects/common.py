"""Fields, answers and records that all dialects use."""

import time
import uuid
from collections.abc import Iterator
from typing import Annotated, Any, Protocol

import numpy as np
from msgspec import Meta, Struct

from t5rank.serve.errors import Refusal
from t5rank.serve.text_work import TextWork
from t5rank.serve.work import Work

RERANK_PATHS = (
    "/rerank",
    "/v1/rerank",
    "/v2/rerank",
    "/reranking",
    "/v1/reranking",
    "/ranking",
    "/v1/ranking",
    "/reranks",
    "/v1/reranks",
    "/api/rerank",
    "/invocations",
    "/",
)
SCORE_PATHS = ("/score", "/v1/score")

Count = Annotated[int, Meta(ge=0, description="0: as if it were not there.")]
Query = Annotated[str, Meta(description="What is looked for; it is never cut.")]
Name = Annotated[
    str, Meta(description="The model's name. With one model served, any name means it.")
]
TopN = Annotated[int, Meta(ge=0, description="How many results to return; 0, or none: all.")]
Raw = Annotated[
    bool,
    Meta(description="The model's own scores instead of scores from 0 to 1; the order is the same"),
]
Activation = Annotated[
    bool, Meta(description="vLLM's word: false asks for the model's own scores.")
]


class Error(Struct):
    """Why a request is refused: one message under the names that different clients read."""

    error: str
    error_type: str
    message: str
    detail: str

    @classmethod
    def of(cls, refusal: Refusal) -> "Error":
        """The body of a refusal."""
        return cls(**refusal.body())


class ParsedRequest(Protocol):
    """A parsed body. It asks for scores or for vectors."""

    @property
    def model(self) -> str | None:
        """The model's name."""

    def work(self) -> Work | TextWork:
        """What is to be computed."""

    def answer(self, answer: Any) -> Any:
        """The body of the answer, a Struct or a list of them."""


class Dialect(Struct, frozen=True, kw_only=True):
    """One API, and the keys that tell its bodies from others.

    Attributes:
      name: for the log and the metrics.
      title: for people.
      request: the type of its requests, a `ParsedRequest`.
      answer: the type of its answers.
      keys: a body that has any of these, and not as null, is of this dialect.
      example: a body.
      paths: take this dialect.
      error: the body of a refusal, where the path has no other dialect.
    """

    name: str
    title: str
    request: type[Any]
    answer: Any
    keys: frozenset[str] = frozenset()
    example: dict[str, Any]
    paths: tuple[str, ...] = RERANK_PATHS
    error: type[Any] = Error


class Scaled(Struct, kw_only=True):
    """A request that may ask for the model's own scores; vLLM has had three names for that."""

    raw_scores: Raw | None = None
    use_activation: Activation | None = None
    activation: Activation | None = None
    softmax: Activation | None = None

    @property
    def is_raw(self) -> bool:
        """Whether the model's own scores are asked for."""
        named = (self.use_activation, self.activation, self.softmax)
        return bool(self.raw_scores) or any(value is False for value in named)


class Answer(Struct):
    """The scores of a request.

    Attributes:
      model: the name of the model.
      scores: `[documents]` float32, of all lists one after the other.
      probabilities: the same from 0 to 1, float64.
      tokens: how many were scored.
      path: the request's.
    """

    model: str
    scores: np.ndarray
    probabilities: np.ndarray
    tokens: int
    path: str

    def ranked(self, topn: int | None, raw: bool = False) -> Iterator[tuple[int, float]]:
        """Indexes and scores, best first; tied documents keep their order; 0 means all."""
        values = self.scores if raw else self.probabilities
        for i in np.argsort(-self.scores, kind="stable")[: topn or None].tolist():
            yield i, float(values[i])

    def usage(self) -> "Usage":
        return Usage(prompt_tokens=self.tokens, total_tokens=self.tokens)


class Usage(Struct):
    """Tokens of the inputs: prompt, query and document of each pair."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0


class Text(Struct):
    """A text as an object."""

    text: str


def new_id() -> str:
    """An id for an answer."""
    return str(uuid.uuid4())


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())
