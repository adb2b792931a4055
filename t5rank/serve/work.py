"""What every dialect asks of a model, and what it gets."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from t5rank.serve.cutting import Cutter
from t5rank.serve.workers import Task, run_here
from t5rank.text.prompts import PairEncoder, Pieces, query_too_long

_PORTION = 1 << 16  # letters that are tokenized without a break
_LONG_QUERY = 16  # letters for each token of the input; beyond that it is looked at with care
_OVERLAP = 4  # a chunk shares a quarter of its tokens with the one before


@dataclasses.dataclass(frozen=True)
class Work:
    """Documents to score.

    Attributes:
      lists: queries, each with its documents.
      max_document_tokens: documents are cut to so many tokens, or to what the model takes.
      max_chunks: a longer document is scored in so many chunks, and gets the best one's score.
      keep_end: what is cut is the beginning of a document.
      may_cut: whether documents may be cut at all.
    """

    lists: Sequence[tuple[str, Sequence[str]]]
    max_document_tokens: int | None = None
    max_chunks: int = 1
    keep_end: bool = False
    may_cut: bool = True

    def documents(self) -> int:
        """How many there are."""
        return sum(len(documents) for _, documents in self.lists)


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Token rows of `Work`.

    Attributes:
      rows: int32 tokens, one array an input.
      owners: the document of each row, counted over all lists.
      cut: the documents of which some tokens are in no row.
      tokens: in all rows.
    """

    rows: list[np.ndarray]
    owners: np.ndarray
    cut: list[int]
    tokens: int


def encode(encoder: PairEncoder, work: Work, most: int) -> Inputs:
    """Tokenizes at once; see `encoding`."""
    return run_here(encoding(encoder, Cutter(encoder.vocabulary), work, most))


def letters(cutter: Cutter, max_length: int, work: Work) -> int:
    """About how many letters are tokenized for some work."""
    want = _wanted(min(max_length, work.max_document_tokens or max_length), work.max_chunks)
    return sum(
        cutter.letters(query, max_length) + sum(cutter.letters(text, want) for text in documents)
        for query, documents in work.lists
    )


def encoding(encoder: PairEncoder, cutter: Cutter, work: Work, most: int) -> Task[Inputs]:
    """Tokenizes piece by piece, yielding the letters of the next one; see `PairEncoder`.

    Args:
      encoder: the model's.
      cutter: of its vocabulary.
      work: what to tokenize.
      most: rows that are taken.

    Raises:
      ValueError: a query leaves no room, a document is too long and must not be cut, or there are
        too many chunks.
    """
    rows: list[np.ndarray] = []
    owners: list[int] = []
    cut: list[int] = []
    count = 0
    for query, documents in work.lists:
        yield cutter.letters(query, encoder.max_length)
        pieces = _pieces(encoder, cutter, query)
        room = min(pieces.room, work.max_document_tokens or pieces.room)
        # One more than may be, so that too many are known before they are made.
        chunks_wanted = min(work.max_chunks, most + 1)
        want = _wanted(room, chunks_wanted)
        for size, some in _portions(documents, cutter, want):
            yield size
            tokens = (cutter.ends if work.keep_end else cutter.beginnings)(some, want)
            for document in tokens:
                chunks = _chunks(
                    document, room, min(chunks_wanted, most + 1 - len(rows)), work.keep_end
                )
                if len(rows) + len(chunks) > most:
                    raise ValueError(_too_many(most))
                if len(document) > (covered := _covered(room, len(chunks))):
                    cut.append(count)
                    if not work.may_cut:
                        raise ValueError(_must_not_cut(count, covered))
                rows.extend(pieces.around(chunk) for chunk in chunks)
                owners.extend([count] * len(chunks))
                count += 1
    return Inputs(rows, np.asarray(owners, np.int64), cut, sum(map(len, rows)))


def _pieces(encoder: PairEncoder, cutter: Cutter, query: str) -> Pieces:
    """Tokens around a query's documents; a query that is far too long is not tokenized whole."""
    text = encoder.prompt.prefix(query)
    if len(text) > _LONG_QUERY * encoder.max_length:
        (tokens,) = cutter.beginnings([text], encoder.max_length + 1)
        if len(tokens) > encoder.max_length:
            raise ValueError(query_too_long(query, len(tokens), encoder.max_length))
    return encoder.pieces(query)


def _portions(
    documents: Sequence[str], cutter: Cutter, want: int
) -> Iterator[tuple[int, list[str]]]:
    """Documents that are tokenized together, and about how many letters."""
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


def _wanted(room: int, chunks: int) -> int:
    """Tokens of a document that are looked at: one more tells that something is cut."""
    return _covered(room, chunks) + 1


def best(scores: np.ndarray, inputs: Inputs, documents: int) -> np.ndarray:
    """The best of each document's chunks: `[documents]` of `[rows]`."""
    result = np.full(documents, -np.inf, np.float32)
    np.maximum.at(result, inputs.owners, scores)
    return result


def _stride(room: int) -> int:
    return max(1, room - room // _OVERLAP)


def _covered(room: int, chunks: int) -> int:
    return room + (chunks - 1) * _stride(room)


def _chunks(tokens: list[int], room: int, most: int, keep_end: bool) -> list[list[int]]:
    """Overlapping runs of at most `room` tokens, `most` of them."""
    needed = 1 + -(-max(0, len(tokens) - room) // _stride(room)) if room else 1
    count = min(most, needed)
    start = max(0, len(tokens) - _covered(room, count)) if keep_end else 0
    starts = (start + i * _stride(room) for i in range(count))
    return [tokens[i : i + room] for i in starts]


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
