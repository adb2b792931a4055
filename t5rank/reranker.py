"""`Reranker`: a trained model in use. It never imports TensorFlow."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from t5rank import model_folder
from t5rank.models.ranking import RankingModel
from t5rank.onnx.session import OnnxScorer
from t5rank.prompts import PairEncoder
from t5rank.scoring import PairScorer, score_rows
from t5rank.types import PyTree


@dataclasses.dataclass(frozen=True)
class RankedDocument:
    """One document of a ranking.

    Attributes:
      rank: from 1, best first.
      index: where the document was in the input.
      score: higher is better.
      document: its text.
    """

    rank: int
    index: int
    score: float
    document: str


class Reranker:
    """Scores documents for a query with a T5 reranker.

    reranker = Reranker.from_pretrained("MODEL_DIR")
    reranker.score("what is a list", ["A list is ...", "A tuple is ..."])
    reranker.rank("what is a list", documents, topn=10)
    """

    def __init__(
        self,
        model: RankingModel,
        params: PyTree,
        encoder: PairEncoder,
        batch_size: int = 32,
        onnx: OnnxScorer | None = None,
    ):
        self.model = model
        self.params = params
        self.encoder = encoder
        self._scorer = PairScorer(model.score, batch_size=batch_size)
        self._onnx = onnx

    @classmethod
    def from_pretrained(
        cls,
        model_dir: str | os.PathLike[str],
        step: int | None = None,
        batch_size: int = 32,
    ) -> "Reranker":
        """Loads a model folder.

        Args:
          model_dir: a folder written by `t5rank train`, or by `t5rank export`: with ONNX
            Runtime, which needs `pip install 't5rank[onnx]'`.
          step: which checkpoint; the best by validation by default, or else the latest.
          batch_size: inputs scored at once.

        Raises:
          ValueError: the folder, its configuration or its checkpoint is missing or wrong; the
            folder was exported and ONNX Runtime is not installed.
        """
        model, encoder = model_folder.load_config(model_dir)
        weights = model_folder.weights_path(model_dir, step)
        if weights.name == model_folder.ONNX:
            return cls(model, None, encoder, onnx=OnnxScorer(weights))
        step = model_folder.chosen_step(model_dir, step)
        params = model_folder.load_params(model_dir, model, step)
        return cls(model, params, encoder, batch_size=batch_size)

    def score(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """Float32 scores `[len(documents)]`, higher is better.

        Raises:
          ValueError: the query and the prompt are longer than the model's input.
        """
        return self.score_lists([(query, documents)])[0]

    def score_lists(
        self, lists: Sequence[tuple[str, Sequence[str]]], progress: tqdm | None = None
    ) -> list[np.ndarray]:
        """Scores of several queries' documents, batched together by length."""
        pairs = [self.encoder.encode(query, documents) for query, documents in lists]
        rows = [pair.tokens for encoded in pairs for pair in encoded]
        if self._onnx is None:
            scores = self._scorer.score(self.params, rows, progress)
        else:
            scores = score_rows(self._onnx, rows, progress=progress)
        _check_finite(scores)
        ends = np.cumsum([len(encoded) for encoded in pairs])
        return [scores[end - len(p) : end] for end, p in zip(ends, pairs, strict=True)]

    def rank(
        self, query: str, documents: Sequence[str], topn: int | None = None
    ) -> list[RankedDocument]:
        """The documents best first; tied documents keep their order.

        Args:
          query: the query.
          documents: the candidates.
          topn: how many to return; all by default.
        """
        if topn is not None and topn < 1:
            raise ValueError(f"Argument 'topn' has {topn}; expected None or at least 1.")
        scores = self.score(query, documents)
        order = np.argsort(-scores, kind="stable")[:topn]
        return [
            RankedDocument(rank, int(i), float(scores[i]), documents[i])
            for rank, i in enumerate(order, start=1)
        ]


def _check_finite(scores: np.ndarray) -> None:
    bad = int(np.sum(~np.isfinite(scores)))
    if bad:
        raise ValueError(
            f"Model scores have {bad} of {len(scores)} values that are not finite; expected none. "
            "Is the checkpoint from a diverged run?"
        )
