"""Scores many tokenized inputs: the one scoring path of validation, run files and `Reranker`.

Inputs are sorted by length and batched over a closed set of shapes, so that little is padding and
few programs are compiled. The order of the results is that of the inputs.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from t5rank import partitioning
from t5rank.types import Array, PyTree
from t5rank.vocabulary import PAD_ID

ScoreFn = Callable[[PyTree, Array], Array]


def length_bucket(length: int) -> int:
    """The padded length of an input: steps of 16 up to 128, then eight steps to a power of two.

    >>> [length_bucket(n) for n in (1, 33, 128, 129, 300, 512)]
    [32, 48, 128, 144, 320, 512]
    """
    step = 16 if length <= 128 else 1 << (int(length - 1).bit_length() - 4)
    return max(32, -(-length // step) * step)


class PairScorer:
    """Runs a score function over token rows of any lengths.

    Args:
      score_fn: `(params, tokens [batch, length]) -> [batch]`; it is compiled here.
      batch_size: rows of one batch, rounded up to a multiple of the data parallelism.
      mesh: where to run; one device by default.
    """

    def __init__(self, score_fn: ScoreFn, batch_size: int = 32, mesh: Mesh | None = None):
        self._score = jax.jit(score_fn)
        self._mesh = (
            mesh
            if mesh is not None
            else Mesh(
                np.asarray(jax.local_devices()[:1]).reshape(1, 1),
                (partitioning.DATA, partitioning.MODEL),
            )
        )
        parts = partitioning.data_parallelism(self._mesh)
        self._batch_size = -(-batch_size // parts) * parts
        self._sharding = partitioning.batch_sharding(self._mesh)

    def score(
        self, params: PyTree, rows: Sequence[np.ndarray], progress: tqdm | None = None
    ) -> np.ndarray:
        """Float32 scores `[len(rows)]`.

        Args:
          params: the network's parameters.
          rows: one int array of tokens per input, without padding.
          progress: told how many inputs are done.
        """
        scores = np.zeros(len(rows), np.float32)
        # Longest first: what needs most memory fails at once, and the time left is not overstated.
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        pending: list[tuple[list[int], Array]] = []
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            pending.append((batch, self._score(params, self._padded([rows[i] for i in batch]))))
            # One batch computes while the next is padded.
            if len(pending) > 1:
                _collect(scores, *pending.pop(0), progress)
        for batch, result in pending:
            _collect(scores, batch, result, progress)
        return scores

    def _padded(self, rows: Sequence[np.ndarray]) -> Array:
        length = length_bucket(max(len(row) for row in rows))
        tokens = np.full((self._batch_size, length), PAD_ID, np.int32)
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = row
        return jax.device_put(tokens, self._sharding)


def _collect(
    scores: np.ndarray, batch: list[int], result: Array | np.ndarray, progress: tqdm | None
) -> None:
    scores[batch] = np.asarray(result)[: len(batch)]
    if progress is not None:
        progress.update(len(batch))


def score_rows(
    score_batch: Callable[[np.ndarray], np.ndarray],
    rows: Sequence[np.ndarray],
    batch_size: int = 4,
    progress: tqdm | None = None,
) -> np.ndarray:
    """Float32 scores `[len(rows)]` by a function that takes batches of any shape, such as ONNX's.

    Args:
      score_batch: `tokens [batch, length] -> [batch]`.
      rows: one int array of tokens per input, without padding.
      batch_size: rows of one batch; few, so that they are of nearly equal length.
      progress: told how many inputs are done.
    """
    scores = np.zeros(len(rows), np.float32)
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        tokens = np.full((len(batch), max(len(rows[batch[0]]), 1)), PAD_ID, np.int32)
        for row, i in zip(tokens, batch, strict=True):
            row[: len(rows[i])] = rows[i]
        _collect(scores, batch, score_batch(tokens), progress)
    return scores
