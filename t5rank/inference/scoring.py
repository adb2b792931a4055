"""Runs a model over many tokenized inputs, for validation, run files, `Reranker` and the server.

A backend is any function of int32 tokens `[batch, length]` that gives float32 results
`[batch, ...]`: a score for each input, or a vector. What it returns is waited for only when several
more batches have been given to it. The order of the results is that of the inputs.
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

from t5rank.inference.batching import default_shapes, padded
from t5rank.inference.packing import InPlaces, PackedShapes, Shapes, pack, slots
from t5rank.inference.programs import Programs, Shape
from t5rank.models import partitioning
from t5rank.models.ranking import RankingModel
from t5rank.types import Array, PyTree

T = TypeVar("T")
B = TypeVar("B")
R = TypeVar("R")
Compute = Callable[[np.ndarray], Any]
Rows = Sequence[np.ndarray]

IN_FLIGHT = 4  # batches given to the device and not yet waited for


class ModelScorer:
    """`scorer(tokens)`: the scores of a model with its parameters, by programs that are kept.

    Args:
      model: what is computed.
      params: its parameters; None where `with_params` gives them.
      batch_tokens: tokens of one batch; see `t5rank.inference.batching.default_shapes`.
      mesh: where to run; one device by default.

    Attributes:
      model: as given.
      params: as given.
      shapes: the batches.
    """

    def __init__(
        self,
        model: RankingModel,
        params: PyTree = None,
        batch_tokens: int | None = None,
        mesh: Mesh | None = None,
    ):
        mesh = partitioning.one_device() if mesh is None else mesh
        self.model = model
        self.params = params
        kind, parts = partitioning.platform(mesh), partitioning.data_parallelism(mesh)
        self.shapes: Shapes = default_shapes(kind, batch_tokens, parts)
        score: Callable[[PyTree, Array], Array] = model.score
        if kind == "cpu" and parts == 1:
            self.shapes = PackedShapes(self.shapes.tokens)
            score = _of_packed(model)
        self._sharding = partitioning.batch_sharding(mesh)
        function = jax.jit(partitioning.on_mesh(score, mesh))
        self._programs = Programs(function, self._sharding, model.computes)

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

    def score(self, rows: Rows, progress: tqdm | None = None) -> np.ndarray:
        """Float32 scores `[len(rows)]`, or other results `[len(rows), ...]`.

        Args:
          rows: one int array of tokens per input, without padding.
          progress: told how many inputs are done.
        """
        (scores,) = run_chunks(self, self.shapes, [rows], progress)
        return scores

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
        """The same programs with other parameters, of the same shapes in the same places."""
        other = copy.copy(self)
        other.params = params
        return other


def _of_packed(model: RankingModel) -> Callable[[PyTree, Array], Array]:
    """Scores `[rows, slots]` of the tokens of `Packed`."""

    def score(params: PyTree, packed: Array) -> Array:
        rows, _, length = packed.shape
        places = jax.numpy.zeros((rows, slots(length)))
        batch = {"encoder_input_tokens": packed[:, 0], "encoder_segment_ids": packed[:, 1]}
        return model.results(params, batch | {"label": places})

    return score


def run_batches(
    take: Callable[[bool], B | None], compute: Callable[[B], R], ahead: int = IN_FLIGHT
) -> Iterator[tuple[B, R]]:
    """Each batch and its result, in order. Every loop that scores is this one.

    Args:
      take: gives the next batch, or None where there is none. It is told whether it may wait for
        one: only where no result is due. None then ends the loop.
      compute: gives a batch to the device, without waiting for the result.
      ahead: how many batches the device has at most when the oldest result is given out.

    >>> batches = iter("ab")
    >>> list(run_batches(lambda wait: next(batches, None), str.upper))
    [('a', 'A'), ('b', 'B')]
    """
    running: collections.deque[tuple[B, R]] = collections.deque()
    while True:
        batch = take(not running)
        if batch is not None:
            running.append((batch, compute(batch)))
        elif not running:
            return
        if batch is None or len(running) > ahead:
            yield running.popleft()


class Results:
    """Float32 results `[inputs, ...]`, put in batch by batch.

    Args:
      inputs: how many there are.

    Attributes:
      left: inputs without a result.
    """

    def __init__(self, inputs: int):
        self.left = inputs
        self._shape = (inputs,)
        self._array: np.ndarray | None = None

    def put(self, inputs: np.ndarray, results: np.ndarray) -> None:
        """Takes the results `[len(inputs), ...]` of some inputs."""
        if self._array is None:
            self._array = np.zeros(self._shape + results.shape[1:], np.float32)
        self._array[inputs] = results
        self.left -= len(inputs)

    @property
    def array(self) -> np.ndarray:
        """All results; `[inputs]` where there is none yet, which says no shape."""
        return np.zeros(self._shape, np.float32) if self._array is None else self._array


class _Batch(NamedTuple):
    tokens: np.ndarray
    inputs: np.ndarray  # their places in the chunk
    results: Results  # of the whole chunk


def run_chunks(
    compute: Compute,
    shapes: Shapes,
    chunks: Iterable[Rows],
    progress: tqdm | None = None,
) -> Iterator[np.ndarray]:
    """Float32 results `[len(chunk), ...]` of each chunk, as they are done.

    Args:
      compute: the backend.
      shapes: the batches.
      chunks: token rows that are sorted and batched together; the next chunk is asked for while
        the last batches of one are being computed.
      progress: told how many inputs are done.
    """
    batches = _batches(shapes, chunks)

    def result(batch: _Batch) -> Any:
        return compute(batch.tokens) if len(batch.inputs) else None

    for batch, computed in run_batches(lambda _: next(batches, None), result):
        if len(batch.inputs):
            batch.results.put(batch.inputs, np.asarray(computed)[: len(batch.inputs)])
        if progress is not None:
            progress.update(len(batch.inputs))
        if not batch.results.left:
            yield batch.results.array


def _batches(shapes: Shapes, chunks: Iterable[Rows]) -> Iterator[_Batch]:
    for chunk in chunks:
        results = Results(len(chunk))
        if not len(chunk):
            yield _Batch(np.zeros((0, 0), np.int32), np.arange(0), results)
        for inputs, shape in shapes.batches([len(row) for row in chunk]):
            yield _Batch(padded([chunk[i] for i in inputs], shape), inputs, results)


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
