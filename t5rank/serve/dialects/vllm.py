"""vLLM's score: pairs of texts, in the order in which they came."""

from typing import Annotated

from msgspec import Meta, Struct, field

from t5rank.serve.dialects.common import Answer, Name, Raw, Usage, new_id, now
from t5rank.serve.errors import invalid
from t5rank.serve.work import Work

Texts = str | Annotated[list[str], Meta(min_length=1)]


class _Scored(Struct, kw_only=True):
    model: Name | None = None
    raw_scores: Raw | None = None

    def answer(self, answer: Answer) -> "ScoreResponse":
        """Scores in the order of the documents."""
        values = answer.scores if self.raw_scores else answer.probabilities
        data = [ScoreResult(index=i, score=score) for i, score in enumerate(values.tolist())]
        return ScoreResponse(model=answer.model, data=data, usage=answer.usage())


class ScoreRequest(_Scored, kw_only=True):
    """vLLM's request: one query with one or many documents, or as many queries as documents."""

    text_1: Annotated[Texts, Meta(description="Queries.")]
    text_2: Annotated[Texts, Meta(description="Documents.")]

    def work(self) -> Work:
        """One list of one query, or a list a query."""
        return _paired(_listed(self.text_1), _listed(self.text_2))


class QueriesRequest(_Scored, kw_only=True):
    """The same under the names of vLLM's later versions."""

    queries: Texts
    documents: Texts

    def work(self) -> Work:
        """One list of one query, or a list a query."""
        return _paired(_listed(self.queries), _listed(self.documents))


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


def _paired(queries: list[str], documents: list[str]) -> Work:
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
