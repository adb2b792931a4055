"""mixedbread."""

from msgspec import UNSET, Struct, UnsetType

from t5rank.serve.dialects.common import Answer, Dialect, Name, Query, TopN, Usage
from t5rank.serve.dialects.documents import Document, Documents, RankFields, listed, texts
from t5rank.serve.work import Work


class MixedbreadRequest(Struct, kw_only=True):
    """mixedbread's request; the query is not rewritten."""

    query: Query
    input: Documents
    model: Name | None = None
    rank_fields: RankFields | None = None
    top_k: TopN | None = None
    return_input: bool | None = None

    def work(self) -> Work:
        return Work([(self.query, texts(self.input, self.rank_fields))])

    def answer(self, answer: Answer) -> "MixedbreadResponse":
        inputs = listed(self.input)
        data = [
            MixedbreadResult(i, score, inputs[i] if self.return_input else UNSET)
            for i, score in answer.ranked(self.top_k)
        ]
        return MixedbreadResponse(
            model=answer.model,
            data=data,
            usage=answer.usage(),
            top_k=len(data),
            return_input=bool(self.return_input),
        )


class MixedbreadResult(Struct):
    """One document."""

    index: int
    score: float
    input: Document | UnsetType = UNSET
    object: str = "rank_result"


class MixedbreadResponse(Struct, kw_only=True):
    """mixedbread's answer."""

    object: str = "list"
    model: str
    data: list[MixedbreadResult]
    usage: Usage
    top_k: int
    return_input: bool


DIALECT = Dialect(
    name="mixedbread",
    title="mixedbread",
    request=MixedbreadRequest,
    answer=MixedbreadResponse,
    keys=frozenset({"input"}),
    example={
        "query": "what is a list",
        "input": ["A list has items.", "A tree has leaves."],
        "top_k": 1,
    },
)
