"""Text Embeddings Inference."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from t5rank.serve.dialects.common import Answer, Dialect, Name, Query, Scaled, TopN
from t5rank.serve.work import Work


class TeiRequest(Scaled, kw_only=True):
    """TEI's request. Documents are cut whatever `truncate` says: litellm sent false unasked."""

    query: Query
    texts: Annotated[list[str], Meta(min_length=1)]
    truncate: bool | None = None
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = None
    return_text: bool | None = None
    model: Name | None = None
    top_n: TopN | None = None

    def work(self) -> Work:
        keep_end = self.truncation_direction in ("Left", "left")
        return Work([(self.query, self.texts)], keep_end=keep_end)

    def answer(self, answer: Answer) -> "list[TeiResult]":
        """A bare list, best first."""
        return [
            TeiResult(i, score, self.texts[i] if self.return_text else UNSET)
            for i, score in answer.ranked(self.top_n, self.is_raw)
        ]


class TeiResult(Struct, omit_defaults=True):
    """One document."""

    index: int
    score: float
    text: str | UnsetType = UNSET


DIALECT = Dialect(
    name="tei",
    title="TEI",
    request=TeiRequest,
    answer=list[TeiResult],
    keys=frozenset({"texts"}),
    example={"query": "what is a list", "texts": ["A list has items.", "A tree has leaves."]},
)
