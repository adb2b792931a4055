"""Scores many tokenized inputs: the one scoring path of validation, run files and `Reranker`.

A backend is any function of int32 tokens `[batch, length]` that gives float32 scores `[batch]`.
What it returns is waited for only when several more batches have been given to it. The order of
the results is that of the inputs.
"""

import collections
import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from t5rank import partitioning
from t5rank.batching import default_shapes, padded
from t5rank.models.ranking import RankingModel
from t5rank.packing import InPlaces, PackedShapes, Shapes, pack, slots
from t5rank.programs import Programs, Shape
from t5rank.types import Array, PyTree

T = TypeVar("T")
ScoreFn = Callable[[PyTree, Array], Array]
ScoreTokens = Callable[[np.ndarray], Any]
Rows = Sequence[np.ndarray]

IN_FLIGHT = 4  # batches given to the device and not yet waited for


class PairScorer:
    """A score function compiled for batches of token rows.

    Args:
      score_fn: `(params, tokens [batch, length]) -> [batch]`.
      batch_tokens: tokens of one batch; see `t5rank.batching.default_shapes`.
      mesh: where to run; one device by default.

    Attributes:
      shapes: the batches.
      sharding: where the tokens lie.
      function: the score function, jitted.
      compiled: how many shapes `function` has been compiled for.
    """

    def __init__(
        self, score_fn: ScoreFn, batch_tokens: int | None = None, mesh: Mesh | None = None
    ):
        mesh = partitioning.one_device() if mesh is None else mesh
        self.shapes = default_shapes(
            partitioning.platform(mesh), batch_tokens, partitioning.data_parallelism(mesh)
        )
        self.sharding = partitioning.batch_sharding(mesh)
        self.compiled = 0

        def score(params: PyTree, tokens: Array) -> Array:
            self.compiled += 1  # while tracing only
            return score_fn(params, tokens)

        self.function = jax.jit(partitioning.on_mesh(score, mesh))

    def __call__(self, params: PyTree, tokens: np.ndarray) -> Array:
        """Scores `[batch]` of one batch, still being computed."""
        return self.function(params, jax.device_put(tokens, self.sharding))

    def score(self, params: PyTree, rows: Rows, progress: tqdm | None = None) -> np.ndarray:
        """Float32 scores `[len(rows)]`.

        Args:
          params: the network's parameters.
          rows: one int array of tokens per input, without padding.
          progress: told how many inputs are done.
        """
        (scores,) = score_chunks(lambda x: self(params, x), self.shapes, [rows], progress)
        return scores


class ModelScorer:
    """`scorer(tokens)`: the scores of a model with its parameters, by programs that are kept.

    Attributes:
      model: what is computed.
      params: its parameters.
      shapes: the batches.
    """

    def __init__(
        self,
        model: RankingModel,
        params: PyTree,
        batch_tokens: int | None = None,
        mesh: Mesh | None = None,
    ):
        mesh = partitioning.one_device() if mesh is None else mesh
        pairs = PairScorer(model.score, batch_tokens, mesh)
        self.model = model
        self.params = params
        self.shapes: Shapes = pairs.shapes
        self._sharding = pairs.sharding
        function = pairs.function
        if partitioning.platform(mesh) == "cpu" and partitioning.data_parallelism(mesh) == 1:
            self.shapes = PackedShapes(pairs.shapes.tokens)
            function = jax.jit(partitioning.on_mesh(_of_packed(model), mesh))
        self._programs = Programs(function, pairs.sharding, model.computes)

    def __call__(self, tokens: np.ndarray) -> Any:
        """Scores `[batch]` of one batch, still being computed."""
        if not isinstance(self.shapes, PackedShapes):
            return self._run(tokens)
        packed = pack(tokens, self.shapes)
        return InPlaces(self._run(packed.tokens), packed.places)

    def _run(self, tokens: np.ndarray) -> Array:
        program = self._programs.get(self.params, tokens.shape)
        return program(self.params, jax.device_put(tokens, self._sharding))

    @property
    def compiled(self) -> int:
        """How many programs have been compiled, or read where they are kept."""
        return len(self._programs)

    def prepare(self, shapes: Iterable[Shape], progress: tqdm | None = None) -> None:
        """Compiles the programs of these `(rows, length)`, or reads them."""
        with self.preparing(shapes, progress):
            pass

    def preparing(
        self, shapes: Iterable[Shape], progress: tqdm | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """The same while something else is done; see `Programs`. Shapes do for parameters."""
        if isinstance(self.shapes, PackedShapes):
            shapes = [(rows, 2, length) for rows, length in shapes]
        return self._programs.preparing(self.params, shapes, progress)

    def with_params(self, params: PyTree) -> "ModelScorer":
        """The same programs with other parameters."""
        other = copy.copy(self)
        other.params = params
        return other


def _of_packed(model: RankingModel) -> ScoreFn:
    """Scores `[rows, slots]` of the tokens of `Packed`."""

    def score(params: PyTree, packed: Array) -> Array:
        rows, _, length = packed.shape
        places = jax.numpy.zeros((rows, slots(length)))
        batch = {"encoder_input_tokens": packed[:, 0], "encoder_segment_ids": packed[:, 1]}
        return model.batch_scores(params, batch | {"label": places})

    return score


class _Batch(NamedTuple):
    result: Any
    inputs: np.ndarray  # their places in the chunk
    scores: np.ndarray  # of the whole chunk, to be filled
    is_last: bool


def score_chunks(
    score_tokens: ScoreTokens,
    shapes: Shapes,
    chunks: Iterable[Rows],
    progress: tqdm | None = None,
) -> Iterator[np.ndarray]:
    """Float32 scores `[len(chunk)]` of each chunk, as they are done.

    Args:
      score_tokens: the backend.
      shapes: the batches.
      chunks: token rows that are sorted and batched together; the next chunk is asked for while
        the last batches of one are being computed.
      progress: told how many inputs are done.
    """
    pending: collections.deque[_Batch] = collections.deque()
    for chunk in chunks:
        for batch in _launched(score_tokens, shapes, chunk):
            pending.append(batch)
            if len(pending) > IN_FLIGHT:
                yield from _collected(pending.popleft(), progress)
    while pending:
        yield from _collected(pending.popleft(), progress)


def _launched(score_tokens: ScoreTokens, shapes: Shapes, chunk: Rows) -> Iterator[_Batch]:
    scores = np.zeros(len(chunk), np.float32)
    left = len(chunk)
    if not left:
        yield _Batch(scores, np.arange(0), scores, is_last=True)
    for inputs, shape in shapes.batches([len(row) for row in chunk]):
        left -= len(inputs)
        tokens = padded([chunk[i] for i in inputs], shape)
        yield _Batch(score_tokens(tokens), inputs, scores, is_last=not left)


def _collected(batch: _Batch, progress: tqdm | None) -> Iterator[np.ndarray]:
    batch.scores[batch.inputs] = np.asarray(batch.result)[: len(batch.inputs)]
    if progress is not None:
        progress.update(len(batch.inputs))
    if batch.is_last:
        yield batch.scores


def prefetched(items: Iterable[T], ahead: int = 1) -> Iterator[T]:
    """The same items, `ahead` of them made by another thread before they are asked for.

    >>> list(prefetched(n * n for n in range(4)))
    [0, 1, 4, 9]
    """
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetched")
    try:
        waiting = collections.deque(pool.submit(next, iterator, end) for _ in range(ahead + 1))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]
    finally:
        pool.shutdown(cancel_futures=True)
