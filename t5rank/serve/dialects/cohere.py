"""Cohere's v1 and v2, and Jina's; the dialect of bodies that no other dialect takes."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from t5rank.serve.dialects.common import (
    Answer,
    Count,
    Dialect,
    Name,
    Query,
    Scaled,
    TopN,
    Usage,
    new_id,
    now,
)
from t5rank.serve.dialects.documents import Documents, RankFields, listed, texts
from t5rank.serve.dialects.voyage import VoyageResult
from t5rank.serve.dialects.weaviate import WeaviateScore, scores_in_order
from t5rank.serve.work import Work


class CohereRequest(Scaled, kw_only=True):
    """Cohere's and Jina's request; every field but the first two may be null."""

    query: Query
    documents: Documents
    model: Name | None = None
    top_n: TopN | None = None
    return_documents: bool | None = None
    rank_fields: RankFields | None = None
    max_tokens_per_doc: Count | None = None
    max_chunks_per_doc: Count | None = None

    def work(self) -> Work:
        """Documents as texts."""
        return Work(
            [(self.query, texts(self.documents, self.rank_fields))],
            max_document_tokens=self.max_tokens_per_doc or None,
            max_chunks=self.max_chunks_per_doc or 1,
        )

    def answer(self, answer: Answer) -> "CohereResponse":
        ranked = list(answer.ranked(self.top_n, self.is_raw))
        version = "2" if answer.path.startswith("/v2/") else "1"
        tokens = Tokens(answer.tokens)
        return CohereResponse(
            model=answer.model,
            results=[CohereResult(i, score, self._returned(i)) for i, score in ranked],
            data=UNSET if self.top_n else self._voyages(ranked),
            scores=self._weaviates(answer),
            usage=answer.usage(),
            meta=CohereMeta(ApiVersion(version), BilledUnits(), tokens),
            tokens=tokens,
        )

    def _returned(self, index: int) -> dict[str, Any] | UnsetType:
        if not self.return_documents:
            return UNSET
        document = listed(self.documents)[index]
        return {"text": document} if isinstance(document, str) else document

    def _voyages(self, ranked: list[tuple[int, float]]) -> list[VoyageResult]:
        """Without `top_n` the body may be Voyage's, whose documents are texts."""
        found = texts(self.documents, self.rank_fields) if self.return_documents else None
        return [VoyageResult(i, score, found[i] if found else UNSET) for i, score in ranked]

    def _weaviates(self, answer: Answer) -> list[WeaviateScore] | UnsetType:
        """With a query and texts alone, the body may be one for Weaviate's container."""
        is_bare = answer.path == "/rerank" and not any(
            getattr(self, name) is not None
            for name in self.__struct_fields__
            if name not in ("query", "documents")
        )
        found = listed(self.documents)
        if not is_bare or not all(isinstance(document, str) for document in found):
            return UNSET
        return scores_in_order([str(document) for document in found], answer)


class CohereResult(Struct, omit_defaults=True):
    """One document. Elasticsearch's parser refuses any other key."""

    index: int
    relevance_score: float
    document: dict[str, Any] | UnsetType = UNSET


class Tokens(Struct):
    """Tokens, in Cohere's words."""

    input_tokens: int
    output_tokens: int = 0


class ApiVersion(Struct):
    """Which of Cohere's APIs was spoken."""

    version: str


class BilledUnits(Struct):
    """Clients read this, though nothing is billed."""

    search_units: int = 1


class CohereMeta(Struct):
    """Cohere's meta."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens


class CohereResponse(Struct, kw_only=True):
    """What Cohere's v1 and v2, Jina and Infinity answer, together.

    A body without `top_n` may also be Voyage's, whose clients look for the results in `data`; one
    that has nothing but a query and texts may be Weaviate's, which looks for `scores`.
    """

    id: str = field(default_factory=new_id)
    object: str = "rerank"  # Infinity's client takes no other
    model: str
    created: int = field(default_factory=now)
    results: list[CohereResult]
    data: list[VoyageResult] | UnsetType = UNSET
    scores: list[WeaviateScore] | UnsetType = UNSET
    usage: Usage
    meta: CohereMeta
    tokens: Tokens


DIALECT = Dialect(
    name="cohere",
    title="Cohere, Jina",
    request=CohereRequest,
    answer=CohereResponse,
    example={
        "query": "what is a list",
        "documents": ["A list has items.", "A tree has leaves."],
        "top_n": 1,
    },
)
