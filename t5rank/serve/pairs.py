"""How a reranker scores pairs of texts."""

import dataclasses

import numpy as np

from t5rank.inference.reranker import Reranker
from t5rank.serve.results import Scores
from t5rank.serve.work import Inputs, Work, best, check_queries, encoding, letters
from t5rank.serve.workers import Task
from t5rank.text.prompts import PairEncoder

TOKENS_A_LETTER = 0.3  # a guess, until a text is tokenized


@dataclasses.dataclass(frozen=True)
class PairPlan:
    """Scores the documents of some work; see `t5rank.serve.plans.Plan`.

    Attributes:
      model: the reranker.
      work: of the request.

    Raises:
      Refusal: a query is far too long.
    """

    model: Reranker
    work: Work

    def __post_init__(self) -> None:
        check_queries(self._encoder, self.work)

    @property
    def _encoder(self) -> PairEncoder:
        return self.model.encoder

    def guess(self) -> int:
        """About how many tokens the request has."""
        tokens, most = 0, self._encoder.max_length
        for query, documents in self.work.lists:
            around = 1 + int(TOKENS_A_LETTER * len(query))
            room = max(1, min(most - around, self.work.max_document_tokens or most))
            for document in documents:
                size = int(TOKENS_A_LETTER * len(document))
                chunks = min(self.work.max_chunks, 1 + size // room)
                tokens += chunks * around + min(size, chunks * room)
        return tokens

    def letters(self) -> int:
        """About how many letters are tokenized."""
        return letters(self._encoder, self.work)

    def encoding(self, most: int) -> Task[Inputs]:
        """Tokenizes pairs; see `t5rank.serve.work.encoding`."""
        return encoding(self._encoder, self.work, most)

    def result(self, results: np.ndarray, inputs: Inputs) -> Scores:
        """Each document's best score."""
        scores = best(results, inputs, self.work.documents())
        return Scores(scores, self.model.probability(scores))
