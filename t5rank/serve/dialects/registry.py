"""All dialects, and how a body's dialect is found."""

from typing import Any

from t5rank.serve.dialects import (
    cohere,
    cohere_embed,
    mixedbread,
    nim,
    openai,
    pinecone,
    tei,
    tei_embed,
    vllm,
    voyage,
    weaviate,
)
from t5rank.serve.dialects.common import Dialect, Error

EMBEDDING = (tei_embed.DIALECT, cohere_embed.DIALECT, openai.DIALECT)  # these ask for vectors

# A body is of the first dialect that has one of its keys. If none has, it is of the last dialect
# of its path.
DIALECTS = (
    *EMBEDDING,
    *vllm.DIALECTS,
    tei.DIALECT,
    nim.DIALECT,
    mixedbread.DIALECT,  # has top_k, as Voyage
    weaviate.DIALECT,
    voyage.DIALECT,
    pinecone.DIALECT,
    cohere.DIALECT,
)
PATHS = tuple(dict.fromkeys(path for dialect in reversed(DIALECTS) for path in dialect.paths))


def spoken(path: str) -> list[Dialect]:
    """The dialects of a path."""
    return [dialect for dialect in DIALECTS if path in dialect.paths]


def error_of(path: str) -> type[Any]:
    """The body of a refusal on a path."""
    here = spoken(path)
    return here[-1].error if here else Error


def dialect_of(path: str, keys: set[str]) -> Dialect:
    """The dialect of a body.

    Args:
      path: where it was sent, one of `PATHS`.
      keys: those of its keys that are not null.
    """
    here = spoken(path)
    return next((dialect for dialect in here if dialect.keys & keys), here[-1])
