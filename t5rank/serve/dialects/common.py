"""What the dialects share."""

import time
import uuid
from collections.abc import Iterator
from typing import Annotated, Any, Protocol

import numpy as np
from msgspec import Meta, Struct

from t5rank.serve.work import Work

Count = Annotated[int, Meta(ge=1)]
Query = Annotated[str, Meta(description="What is looked for; it is never cut.")]
Name = Annotated[
    str, Meta(description="The model's name. With one model served, any name means it.")
]
TopN = Annotated[int, Meta(ge=1, description="How many results to return; all by default.")]
Raw = Annotated[
    bool,
    Meta(description="The model's own scores instead of scores from 0 to 1; the order is the same"),
]


class Request(Protocol):
    """A parsed body."""

    @property
    def model(self) -> str | None:
        """The model's name."""

    def work(self) -> Work:
        """What is to be scored."""

    def answer(self, answer: "Answer") -> Any:
        """The body of the answer, a Struct or a list of them."""


class Dialect(Struct):
    """A request and the name of its dialect."""

    name: str
    request: Request


class Answer(Struct):
    """What was computed for a request.

    Attributes:
      model: the name of the model.
      scores: `[documents]` float32, of all lists one after the other.
      probabilities: the same from 0 to 1, float64.
      tokens: that were scored.
      path: of the request.
    """

    model: str
    scores: np.ndarray
    probabilities: np.ndarray
    tokens: int
    path: str

    def ranked(self, topn: int | None, raw: bool | None = False) -> Iterator[tuple[int, float]]:
        """Indexes and scores, best first; tied documents keep their order."""
        values = self.scores if raw else self.probabilities
        for i in np.argsort(-self.scores, kind="stable")[:topn].tolist():
            yield i, float(values[i])

    def usage(self) -> "Usage":
        """The tokens."""
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
