"""How a model does the work of a request: what it reads, and what is made of its results.

A reranker scores pairs of texts. A dual encoder embeds texts, and scores pairs by the similarity of
their vectors.
"""

from typing import Protocol

import numpy as np

from t5rank.inference.reranker import Reranker
from t5rank.serve.errors import Refusal
from t5rank.serve.loading import LoadedModel
from t5rank.serve.pairs import PairPlan
from t5rank.serve.results import Result
from t5rank.serve.similarity import SimilarityPlan
from t5rank.serve.text_work import TextWork
from t5rank.serve.texts import TextPlan
from t5rank.serve.work import Inputs, Work
from t5rank.serve.workers import Task

AnyWork = Work | TextWork


class Plan(Protocol):
    """What a model reads for a request, and what is made of its results."""

    def guess(self) -> int:
        """About how many tokens the request has."""

    def letters(self) -> int:
        """About how many letters are tokenized."""

    def encoding(self, most: int) -> Task[Inputs]:
        """Tokenizes in pieces, and yields the letters of each before it.

        Args:
          most: rows that are allowed.

        Raises:
          ValueError: the texts cannot become inputs.
        """

    def result(self, results: np.ndarray, inputs: Inputs) -> Result:
        """What the request asked for, from the model's results `[rows, ...]`."""


def plan_of(name: str, model: LoadedModel, work: AnyWork) -> Plan:
    """The plan of a model for some work.

    Args:
      name: the model's name, for errors.
      model: does the work.
      work: of a request.

    Raises:
      Refusal: the model cannot do it.
    """
    if isinstance(model, Reranker):
        if isinstance(work, TextWork):
            raise _no_vectors(name)
        return PairPlan(model, work)
    if isinstance(work, TextWork):
        return TextPlan(name, model, work)
    return SimilarityPlan(model, work)


def _no_vectors(name: str) -> Refusal:
    return Refusal(
        400,
        "model_kind",
        f"Model '{name}' is a reranker, which gives no vectors; expected a dual encoder. Send a "
        "query with documents to /rerank, or name another model.",
    )
