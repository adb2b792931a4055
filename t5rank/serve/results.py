"""What a model computed for a request: scores of documents, or vectors of texts."""

from typing import NamedTuple

import numpy as np

_LETTERS = 20  # of a number in JSON


class Scores(NamedTuple):
    """Scores of documents.

    Attributes:
      scores: `[documents]` float32, of all lists one after the other.
      probabilities: the same from 0 to 1, float64, in the same order.
    """

    scores: np.ndarray
    probabilities: np.ndarray

    @property
    def letters(self) -> int:
        """About how many letters they have in JSON, beside those of the request."""
        return 0


class Vectors(NamedTuple):
    """Vectors of texts.

    Attributes:
      vectors: `[texts, dim]` float32.
    """

    vectors: np.ndarray

    @property
    def letters(self) -> int:
        """About how many letters they have in JSON."""
        return _LETTERS * self.vectors.size


Result = Scores | Vectors
