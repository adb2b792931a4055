"""Documents that are texts or objects, as Cohere, Jina, Pinecone and mixedbread send them."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from t5rank.serve.errors import invalid

Document = str | dict[str, Any]
Documents = (
    Annotated[
        list[Document],
        Meta(min_length=1, description="Texts, or objects with 'text' or the 'rank_fields'."),
    ]
    | str
)
RankFields = Annotated[
    list[str],
    Meta(max_length=64, description="The fields of a document that are read; 'text' by default."),
]


def listed(documents: Documents) -> Sequence[Document]:
    """One text as a list of it."""
    return [documents] if isinstance(documents, str) else documents


def texts(documents: Documents, fields: Sequence[str] | None) -> list[str]:
    """What is scored of each document: itself, or its fields with a space between.

    Raises:
      Refusal: an object has no text in any of the fields.
    """
    names = list(dict.fromkeys(fields or ["text"]))
    return [_text(i, document, names) for i, document in enumerate(listed(documents))]


def _text(index: int, document: Document, fields: list[str]) -> str:
    if isinstance(document, str):
        return document
    found = [document.get(name) for name in fields]
    if not any(isinstance(text, str) for text in found):
        raise invalid(
            f"Document {index} has the keys {sorted(document)[:9]}; expected a text in "
            f"{' or '.join(repr(name) for name in fields)}."
        )
    return " ".join(text for text in found if isinstance(text, str))
