"""The dialects that are spoken, and how one is told from the others: here and nowhere else."""

from t5rank.serve.dialects import cohere, mixedbread, nim, pinecone, tei, vllm, voyage, weaviate
from t5rank.serve.dialects.common import Dialect

# The first whose keys a body has is its dialect. Where a body has nobody's keys, it is the last of
# those that are spoken on its path.
DIALECTS = (
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


def dialect_of(path: str, keys: set[str]) -> Dialect:
    """The dialect of a body.

    Args:
      path: where it was sent, one of `PATHS`.
      keys: those of its keys that are not null.
    """
    here = spoken(path)
    return next((dialect for dialect in here if dialect.keys & keys), here[-1])
