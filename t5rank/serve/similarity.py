"""How a dual encoder scores pairs of texts: by the similarity of their vectors."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from t5rank.inference.embedder import Embedder
from t5rank.models.heads import sigmoid
from t5rank.serve.errors import invalid
from t5rank.serve.pairs import TOKENS_A_LETTER
from t5rank.serve.results import Scores
from t5rank.serve.work import Inputs, Work, portions
from t5rank.serve.workers import Task


@dataclasses.dataclass(frozen=True)
class SimilarityPlan:
    """Scores the documents of some work; see `t5rank.serve.plans.Plan`.

    The rows of a list are its query's and its documents'. From 0 to 1 a cosine c is (1 + c) / 2,
    and a dot product its sigmoid.

    Attributes:
      model: the dual encoder.
      work: of the request.

    Raises:
      Refusal: documents should be scored in chunks.
    """

    model: Embedder
    work: Work

    def __post_init__(self) -> None:
        if self.work.max_chunks > 1:
            raise invalid(
                f"Request asks for {self.work.max_chunks} chunks of a document; expected one, as a "
                "dual encoder has one vector a document. Leave out 'max_chunks_per_doc'."
            )

    def _texts(self) -> Iterator[tuple[str, int]]:
        for query, documents in self.work.lists:
            yield query, self.model.query_length
            for document in documents:
                yield document, self._length

    @property
    def _length(self) -> int:
        """Tokens of the longest document, prompt and end-of-sequence included."""
        limit, encoder = self.work.max_document_tokens, self.model.encoder
        if limit is None:
            return encoder.max_length
        return min(encoder.max_length, len(encoder.prompt_tokens("document")) + limit + 1)

    def guess(self) -> int:
        """About how many tokens the request has."""
        return sum(min(most, 1 + int(TOKENS_A_LETTER * len(text))) for text, most in self._texts())

    def letters(self) -> int:
        """About how many letters are tokenized."""
        count = self.model.encoder.cutter.letters
        return sum(count(text, most) for text, most in self._texts())

    def encoding(self, most: int) -> Task[Inputs]:
        """Tokenizes each list's query, then its documents."""
        encoder, length = self.model.encoder, self._length
        rows: list[np.ndarray] = []
        cut: list[int] = []
        count = 0
        for query, documents in self.work.lists:
            yield encoder.cutter.letters(query, self.model.query_length)
            (encoded,) = encoder.encode("query", [query])
            if encoded.is_cut:
                raise ValueError(_too_long(query, self.model.query_length))
            rows.append(encoded.tokens)
            for size, some in portions(documents, encoder.cutter, length):
                yield size
                for one in encoder.encode("document", some, length, self.work.keep_end):
                    rows.append(one.tokens)
                    if one.is_cut:
                        cut.append(count)
                        if not self.work.may_cut:
                            raise ValueError(_must_not_cut(count, length))
                    count += 1
        return Inputs(rows, np.arange(len(rows)), cut, sum(map(len, rows)))

    def result(self, results: np.ndarray, inputs: Inputs) -> Scores:
        """The similarity of each document to its query."""
        scores = []
        for _, documents in self.work.lists:
            end = 1 + len(documents)
            scores.append(self.model.model.list_scores(results[:end]))
            results = results[end:]
        similarities = np.concatenate(scores)
        return Scores(similarities, self._from_0_to_1(similarities))

    def _from_0_to_1(self, similarities: np.ndarray) -> np.ndarray:
        if self.model.similarity == "cosine":
            return np.clip((1 + similarities.astype(np.float64)) / 2, 0, 1)
        return sigmoid(similarities)


def _too_long(query: str, length: int) -> str:
    return (
        f"Query '{query[:80]}' has more than the {length} tokens that the model reads, prompt "
        "included; expected no more. Only documents are cut: shorten the query."
    )


def _must_not_cut(document: int, length: int) -> str:
    return (
        f"Document {document} has more than {length} tokens, prompt included; expected no more, as "
        "the request says that nothing may be cut. Leave out 'truncation' or 'truncate'."
    )
