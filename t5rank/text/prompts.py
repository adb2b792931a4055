"""The prompt: how a query and a document become one input, and what is cut when it is too long.

Training, validation, scoring and the server all make their tokens here.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from t5rank.data.errors import DataError
from t5rank.text.added_tokens import OWN
from t5rank.text.chunks import Chunking
from t5rank.text.cutting import Cutter
from t5rank.text.strings import as_text, as_texts
from t5rank.text.templates import MONOT5 as MONOT5
from t5rank.text.templates import RANKT5 as RANKT5
from t5rank.text.vocabulary import EOS_ID, Vocabulary

ONE_INPUT = Chunking()
_COUNTED = 4096  # tokens of a query that is too long: beyond, errors do not say how many


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A template with `{query}` before `{document}`, each once.

    The text is tokenized in three parts, split at the spaces around the document, so a document has
    the same tokens whatever the query. They are the tokens of the whole text, but for the order of
    pieces where two cuts of a run such as "?????" have the same score (7 of 30,159 MS MARCO
    passages). Only the document is cut, unless a query that leaves it no room is cut on request.
    T5's own tokens, such as `</s>` and `<extra_id_10>`, are text to it.

    >>> prompt = Prompt("Query: {query} Document: {document} Relevant:")
    >>> prompt.before_query, prompt.before_document, prompt.after_document
    ('Query: ', ' Document:', 'Relevant:')
    """

    template: str = RANKT5

    def __post_init__(self) -> None:
        counts = (self.template.count("{query}"), self.template.count("{document}"))
        if counts != (1, 1) or self.template.index("{query}") > self.template.index("{document}"):
            raise ValueError(
                f"Prompt '{self.template}' has {{query}} and {{document}} {counts} times; "
                "expected each once, the query first."
            )
        start = self.template.index("{document}")
        around = self.template[start - 1 : start] + self.template[start + 10 :][:1]
        if around.strip():
            raise ValueError(
                f"Prompt '{self.template}' has no space next to {{document}}; expected one, "
                "so that cutting the document leaves the rest as it was."
            )
        own = OWN.search(self.template)
        if own:
            raise ValueError(
                f"Prompt '{self.template}' has {own[0]!r}; expected none of T5's own tokens, which "
                "are text in a prompt, as in a document. Leave it out."
            )

    @property
    def before_query(self) -> str:
        """What precedes the query."""
        return self.template.split("{query}")[0]

    @property
    def before_document(self) -> str:
        """What stands between query and document."""
        return self.template.split("{query}")[1].split("{document}")[0].rstrip()

    @property
    def after_document(self) -> str:
        """What follows the document."""
        return self.template.split("{document}")[1].lstrip()

    def prefix(self, query: str) -> str:
        """The text up to the document."""
        return self.before_query + query + self.before_document


class EncodedPair(NamedTuple):
    """Tokens of one input, end-of-sequence included, and whether its document was cut."""

    tokens: np.ndarray
    is_cut: bool


class EncodedDocument(NamedTuple):
    """A document's inputs, and whether some of its tokens are in none of them."""

    rows: list[np.ndarray]
    is_cut: bool


class Pieces(NamedTuple):
    """Tokens before and after a document, how many it may have, and whether the query was cut."""

    prefix: list[int]
    suffix: list[int]
    room: int
    is_query_cut: bool = False

    def around(self, document: Sequence[int]) -> np.ndarray:
        """Int32 tokens of the input."""
        return np.asarray([*self.prefix, *document, *self.suffix], np.int32)


@dataclasses.dataclass(frozen=True)
class PairEncoder:
    """Tokenizes a query with its documents.

    A query that is not cut is tokenized with the prompt around it. One that leaves its documents no
    room is an error if `strict`; else it keeps its first tokens, half of what the prompt leaves of
    the input, so that query and document have as much each (our rule; where both are long,
    transformers' `longest_first` ends there too).

    Attributes:
      vocabulary: the model's vocabulary.
      prompt: the model's prompt.
      max_length: tokens of the longest input, end-of-sequence included.
      strict: whether a query that leaves no room is an error; if not, it is cut.
      counts: `queries_cut` is added to it.
    """

    vocabulary: Vocabulary
    prompt: Prompt
    max_length: int
    strict: bool = True
    counts: Counter[str] | None = dataclasses.field(default=None, compare=False)

    @functools.cached_property
    def cutter(self) -> Cutter:
        """Tokenizes no more of a long text than is needed."""
        return Cutter(self.vocabulary)

    def encode(self, query: str, documents: Sequence[str]) -> list[EncodedPair]:
        """One int32 array `[length]` per document.

        Raises:
          ValueError: the query and the prompt leave a document not one of `max_length` tokens, and
            that is not repaired.
          TypeError: the query is no string, or the documents are no list of strings.
        """
        documents = as_texts(documents, "Document")
        encoded = self.encode_documents(self.pieces(query), documents)
        return [EncodedPair(rows[0], is_cut) for rows, is_cut in encoded]

    def list_rows(
        self,
        query: str,
        documents: Sequence[str],
        name: str | None = None,
        on_cut: Callable[[str], None] = lambda name: None,
    ) -> list[np.ndarray]:
        """The inputs of a list, one for each document.

        Args:
          query: the list's query.
          documents: its documents.
          name: what errors call the query, and what `on_cut` is told where it is cut.
          on_cut: see `name`.

        Raises:
          DataError: the query leaves no room, and must not be cut.
        """
        pieces = self.pieces(query, name)
        if pieces.is_query_cut:
            on_cut(name or query)
        return [encoded.rows[0] for encoded in self.encode_documents(pieces, documents)]

    def check_query(self, query: str) -> None:
        """Raises DataError where a query leaves no room, and must not be cut."""
        self.pieces(query)

    @property
    def shortest(self) -> int:
        """Tokens that an input needs for its prompt, and for one of its query and its document."""
        pieces = dataclasses.replace(self, max_length=2**30).pieces("")
        return len(pieces.prefix) + len(pieces.suffix) + 2

    def encode_documents(
        self, pieces: Pieces, documents: Sequence[str], chunking: Chunking = ONE_INPUT
    ) -> Iterator[EncodedDocument]:
        """The inputs of each document.

        Args:
          pieces: what stands around them.
          documents: their texts, tokenized together.
          chunking: what is read of a document that is too long.
        """
        tokenized = self.cutter.ends if chunking.keep_end else self.cutter.beginnings
        for tokens in tokenized(documents, chunking.wanted(pieces.room)):
            chunks = chunking.chunks(tokens, pieces.room)
            is_cut = len(tokens) > chunking.covered(pieces.room, len(chunks))
            yield EncodedDocument([pieces.around(chunk) for chunk in chunks], is_cut)

    def pieces(self, query: str, name: str | None = None) -> Pieces:
        """What stands around each document of a query.

        Args:
          query: the query.
          name: what errors call it, such as its id; by default its first letters.

        Raises:
          ValueError: as `encode`.
        """
        text = self.prompt.prefix(as_text(query, "Query"))
        prefix = self._beginning(text, self.max_length)
        suffix = [*self.vocabulary.encode(self.prompt.after_document), EOS_ID]
        room = self.max_length - len(prefix) - len(suffix)
        if room >= 1:
            return Pieces(prefix, suffix, room)
        cut = None if self.strict else self._cut_prefix(query, len(suffix))
        if cut is None:
            raise self._too_long(name or query[:80], text, len(suffix))
        if self.counts is not None:
            self.counts["queries_cut"] += 1
        return Pieces(cut, suffix, self.max_length - len(cut) - len(suffix), is_query_cut=True)

    def _cut_prefix(self, query: str, suffix: int) -> list[int] | None:
        """The tokens up to the document, the query cut; None where the prompt leaves no room."""
        before = self.vocabulary.encode(self.prompt.before_query)
        after = self.vocabulary.encode(self.prompt.before_document)
        left = self.max_length - len(before) - len(after) - suffix
        if left < 2:
            return None
        kept = len(before) + left // 2
        return [*self._beginning(self.prompt.before_query + query, kept)[:kept], *after]

    def _too_long(self, name: str, text: str, suffix: int) -> DataError:
        want = max(self.max_length, _COUNTED)
        length = suffix + len(self._beginning(text, want))
        more = "" if self.cutter.is_short(text, want) else " or more"
        return cut_query_error(
            f"Query '{name}' has {length}{more} tokens with its prompt; "
            f"expected at most {self.max_length - 1}."
        )

    def _beginning(self, text: str, want: int) -> list[int]:
        return self.cutter.beginnings([text], want)[0]


NO_ROOM = "Only documents are cut: shorten the query or raise the input length"


def cut_query_error(fact: str) -> DataError:
    """The error of a query that leaves its documents no room, from its first sentence."""
    return DataError(fact, "strict", "cut it", NO_ROOM, in_python=False)
