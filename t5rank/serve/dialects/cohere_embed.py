"""Cohere's v1 and v2: vectors."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from t5rank.serve.dialects.cohere import ApiVersion
from t5rank.serve.dialects.common import Dialect, Name, new_id
from t5rank.serve.dialects.embedding import Dimensions, Embedded, checked
from t5rank.serve.text_work import TextWork

_SIDES = {"search_query": "query", "search_document": "document"}
_KINDS = ("float",)

InputType = Annotated[
    str,
    Meta(description="What the texts are.", extra_json_schema={"enum": list(_SIDES)}),
]
EmbeddingTypes = Annotated[
    list[str],
    Meta(
        description="Float is the only one.",
        extra_json_schema={"items": {"enum": list(_KINDS)}},
    ),
]


class CohereEmbedRequest(Struct, kw_only=True):
    """Cohere's request; with `truncate` NONE, a text that is too long is an error."""

    texts: Annotated[list[str], Meta(min_length=1)]
    input_type: InputType
    model: Name | None = None
    embedding_types: EmbeddingTypes | None = None
    output_dimension: Dimensions | None = None
    truncate: Literal["NONE", "START", "END"] | None = None

    def work(self) -> TextWork:
        """The texts."""
        checked(self.input_type, "input_type", tuple(_SIDES))
        for kind in self.embedding_types or ():
            checked(kind, "embedding_types", _KINDS)
        return TextWork(
            self.texts,
            _SIDES[self.input_type],
            "",
            keep_end=self.truncate == "START",
            may_cut=self.truncate != "NONE",
            dimensions=self.output_dimension,
            dimensions_field="output_dimension",
        )

    def answer(self, answer: Embedded) -> "CohereEmbedResponse":
        """One vector a text; in v1 without `embedding_types` they have no name."""
        is_v2 = answer.path.startswith("/v2/")
        vectors = answer.numbers()
        by_type = is_v2 or self.embedding_types is not None
        return CohereEmbedResponse(
            response_type="embeddings_by_type" if by_type else "embeddings_floats",
            embeddings=CohereVectors(float=vectors) if by_type else vectors,
            texts=self.texts,
            meta=CohereEmbedMeta(ApiVersion("2" if is_v2 else "1"), InputUnits(answer.tokens)),
        )


class CohereVectors(Struct):
    """Vectors by their type."""

    float: list[list[float]]


class InputUnits(Struct):
    """Nothing is billed; clients read the tokens here."""

    input_tokens: int


class CohereEmbedMeta(Struct):
    """Cohere's meta."""

    api_version: ApiVersion
    billed_units: InputUnits


class CohereEmbedResponse(Struct, kw_only=True):
    """Cohere's answer."""

    id: str = field(default_factory=new_id)
    response_type: str
    embeddings: CohereVectors | list[list[float]]
    texts: list[str]
    meta: CohereEmbedMeta


DIALECT = Dialect(
    name="cohere",
    title="Cohere embed",
    request=CohereEmbedRequest,
    answer=CohereEmbedResponse,
    example={
        "texts": ["A list has items.", "A tree has leaves."],
        "input_type": "search_document",
        "embedding_types": ["float"],
    },
    paths=("/v2/embed", "/v1/embed"),
)
