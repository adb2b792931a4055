"""Weaviate's reranker-transformers, the container that its module of that name asks."""

from typing import Annotated

from msgspec import Meta, Struct

from t5rank.serve.dialects.common import Answer, Dialect, Name, Query
from t5rank.serve.work import Work


class WeaviateRequest(Struct, kw_only=True):
    """The module's request; it always has a `property`, and that is always empty."""

    query: Query
    documents: Annotated[list[str], Meta(min_length=1)]
    property: str | None = None
    model: Name | None = None

    def work(self) -> Work:
        return Work([(self.query, self.documents)])

    def answer(self, answer: Answer) -> "WeaviateResponse":
        """Scores in the order of the documents, which the module relies on."""
        return WeaviateResponse(self.query, scores_in_order(self.documents, answer))


class WeaviateScore(Struct):
    """One document."""

    document: str
    score: float


class WeaviateResponse(Struct):
    """All documents."""

    query: str
    scores: list[WeaviateScore]


def scores_in_order(documents: list[str], answer: Answer) -> list[WeaviateScore]:
    """Scores from 0 to 1, in the order of the documents."""
    values = answer.probabilities.tolist()
    return [WeaviateScore(text, score) for text, score in zip(documents, values, strict=True)]


DIALECT = Dialect(
    name="weaviate",
    title="Weaviate reranker-transformers",
    request=WeaviateRequest,
    answer=WeaviateResponse,
    keys=frozenset({"property"}),
    example={
        "query": "what is a list",
        "documents": ["A list has items.", "A tree has leaves."],
        "property": "",
    },
)
