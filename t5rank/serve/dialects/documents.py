"""Documents that are texts or objects, as Cohere, Jina, Pinecone and mixedbread send them."""

import itertools
from collections.abc import Iterable, Sequence
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
    Meta(description="The fields of a document that are read; 'text' by default."),
]


def listed(documents: Documents) -> Sequence[Document]:
    """One text as a list of it."""
    return [documents] if isinstance(documents, str) else documents


def texts(documents: Documents, fields: Sequence[str] | None) -> list[str]:
    """The text of each document: the document itself, or its fields with spaces between.

    Raises:
      Refusal: an object has no text in any of the fields.
    """
    places = {name: i for i, name in enumerate(dict.fromkeys(fields or ["text"]))}
    return [_text(i, document, places) for i, document in enumerate(listed(documents))]


def _text(index: int, document: Document, places: dict[str, int]) -> str:
    """The texts of a document in the order of the fields. Its own keys alone are looked at."""
    if isinstance(document, str):
        return document
    found = sorted(
        (places[name], text)
        for name, text in document.items()
        if name in places and isinstance(text, str)
    )
    if not found:
        raise invalid(
            f"Document {index} has the keys {_some(document)}; expected a text in "
            f"{' or '.join(map(repr, _some(places)))}."
        )
    return " ".join(text for _, text in found)


def _some(names: Iterable[str]) -> list[str]:
    """The first names, the long ones cut."""
    return [name[:80] for name in itertools.islice(names, 9)]
