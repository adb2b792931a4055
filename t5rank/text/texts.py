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
        encoded = self.encode("query", as_texts(queries, "Query"))
        if self.counts is not None:
            self.counts["queries_cut"] += sum(one.is_cut for one in encoded)
        return encoded

    def encode_documents(self, documents: Sequence[str]) -> list[EncodedPair]:
        """One int32 array `[length]` for each document.

        Raises:
          TypeError: they are no list of strings.
        """
        return self.encode("document", as_texts(documents, "Document"))

    def encode(
        self, side: str, texts: Sequence[str], length: int | None = None, keep_end: bool = False
    ) -> list[EncodedPair]:
        """One int32 array for each text.

        Args:
          side: "query" or "document".
          texts: all queries, or all documents.
          length: tokens of the longest input; what the model reads by default.
          keep_end: whether the beginning of a text that is too long is cut, not its end. The prompt
            stays.
        """
        is_query = side == "query"
        prompt = self.prompt.query if is_query else self.prompt.document
        length = length or (self.query_length if is_query else self.max_length)
        rows = self.cutter.beginnings([prompt + text for text in texts], length)
        encoded = []
        for text, row in zip(texts, rows, strict=True):
            is_cut = len(row) >= length
            kept = self._end(side, text, length) if is_cut and keep_end else row[: length - 1]
            encoded.append(EncodedPair(np.asarray([*kept, EOS_ID], np.int32), is_cut))
        return encoded

    def prompt_tokens(self, side: str) -> list[int]:
        """The tokens of a prompt by itself."""
        return self.vocabulary.encode(
            self.prompt.query if side == "query" else self.prompt.document
        )

    def _end(self, side: str, text: str, length: int) -> list[int]:
        prompt = self.prompt_tokens(side)
        room = max(1, length - 1 - len(prompt))
        (end,) = self.cutter.ends([text], room)
        return [*prompt, *end[-room:]][: length - 1]

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
