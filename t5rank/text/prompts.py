"""The prompt: how a query and a document become one input, and what is cut when it is too long.

Training, evaluation and serving all take a prompt apart here, so they cannot disagree.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from t5rank.data.errors import DataError
from t5rank.text.added_tokens import OWN
from t5rank.text.strings import as_text, as_texts
from t5rank.text.templates import MONOT5 as MONOT5
from t5rank.text.templates import RANKT5 as RANKT5
from t5rank.text.vocabulary import EOS_ID, Vocabulary


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A template with `{query}` before `{document}`, each once.

    The text is tokenized in three parts, split at the spaces around the document, which for a
    SentencePiece vocabulary gives the tokens of the whole. (In 7 of 30,159 MS MARCO passages the
    same pieces come in another order: two cuts of a run such as "?????" tie.) Only the document is
    cut, unless a query that leaves it no room is cut on request. T5's own tokens, such as `</s>`
    and `<extra_id_10>`, are text to it.

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
    """Tokens of one input, end-of-sequence included, and how many document tokens were cut."""

    tokens: np.ndarray
    cut: int


class Pieces(NamedTuple):
    """Tokens before and after a document, and how many the document may have."""

    prefix: list[int]
    suffix: list[int]
    room: int

    def around(self, document: Sequence[int]) -> np.ndarray:
        """Int32 tokens of the input, the document cut to its room."""
        return np.asarray([*self.prefix, *document[: self.room], *self.suffix], np.int32)


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

    def encode(self, query: str, documents: Sequence[str]) -> list[EncodedPair]:
        """One int32 array `[length]` per document.

        Raises:
          ValueError: the query and the prompt leave a document not one of `max_length` tokens, and
            that is not repaired.
          TypeError: the query is no string, or the documents are no list of strings.
        """
        documents = as_texts(documents, "Document")
        pieces = self.pieces(query)
        return [
            EncodedPair(pieces.around(document), max(len(document) - pieces.room, 0))
            for document in self.vocabulary.encode_batch(documents)
        ]

    def pieces(self, query: str) -> Pieces:
        """What stands around each document of a query.

        Raises:
          ValueError: as `encode`.
        """
        prefix = self.vocabulary.encode(self.prompt.prefix(as_text(query, "Query")))
        suffix = [*self.vocabulary.encode(self.prompt.after_document), EOS_ID]
        room = self.max_length - len(prefix) - len(suffix)
        if room >= 1:
            return Pieces(prefix, suffix, room)
        cut = None if self.strict else self._cut_prefix(query, len(suffix))
        if cut is None:
            raise query_too_long(query[:80], len(prefix) + len(suffix), self.max_length)
        if self.counts is not None:
            self.counts["queries_cut"] += 1
        return Pieces(cut, suffix, self.max_length - len(cut) - len(suffix))

    def _cut_prefix(self, query: str, suffix: int) -> list[int] | None:
        """The tokens up to the document, the query cut; None where the prompt leaves no room."""
        before = self.vocabulary.encode(self.prompt.before_query)
        after = self.vocabulary.encode(self.prompt.before_document)
        left = self.max_length - len(before) - len(after) - suffix
        if left < 2:
            return None
        with_query = self.vocabulary.encode(self.prompt.before_query + query)
        return [*with_query[: len(before) + left // 2], *after]


NO_ROOM = "Only documents are cut: shorten the query or raise the input length"


def query_too_long(query: str, length: int, max_length: int) -> DataError:
    """The error for a query that leaves its documents no room."""
    return cut_query_error(
        f"Query '{query}' has {length} tokens with its prompt; expected at most {max_length - 1}."
    )


def cut_query_error(fact: str) -> DataError:
    """The error of `query_too_long`, from its first sentence."""
    return DataError(fact, "strict", "cut it", NO_ROOM, in_python=False)
