"""Text Embeddings Inference: vectors."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from t5rank.serve.dialects.common import Dialect, Name
from t5rank.serve.dialects.embedding import SIDES, Dimensions, Embedded, Texts, checked, listed
from t5rank.serve.text_work import TextWork

PromptName = Annotated[
    str,
    Meta(
        description="Which prompt and length the texts have. A model whose two differ needs it.",
        extra_json_schema={"enum": list(SIDES)},
    ),
]
Normalize = Annotated[
    bool,
    Meta(
        description="Vectors of length 1, unless false. Those of a model trained with cosines have "
        "length 1 anyway."
    ),
]
Truncate = Annotated[
    bool, Meta(description="False: a text that is too long is an error. It is cut by default.")
]


class TeiEmbedRequest(Struct, kw_only=True):
    """TEI's request. A text is cut unless `truncate` is false, as TEI does by `auto_truncate`."""

    inputs: Texts
    normalize: Normalize | None = None
    truncate: Truncate | None = None
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = None
    prompt_name: PromptName | None = None
    dimensions: Dimensions | None = None
    model: Name | None = None

    def work(self) -> TextWork:
        """The texts."""
        return TextWork(
            listed(self.inputs, "inputs"),
            checked(self.prompt_name, "prompt_name", SIDES),
            "'prompt_name' is 'query' or 'document'",
            keep_end=self.truncation_direction in ("Left", "left"),
            may_cut=self.truncate is not False,
            normalize=self.normalize is not False,
            dimensions=self.dimensions,
        )

    def answer(self, answer: Embedded) -> list[list[float]]:
        """One vector a text."""
        return answer.numbers()


DIALECT = Dialect(
    name="tei",
    title="TEI embed",
    request=TeiEmbedRequest,
    answer=list[list[float]],
    keys=frozenset({"inputs"}),
    example={"inputs": ["A list has items.", "A tree has leaves."], "prompt_name": "document"},
    paths=("/embed", "/", "/invocations"),
)
