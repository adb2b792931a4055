"""Pinecone's inference; Cohere's v1 sends the same keys with documents that are objects."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from t5rank.serve.dialects.cohere import CohereRequest, CohereResponse
from t5rank.serve.dialects.common import Answer, Dialect, Usage
from t5rank.serve.dialects.documents import Document, listed


class PineconeRequest(CohereRequest, kw_only=True):
    """Pinecone's request; the model's `parameters` are not read."""

    parameters: dict[str, Any] | None = None

    def answer(self, answer: Answer) -> "PineconeResponse":  # type: ignore[override]
        """Cohere's answer, with the results in Pinecone's words as well."""
        both = super().answer(answer)
        documents = listed(self.documents)
        data = [
            PineconeResult(
                result.index,
                result.relevance_score,
                result.relevance_score,
                documents[result.index] if self.return_documents else UNSET,
            )
            for result in both.results
        ]
        usage = both.usage
        return PineconeResponse(
            model=both.model,
            results=both.results,
            data=data,
            usage=PineconeUsage(usage.prompt_tokens, usage.total_tokens),
            meta=both.meta,
            tokens=both.tokens,
        )


class PineconeResult(Struct, omit_defaults=True):
    """One document, as it came; `relevance_score` is for Voyage's clients."""

    index: int
    score: float
    relevance_score: float
    document: Document | UnsetType = UNSET


class PineconeUsage(Usage):
    """Tokens; and a unit, as nothing is billed."""

    rerank_units: int = 1


class PineconeResponse(CohereResponse, kw_only=True):
    """What Pinecone and Cohere's v1 answer, together."""

    data: list[PineconeResult]  # type: ignore[assignment]
    usage: PineconeUsage


DIALECT = Dialect(
    name="pinecone",
    title="Pinecone; Cohere's v1 with objects",
    request=PineconeRequest,
    answer=PineconeResponse,
    keys=frozenset({"rank_fields", "parameters"}),
    example={
        "query": "what is a list",
        "documents": [
            {"id": "1", "text": "A list has items."},
            {"id": "2", "text": "A tree has leaves."},
        ],
        "rank_fields": ["text"],
        "top_n": 1,
    },
)
