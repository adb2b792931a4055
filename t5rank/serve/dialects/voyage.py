"""Voyage AI."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from t5rank.serve.dialects.common import Answer, Dialect, Name, Query, TopN, Usage
from t5rank.serve.work import Work


class VoyageRequest(Struct, kw_only=True):
    """Voyage's request; with `truncation` false, a document that is too long is an error."""

    query: Query
    documents: Annotated[list[str], Meta(min_length=1)]
    model: Name | None = None
    top_k: TopN | None = None
    return_documents: bool | None = None
    truncation: bool | None = None

    def work(self) -> Work:
        return Work([(self.query, self.documents)], may_cut=self.truncation is not False)

    def answer(self, answer: Answer) -> "VoyageResponse":
        data = [
            VoyageResult(i, score, self.documents[i] if self.return_documents else UNSET)
            for i, score in answer.ranked(self.top_k)
        ]
        return VoyageResponse(data=data, model=answer.model, usage=answer.usage())


class VoyageResult(Struct, omit_defaults=True):
    """One document."""

    index: int
    relevance_score: float
    document: str | UnsetType = UNSET


class VoyageResponse(Struct, kw_only=True):
    """Voyage's answer."""

    object: str = "list"
    data: list[VoyageResult]
    model: str
    usage: Usage


DIALECT = Dialect(
    name="voyage",
    title="Voyage",
    request=VoyageRequest,
    answer=VoyageResponse,
    keys=frozenset({"top_k", "truncation"}),
    example={
        "query": "what is a list",
        "documents": ["A list has items.", "A tree has leaves."],
        "top_k": 1,
    },
)
