"""OpenAI: vectors."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from t5rank.serve.dialects.common import Dialect
from t5rank.serve.dialects.embedding import NAMED, Dimensions, Embedded, Texts, listed, side_of
from t5rank.serve.errors import Refusal
from t5rank.serve.text_work import TextWork

SidedName = Annotated[
    str,
    Meta(
        description="NAME/query or NAME/document. NAME alone does where the model reads both "
        "alike. With one model served, any NAME means it."
    ),
]
_FIRST_SERVER_ERROR = 500


class OpenAIRequest(Struct, kw_only=True):
    """OpenAI's request; texts that are too long are cut."""

    input: Texts
    model: SidedName | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Dimensions | None = None
    user: str | None = None

    def work(self) -> TextWork:
        """The texts."""
        texts = listed(self.input, "input")
        return TextWork(texts, side_of(self.model), NAMED, dimensions=self.dimensions)

    def answer(self, answer: Embedded) -> "OpenAIResponse":
        """One vector a text."""
        is_base64 = self.encoding_format == "base64"
        vectors = answer.base64() if is_base64 else answer.numbers()
        data = [OpenAIVector(index=i, embedding=vector) for i, vector in enumerate(vectors)]
        usage = OpenAIUsage(answer.tokens, answer.tokens)
        return OpenAIResponse(data=data, model=answer.model, usage=usage)


class OpenAIVector(Struct, kw_only=True):
    """One text: numbers, or the base64 of little-endian float32."""

    object: str = "embedding"
    index: int
    embedding: list[float] | str


class OpenAIUsage(Struct):
    """Tokens of the texts, prompts included."""

    prompt_tokens: int
    total_tokens: int


class OpenAIResponse(Struct, kw_only=True):
    """OpenAI's answer."""

    object: str = "list"
    data: list[OpenAIVector]
    model: str
    usage: OpenAIUsage


class OpenAIErrorBody(Struct, kw_only=True):
    """What is wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class OpenAIError(Struct, kw_only=True):
    """OpenAI's error."""

    error: OpenAIErrorBody

    @classmethod
    def of(cls, refusal: Refusal) -> "OpenAIError":
        """The body of a refusal."""
        is_ours = refusal.status >= _FIRST_SERVER_ERROR
        kind = "server_error" if is_ours else "invalid_request_error"
        return cls(error=OpenAIErrorBody(message=refusal.message, type=kind, code=refusal.kind))


DIALECT = Dialect(
    name="openai",
    title="OpenAI embeddings",
    request=OpenAIRequest,
    answer=OpenAIResponse,
    example={"input": ["A list has items.", "A tree has leaves."], "model": "any/document"},
    paths=("/v1/embeddings", "/embeddings"),
    error=OpenAIError,
)
