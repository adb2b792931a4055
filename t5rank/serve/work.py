"""What a request asks of a model, in every dialect, and the inputs that are made of it."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from t5rank.serve.errors import invalid
from t5rank.serve.workers import Task, run_here
from t5rank.text.chunks import Chunking
from t5rank.text.cutting import Cutter
from t5rank.text.prompts import PairEncoder

_PORTION = 1 << 16  # letters that are tokenized without a break
_QUERY_LETTERS = 64  # for each token of an input; T5's longest token has 16


@dataclasses.dataclass(frozen=True)
class Work:
    """Documents to score.

    Attributes:
      lists: queries, each with its documents.
      max_document_tokens: documents are cut to so many tokens; None: to what the model takes.
      max_chunks: a longer document is scored in so many chunks, and has the best chunk's score.
      keep_end: the beginning of a document is cut, not its end.
      may_cut: whether documents may be cut at all.
    """

    lists: Sequence[tuple[str, Sequence[str]]]
    max_document_tokens: int | None = None
    max_chunks: int = 1
    keep_end: bool = False
    may_cut: bool = True

    def documents(self) -> int:
        """The number of documents."""
        return sum(len(documents) for _, documents in self.lists)

    def logged(self) -> dict[str, object]:
        """The texts, for a log that has them."""
        return {"lists": self.lists}

    def chunking(self, most: int | None = None) -> Chunking:
        """How each document becomes chunks, at most so many."""
        chunks = self.max_chunks if most is None else min(self.max_chunks, most)
        return Chunking(self.max_document_tokens, chunks, self.keep_end)


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Token rows of `Work`.

    Attributes:
      rows: int32 tokens, one array an input.
      owners: the document of each row, counted over all lists.
      cut: the documents that have tokens in no row.
      tokens: the number in all rows.
    """

    rows: list[np.ndarray]
    owners: np.ndarray
    cut: list[int]
    tokens: int


def encode(encoder: PairEncoder, work: Work, most: int) -> Inputs:
    """Tokenizes at once; see `encoding`."""
    return run_here(encoding(encoder, work, most))


def check_queries(encoder: PairEncoder, work: Work) -> None:
    """Refuses what is too long for a query, whatever its tokens are.

    Raises:
      Refusal: a query has far more letters than a query of the longest input can have.
    """
    most = _QUERY_LETTERS * encoder.max_length
    for query, _ in work.lists:
        if len(query) > most:
            raise invalid(
                f"Query '{query[:80]}' has {len(query):,} letters; expected at most {most:,}. Only "
                "documents are cut: shorten the query."
            )


def letters(encoder: PairEncoder, work: Work) -> int:
    """About how many letters are tokenized."""
    want = work.chunking().wanted(encoder.max_length)
    count = encoder.cutter.letters
    return sum(
        count(query, encoder.max_length) + sum(count(text, want) for text in documents)
        for query, documents in work.lists
    )


def encoding(encoder: PairEncoder, work: Work, most: int) -> Task[Inputs]:
    """Tokenizes in pieces, and yields the letters of each before it; see `PairEncoder`.

    Args:
      encoder: the model's.
      work: is tokenized.
      most: rows that are allowed.

    Raises:
      ValueError: a query leaves no room, a document is too long and must not be cut, or the
        chunks are too many.
    """
    rows: list[np.ndarray] = []
    owners: list[int] = []
    cut: list[int] = []
    count = 0
    chunking = work.chunking(most + 1)  # one more shows that they are too many
    for query, documents in work.lists:
        yield encoder.cutter.letters(query, encoder.max_length)
        pieces = encoder.pieces(query)
        for size, some in portions(documents, encoder.cutter, chunking.wanted(pieces.room)):
            yield size
            for document in encoder.encode_documents(pieces, some, chunking):
                rows.extend(document.rows)
                owners.extend([count] * len(document.rows))
                if len(rows) > most:
                    raise ValueError(_too_many(most))
                if document.is_cut:
                    cut.append(count)
                    if not work.may_cut:
                        covered = chunking.covered(pieces.room, len(document.rows))
                        raise ValueError(_must_not_cut(count, covered))
                count += 1
    return Inputs(rows, np.asarray(owners, np.int64), cut, sum(map(len, rows)))


def portions(
    documents: Sequence[str], cutter: Cutter, want: int
) -> Iterator[tuple[int, list[str]]]:
    """Documents that are tokenized together, and about how many letters they have."""
    some: list[str] = []
    size = 0
    for document in documents:
        more = cutter.letters(document, want)
        if some and size + more > _PORTION:
            yield size, some
            some, size = [], 0
        some.append(document)
        size += more
    if some:
        yield size, some


def best(scores: np.ndarray, inputs: Inputs, documents: int) -> np.ndarray:
    """The best score of each document's chunks: `[documents]` from `[rows]`."""
    result = np.full(documents, -np.inf, np.float32)
    np.maximum.at(result, inputs.owners, scores)
    return result


def _too_many(most: int) -> str:
    return (
        f"Request has more than {most:,} chunks of documents; expected fewer. Lower "
        "'max_chunks_per_doc', or send fewer documents at a time."
    )


def _must_not_cut(document: int, room: int) -> str:
    return (
        f"Document {document} has more than {room} tokens; expected at most {room} beside this "
        "query, as the request says that nothing may be cut. Leave out 'truncation' or 'truncate'."
    )
