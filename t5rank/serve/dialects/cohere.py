"""Cohere's v1 and v2, and Jina's: what is neither of the others."""

import itertools
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from t5rank.serve.dialects.common import (
    Answer,
    Count,
    Name,
    Query,
    Raw,
    TopN,
    Usage,
    new_id,
    now,
)
from t5rank.serve.errors import invalid
from t5rank.serve.work import Work

Document = str | dict[str, Any]


class CohereRequest(Struct, kw_only=True):
    """Cohere's and Jina's request; every field but the first two may be null."""

    query: Query
    documents: Annotated[
        list[Document],
        Meta(min_length=1, description="Texts, or objects with 'text' or the 'rank_fields'."),
    ]
    model: Name | None = None
    top_n: TopN | None = None
    return_documents: bool | None = None
    rank_fields: Annotated[list[str], Meta(min_length=1)] | None = None
    max_tokens_per_doc: Count | None = None
    max_chunks_per_doc: Count | None = None
    raw_scores: Raw | None = None

    def work(self) -> Work:
        """Documents as texts."""
        places = {
            name: place for place, name in enumerate(dict.fromkeys(self.rank_fields or ["text"]))
        }
        texts = [_text(i, document, places) for i, document in enumerate(self.documents)]
        return Work(
            [(self.query, texts)],
            max_document_tokens=self.max_tokens_per_doc,
            max_chunks=self.max_chunks_per_doc or 1,
        )

    def answer(self, answer: Answer) -> "CohereResponse":
        """Results, best first."""
        results = [
            CohereResult(i, score, self._returned(i))
            for i, score in answer.ranked(self.top_n, self.raw_scores)
        ]
        version = "2" if answer.path.startswith("/v2/") else "1"
        tokens = Tokens(answer.tokens)
        return CohereResponse(
            model=answer.model,
            results=results,
            data=UNSET if self.top_n else results,
            usage=answer.usage(),
            meta=CohereMeta(ApiVersion(version), BilledUnits(), tokens),
            tokens=tokens,
        )

    def _returned(self, index: int) -> dict[str, Any] | UnsetType:
        if not self.return_documents:
            return UNSET
        document = self.documents[index]
        return {"text": document} if isinstance(document, str) else document


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
    """Nothing is billed; clients read it."""

    search_units: int = 1


class CohereMeta(Struct):
    """Cohere's meta."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens


class CohereResponse(Struct, kw_only=True):
    """What Cohere's v1 and v2, Jina and Infinity answer, together.

    A body without `top_n` may also be Voyage's, whose clients look for the results in `data`.
    """

    id: str = field(default_factory=new_id)
    object: str = "rerank"  # Infinity's client takes no other
    model: str
    created: int = field(default_factory=now)
    results: list[CohereResult]
    data: list[CohereResult] | UnsetType = UNSET
    usage: Usage
    meta: CohereMeta
    tokens: Tokens


def _text(index: int, document: Document, places: dict[str, int]) -> str:
    """A document's texts, in the order of the fields; in a time that depends on its own keys."""
    if isinstance(document, str):
        return document
    texts = [(places[name], text) for name, text in document.items() if name in places]
    texts = sorted((place, text) for place, text in texts if isinstance(text, str))
    if not texts:
        has = [name[:80] for name in itertools.islice(document, 9)]
        names = [name[:80] for name in itertools.islice(places, 9)]
        raise invalid(
            f"Document {index} has the keys {has}; expected a text in "
            f"{' or '.join(map(repr, names))}."
        )
    return " ".join(text for _, text in texts)
