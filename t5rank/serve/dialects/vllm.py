"""vLLM's score: pairs of texts, in the order in which they came."""

from typing import Annotated

from msgspec import Meta, Struct, field

from t5rank.serve.dialects.common import (
    RERANK_PATHS,
    SCORE_PATHS,
    Answer,
    Dialect,
    Name,
    Scaled,
    Usage,
    new_id,
    now,
)
from t5rank.serve.errors import invalid
from t5rank.serve.work import Work

Texts = str | Annotated[list[str], Meta(min_length=1)]
Queries = Annotated[Texts, Meta(description="Queries: one, or as many as documents.")]
Documents = Annotated[Texts, Meta(description="Documents.")]


class _Scored(Scaled, kw_only=True):
    model: Name | None = None

    def answer(self, answer: Answer) -> "ScoreResponse":
        """Scores in the order of the documents."""
        values = answer.scores if self.is_raw else answer.probabilities
        data = [ScoreResult(index=i, score=score) for i, score in enumerate(values.tolist())]
        return ScoreResponse(model=answer.model, data=data, usage=answer.usage())


class ScoreRequest(_Scored, kw_only=True):
    """vLLM's request: one query with one or many documents, or as many queries as documents."""

    text_1: Queries
    text_2: Documents

    def work(self) -> Work:
        """One list of one query, or a list a query."""
        return _paired(self.text_1, self.text_2)


class DataRequest(_Scored, kw_only=True):
    """The same, under names for any data."""

    data_1: Queries
    data_2: Documents

    def work(self) -> Work:
        """One list of one query, or a list a query."""
        return _paired(self.data_1, self.data_2)


class ItemsRequest(_Scored, kw_only=True):
    """The same, under names of vLLM's later versions."""

    queries: Queries
    items: Documents

    def work(self) -> Work:
        """One list of one query, or a list a query."""
        return _paired(self.queries, self.items)


class QueriesRequest(_Scored, kw_only=True):
    """The same, under names of vLLM's later versions."""

    queries: Queries
    documents: Documents

    def work(self) -> Work:
        """One list of one query, or a list a query."""
        return _paired(self.queries, self.documents)


class ScoreResult(Struct, kw_only=True):
    """One pair."""

    index: int
    object: str = "score"
    score: float


class ScoreResponse(Struct, kw_only=True):
    """vLLM's answer."""

    id: str = field(default_factory=new_id)
    object: str = "list"
    created: int = field(default_factory=now)
    model: str
    data: list[ScoreResult]
    usage: Usage


def _paired(first: Texts, second: Texts) -> Work:
    queries, documents = _listed(first), _listed(second)
    if len(queries) == 1:
        return Work([(queries[0], documents)])
    if len(queries) != len(documents):
        raise invalid(
            f"Request has {len(queries)} queries and {len(documents)} documents; expected one "
            "query, or as many of both."
        )
    return Work([(q, [d]) for q, d in zip(queries, documents, strict=True)])


def _listed(texts: Texts) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


def _dialect(request: type[_Scored], keys: set[str]) -> Dialect:
    queries, documents = request.__struct_fields__[-2:]
    example = {
        queries: "what is a list",
        documents: ["A list has items.", "A tree has leaves."],
    }
    return Dialect(
        name="vllm",
        title="vLLM score",
        request=request,
        answer=ScoreResponse,
        keys=frozenset(keys),
        example=example,
        paths=(*SCORE_PATHS, *RERANK_PATHS),
    )


DIALECTS = (
    _dialect(ScoreRequest, {"text_1", "text_2"}),
    _dialect(DataRequest, {"data_1", "data_2"}),
    _dialect(ItemsRequest, {"items"}),
    _dialect(QueriesRequest, {"queries"}),
)
