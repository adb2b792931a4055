"""Queries and documents as inputs of their own, as a dual encoder reads them."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from t5rank.text.cutting import Cutter
from t5rank.text.prompts import EncodedPair
from t5rank.text.strings import as_text, as_texts
from t5rank.text.templates import TextPrompts
from t5rank.text.vocabulary import EOS_ID, Vocabulary


@dataclasses.dataclass(frozen=True)
class TextEncoder:
    """Tokenizes queries and documents apart from each other.

    The prompt and the text are one string. Where it is too long, its first tokens stay, and the
    end-of-sequence token is the last: queries are cut as documents are, since a retriever answers
    every query.

    Attributes:
      vocabulary: the model's vocabulary.
      prompt: the model's prompts.
      max_length: tokens of the longest document, prompt and end-of-sequence included.
      strict: not used: nothing here is an error that could be repaired.
      counts: `queries_cut` is added to it.
    """

    vocabulary: Vocabulary
    prompt: TextPrompts
    max_length: int
    strict: bool = True
    counts: Counter[str] | None = dataclasses.field(default=None, compare=False)

    @functools.cached_property
    def cutter(self) -> Cutter:
        """Tokenizes no more of a long text than is needed."""
        return Cutter(self.vocabulary)

    @property
    def query_length(self) -> int:
        """Tokens of the longest query."""
        return min(self.prompt.query_length or self.max_length, self.max_length)

    @property
    def shortest(self) -> int:
        """Tokens that an input needs for its prompt, a token of text and the end of sequence."""
        prompts = self.vocabulary.encode_batch([self.prompt.query, self.prompt.document])
        return max(map(len, prompts)) + 2

    def encode_queries(self, queries: Sequence[str]) -> list[EncodedPair]:
        """One int32 array `[length]` for each query.

        Raises:
          TypeError: they are no list of strings.
        """
        encoded = self._encoded(self.prompt.query, as_texts(queries, "Query"), self.query_length)
        if self.counts is not None:
            self.counts["queries_cut"] += sum(one.is_cut for one in encoded)
        return encoded

    def encode_documents(self, documents: Sequence[str]) -> list[EncodedPair]:
        """One int32 array `[length]` for each document.

        Raises:
          TypeError: they are no list of strings.
        """
        texts = as_texts(documents, "Document")
        return self._encoded(self.prompt.document, texts, self.max_length)

    def list_rows(
        self,
        query: str,
        documents: Sequence[str],
        name: str | None = None,
        on_cut: Callable[[str], None] = lambda name: None,
    ) -> list[np.ndarray]:
        """The inputs of a list: its query, then its documents.

        Args:
          query: the list's query.
          documents: its documents.
          name: what `on_cut` is told where the query is cut.
          on_cut: see `name`.
        """
        (encoded,) = self.encode_queries([as_text(query, "Query")])
        if encoded.is_cut:
            on_cut(name or query)
        return [encoded.tokens, *(one.tokens for one in self.encode_documents(documents))]

    def check_query(self, query: str) -> None:
        """Raises nothing: a query that is too long is cut."""

    def _encoded(self, prompt: str, texts: Sequence[str], length: int) -> list[EncodedPair]:
        rows = self.cutter.beginnings([prompt + text for text in texts], length)
        return [
            EncodedPair(np.asarray([*row[: length - 1], EOS_ID], np.int32), len(row) >= length)
            for row in rows
        ]
