"""vLLM's score: pairs of texts, in the order in which they came."""

from typing import Annotated

from msgspec import Meta, Struct, field

from t5rank.serve.dialects.common import Answer, Name, Raw, Usage, new_id, now
from t5rank.serve.errors import invalid
from t5rank.serve.work import Work

Texts = str | Annotated[list[str], Meta(min_length=1)]


class ScoreRequest(Struct, kw_only=True):
    """vLLM's request: one query with one or many documents, or as many queries as documents.

    The queries are in `text_1` or `queries`, the documents in `text_2` or `documents`.
    """

    text_1: Texts | None = None
    text_2: Texts | None = None
    queries: Texts | None = None
    documents: Texts | None = None
    model: Name | None = None
    raw_scores: Raw | None = None

    def work(self) -> Work:
        """One list of one query, or a list a query."""
        queries = _one(self, "text_1", "queries")
        documents = _one(self, "text_2", "documents")
        if len(queries) == 1:
            return Work([(queries[0], documents)])
        if len(queries) != len(documents):
            raise invalid(
                f"Request has {len(queries)} queries and {len(documents)} documents; expected one "
                "query, or as many of both."
            )
        return Work([(q, [d]) for q, d in zip(queries, documents, strict=True)])

    def answer(self, answer: Answer) -> "ScoreResponse":
        """Scores in the order of the documents."""
        values = answer.scores if self.raw_scores else answer.probabilities
        data = [ScoreResult(index=i, score=score) for i, score in enumerate(values.tolist())]
        return ScoreResponse(model=answer.model, data=data, usage=answer.usage())


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


def _one(request: ScoreRequest, *names: str) -> list[str]:
    given = [name for name in names if getattr(request, name) is not None]
    if len(given) != 1:
        raise invalid(f"Request has {given or 'neither'} of {[*names]}; expected one of them.")
    texts = getattr(request, given[0])
    return [texts] if isinstance(texts, str) else texts
