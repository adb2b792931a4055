"""What the dialects of embedding requests share."""

import base64
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct

from t5rank.serve.errors import invalid

SIDES = ("query", "document")
NAMED = "name the model '{name}/query' or '{name}/document'"

Texts = (
    str
    | Annotated[
        list[Any],
        Meta(min_length=1, description="Texts.", extra_json_schema={"items": {"type": "string"}}),
    ]
)
Dimensions = Annotated[
    int,
    Meta(ge=1, description="The size of a vector: the model's, as it was trained for no other."),
]


class Embedded(Struct):
    """What was computed for a request.

    Attributes:
      model: the name of the model.
      vectors: `[texts, dim]` float32.
      tokens: that the model read.
      path: of the request.
    """

    model: str
    vectors: np.ndarray
    tokens: int
    path: str

    def numbers(self) -> list[Any]:
        """Each vector as a JSON list; row by row, so that other threads need not wait for all."""
        return [msgspec.Raw(msgspec.json.encode(row.tolist())) for row in self.vectors]

    def base64(self) -> list[Any]:
        """Each vector's little-endian float32 in base64."""
        return [base64.b64encode(row.tobytes()).decode() for row in self.vectors.astype("<f4")]


def listed(texts: Texts, field: str) -> list[str]:
    """One text as a list of it.

    Raises:
      Refusal: something else than texts is in the list, such as tokens.
    """
    if isinstance(texts, str):
        return [texts]
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise invalid(
                f"Field '{field}' has {_named(text)} at place {i}; expected texts. Each model has "
                "tokens of its own. LangChain's OpenAIEmbeddings sends texts with "
                "check_embedding_ctx_length=False."
            )
    return texts


def side_of(name: str | None) -> str | None:
    """The side that a model's name ends with, as in `NAME/query`.

    >>> side_of("gtr/query"), side_of("gtr")
    ('query', None)
    """
    end = (name or "").rpartition("/")[2]
    return end if name != end and end in SIDES else None


def checked(value: str | None, field: str, choices: tuple[str, ...]) -> str | None:
    """A value that is one of the choices, or None.

    Raises:
      Refusal: it is another one.
    """
    if value is not None and value not in choices:
        want = " or ".join(f"'{choice}'" for choice in choices)
        raise invalid(f"Field '{field}' has '{value[:80]}'; expected {want}.")
    return value


def _named(value: Any) -> str:
    if isinstance(value, int | list):
        return "tokens"
    return f"a JSON {type(value).__name__}"
