"""`Reranker`: a trained model in use. It never imports TensorFlow."""

import collections
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from t5rank import model_folder
from t5rank.inference.batching import padded
from t5rank.inference.loading import ExportedScorer, load_scorer
from t5rank.inference.packing import Shapes
from t5rank.inference.scoring import Compute, ModelScorer, prefetched, run_batches, run_chunks
from t5rank.model_folder import ModelFolder
from t5rank.models.heads import sigmoid
from t5rank.models.ranking import RankingModel
from t5rank.text.prompts import EncodedPair, PairEncoder
from t5rank.text.strings import as_text, as_texts
from t5rank.text.vocabulary import EOS_ID
from t5rank.types import PyTree

T = TypeVar("T")
CHUNK = 4096  # documents sorted by length together: enough for even batches, few enough to hold


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

    A model folder is all that it needs:

        reranker = Reranker.from_pretrained("MODEL_DIR")
        reranker.score("what is a list", ["A list is ...", "A tuple is ..."])
        reranker.rank("what is a list", documents, topn=10)

    Attributes:
      probability: a function that gives scores from 0 to 1, float64, of scores, in the same order:
        the sigmoid; of monoT5 the exponential, the probability of "true".
    """

    def __init__(
        self,
        encoder: PairEncoder,
        score_tokens: Compute,
        shapes: Shapes,
        probability: Callable[[np.ndarray], np.ndarray] = sigmoid,
    ):
        """A reranker of any backend.

        Args:
          encoder: makes tokens of texts.
          score_tokens: scores `[batch]` of int32 tokens `[batch, length]`.
          shapes: the batches that suit it.
          probability: gives scores from 0 to 1 of scores.
        """
        self.encoder = encoder
        self.score_tokens = score_tokens
        self.shapes = shapes
        self.probability = probability

    @classmethod
    def from_pretrained(
        cls,
        model_dir: str | os.PathLike[str],
        step: int | None = None,
        batch_tokens: int | None = None,
        mesh: Mesh | None = None,
        like: "Reranker | None" = None,
        progress: tqdm | None = None,
    ) -> "Reranker":
        """Loads a model folder.

        On a CPU activations are float32 whatever they were in training.

        Args:
          model_dir: a folder written by `t5rank train`, or by `t5rank export`: with ONNX
            Runtime, which needs `pip install 't5rank[onnx]'`.
          step: which checkpoint; the best by validation by default, or else the latest.
          batch_tokens: tokens scored at once, padding included; what suits the device by default.
          mesh: devices to run on (see `t5rank.models.partitioning`); the first by default.
          like: a reranker on the same devices, whose compiled programs serve this one too where
            only the parameters differ.
          progress: where given, every shape is compiled while the parameters are read, and it is
            told of each.

        Raises:
          ValueError: the folder, its configuration or its checkpoint is missing or wrong.
          MissingExtra: the folder was exported, and ONNX Runtime is not installed.
        """
        opened = model_folder.open_folder(model_dir, step)
        return cls.from_folder(opened, batch_tokens, mesh, like, progress)

    @classmethod
    def from_folder(
        cls,
        opened: ModelFolder,
        batch_tokens: int | None = None,
        mesh: Mesh | None = None,
        like: "Reranker | None" = None,
        progress: tqdm | None = None,
    ) -> "Reranker":
        """An open model folder's model; see `from_pretrained`.

        Raises:
          ValueError: the model is no reranker.
        """
        encoder = opened.encoder
        if not isinstance(encoder, PairEncoder):
            raise ValueError(
                f"Model folder '{opened.path}' has a {opened.model.kind.name}; expected a "
                "reranker, which reads a query and a document together. Take t5rank.Embedder, or "
                "the commands encode and search."
            )
        if opened.is_exported:
            exported = ExportedScorer(opened, batch_tokens)
            return cls(encoder, exported, exported.shapes, opened.model.head.probability)
        same_shapes = like is not None and like.encoder.max_length == encoder.max_length
        programs = like.score_tokens if like is not None and same_shapes else None
        programs = programs if isinstance(programs, ModelScorer) else None
        scorer = load_scorer(opened, batch_tokens, mesh, programs, progress)
        return cls(encoder, scorer, scorer.shapes, scorer.model.head.probability)

    @classmethod
    def from_model(
        cls,
        model: RankingModel,
        params: PyTree,
        encoder: PairEncoder,
        batch_tokens: int | None = None,
        mesh: Mesh | None = None,
    ) -> "Reranker":
        """A model in memory, run by JAX; see `from_pretrained`."""
        scorer = ModelScorer(model, params, batch_tokens, mesh)
        return cls(encoder, scorer, scorer.shapes, model.head.probability)

    def __repr__(self) -> str:
        scorer = self.score_tokens
        network = "ONNX" if not isinstance(scorer, ModelScorer) else repr(scorer.model)
        return f"Reranker({network}, {self.encoder!r})"

    @property
    def compiled(self) -> int:
        """How many programs have been compiled so far, or read where they are kept."""
        scorer = self.score_tokens
        return scorer.compiled if isinstance(scorer, ModelScorer) else 0

    def warm_up(self, progress: tqdm | None = None) -> int:
        """Compiles every shape, so that none is compiled later; returns how many.

        What needs most memory is computed once. Of a backend of another kind every shape is, one
        while the next is being compiled; one that takes any shape has none to compile.
        """
        shapes = self.shapes.all(self.encoder.max_length) if self.shapes.closed else []
        if isinstance(self.score_tokens, ModelScorer):
            self.score_tokens.prepare(shapes, progress)
            np.asarray(self.score_tokens(np.full(shapes[0], EOS_ID, np.int32)))
            return len(shapes)
        left = iter(shapes)
        empty = run_batches(lambda _: next(left, None), lambda x: self.score_tokens(padded([], x)))
        for _, scores in empty:
            np.asarray(scores)
            if progress is not None:
                progress.update()
        return len(shapes)

    def score(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """Float32 scores `[len(documents)]`, higher is better.

        Args:
          query: the query.
          documents: strings: a list, a tuple, a generator, an array or a Series of them.

        Raises:
          ValueError: the query and the prompt are longer than the model's input.
          TypeError: the query is no string, or the documents are no strings, or one string.
        """
        return self.score_lists([(query, documents)])[0]

    def score_lists(
        self, lists: Sequence[tuple[str, Sequence[str]]], progress: tqdm | None = None
    ) -> list[np.ndarray]:
        """Scores of several queries' documents, batched together by length."""
        return list(self.score_stream(lists, progress))

    def score_stream(
        self, lists: Iterable[tuple[str, Sequence[str]]], progress: tqdm | None = None
    ) -> Iterator[np.ndarray]:
        """Scores of each query's documents, in order, as they are done.

        The memory that it takes does not depend on how many lists there are: they are read by
        another thread, which tokenizes `CHUNK` documents while those before are being scored.

        Raises:
          ValueError: as `score`; what was being scored then is lost.
          TypeError: as `score`; or one of `lists` is no pair.
        """
        sizes: collections.deque[list[int]] = collections.deque()

        def rows() -> Iterator[list[np.ndarray]]:
            for chunk in prefetched(
                map(self._encoded, chunks(map(_checked, lists), lambda item: len(item[1])))
            ):
                sizes.append([len(pairs) for pairs in chunk])
                yield [pair.tokens for pairs in chunk for pair in pairs]

        for scores in run_chunks(self.score_tokens, self.shapes, rows(), progress):
            _check_finite(scores)
            yield from np.split(scores, np.cumsum(sizes.popleft())[:-1])

    def _encoded(self, lists: Sequence[tuple[str, Sequence[str]]]) -> list[list[EncodedPair]]:
        return [self.encoder.encode(query, documents) for query, documents in lists]

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
        documents = as_texts(documents, "Document")
        scores = self.score(query, documents)
        order = np.argsort(-scores, kind="stable")[:topn]
        return [
            RankedDocument(rank, int(i), float(scores[i]), documents[i])
            for rank, i in enumerate(order, start=1)
        ]


def _checked(item: tuple[str, Sequence[str]]) -> tuple[str, list[str]]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise TypeError(
            f"List has the type {type(item).__name__}; expected a query and its documents."
        )
    return as_text(item[0], "Query"), as_texts(item[1], "Document")


def chunks(lists: Iterable[T], documents: Callable[[T], int]) -> Iterator[list[T]]:
    """Lists in groups of at least `CHUNK` documents, but for the last.

    Args:
      lists: in order.
      documents: how many a list has.
    """
    chunk, size = [], 0
    for item in lists:
        chunk.append(item)
        size += documents(item)
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _check_finite(scores: np.ndarray) -> None:
    bad = int(np.sum(~np.isfinite(scores)))
    if bad:
        raise ValueError(
            f"Model scores have {bad} of {len(scores)} values that are not finite; expected none. "
            "Is the checkpoint from a diverged run?"
        )
