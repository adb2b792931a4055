"""NVIDIA NIM."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from t5rank.serve.dialects.common import Answer, Dialect, Name, Text, Usage
from t5rank.serve.work import Work


class NimRequest(Struct, kw_only=True):
    """NIM's request; with `truncate` NONE, a document that is too long is an error."""

    query: Text
    passages: Annotated[list[Text], Meta(min_length=1)]
    truncate: Literal["NONE", "END"] | None = None
    model: Name | None = None

    def work(self) -> Work:
        texts = [passage.text for passage in self.passages]
        return Work([(self.query.text, texts)], may_cut=self.truncate != "NONE")

    def answer(self, answer: Answer) -> "NimResponse":
        """Rankings, best first."""
        rankings = [NimRanking(i, score) for i, score in answer.ranked(None, raw=True)]
        return NimResponse(rankings, answer.usage())


class NimRanking(Struct):
    """One document. A logit is what the name says: the model's own score."""

    index: int
    logit: float


class NimResponse(Struct):
    """All documents."""

    rankings: list[NimRanking]
    usage: Usage


DIALECT = Dialect(
    name="nim",
    title="NVIDIA NIM",
    request=NimRequest,
    answer=NimResponse,
    keys=frozenset({"passages"}),
    example={
        "query": {"text": "what is a list"},
        "passages": [{"text": "A list has items."}, {"text": "A tree has leaves."}],
    },
)
