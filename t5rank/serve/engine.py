"""A loaded model at work: its queue, and a thread for each of its replicas.

The threads wait for work and for the device alone, never for the event loop.
"""

import dataclasses
import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from t5rank.inference.packing import PackedShapes
from t5rank.inference.scoring import run_batches
from t5rank.serve.loading import LoadedModel
from t5rank.serve.queue import Queue, Request, SharedBatch
from t5rank.text.vocabulary import EOS_ID

_AHEAD = 1  # batches that the device has beside the oldest one
_DECAY = 0.95  # of the batches before in the measured rate, with every batch
_SHORT = 64  # tokens of the input that measures a CPU


@dataclasses.dataclass(frozen=True)
class Computed:
    """A computed batch, in numbers.

    Attributes:
      rows: inputs.
      used: tokens without padding.
      size: tokens with padding.
      seconds: since the batch before; on an idle device, since the batch was given to it.
    """

    rows: int
    used: int
    size: int
    seconds: float


class Engine:
    """Scores requests.

    Args:
      replicas: the same model on different devices.
      max_wait: seconds of work that may wait.
      observe: is told of every batch.
    """

    def __init__(
        self,
        replicas: Sequence[LoadedModel],
        max_wait: float,
        observe: Callable[[Computed], None] = lambda batch: None,
    ):
        self.model = replicas[0]
        self.replicas = replicas
        self._max_wait = max_wait
        self._observe = observe
        measured = [_measured(replica) for replica in replicas]
        self._computed, self._seconds = measured[0]
        self.queue = Queue(self.model.shapes, self._limit())
        self._compiled = self._compiles()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, args=(replica,), name="scoring", daemon=True)
            for replica in replicas
        ]
        for thread in self._threads:
            thread.start()

    @property
    def compiles(self) -> int:
        """Programs compiled since the model was ready; 0 is what should be."""
        return self._compiles() - self._compiled

    @property
    def seconds_waiting(self) -> float:
        """How long the waiting work will take."""
        return self.queue.tokens / self.rate

    @property
    def rate(self) -> float:
        """Tokens a second, padding included, over the last batches."""
        return len(self.replicas) * self._computed / self._seconds

    def close(self) -> None:
        """Scores what still waits, then ends the threads."""
        self.queue.close()
        for thread in self._threads:
            thread.join()

    def _compiles(self) -> int:
        return sum({id(r.score_tokens): r.compiled for r in self.replicas}.values())

    def _work(self, replica: LoadedModel) -> None:
        last = 0.0
        launched = functools.partial(self._launched, replica)
        for batch, (result, launch) in run_batches(self.queue.take, launched, _AHEAD):
            self._finish(batch, result)
            now = time.perf_counter()
            self._count(batch, now - max(last, launch))
            last = now

    def _launched(self, replica: LoadedModel, batch: SharedBatch) -> tuple[object, float]:
        """The result, still being computed, or the error; and when the batch was launched."""
        now = time.perf_counter()
        for request, _ in batch.parts:
            request.started = request.started or now
        try:
            return replica.score_tokens(batch.tokens), time.perf_counter()
        except Exception as error:
            return error, time.perf_counter()

    def _finish(self, batch: SharedBatch, result: object) -> None:
        try:
            if isinstance(result, Exception):
                raise result
            scores = np.asarray(result)
        except Exception as error:
            logging.getLogger(__name__).exception("A batch could not be scored.")
            for request, _ in batch.parts:
                self._fail(request, error)
            return
        start = 0
        for request, rows in batch.parts:
            self._give(request, rows, scores[start : start + len(rows)])
            start += len(rows)

    def _give(self, request: Request, rows: np.ndarray, scores: np.ndarray) -> None:
        if not np.isfinite(scores).all():
            self._fail(request, ValueError("Model results have values that are not finite."))
            return
        with self._lock:
            request.results.put(rows, scores)
            is_done = not request.results.left and request.error is None
        if is_done:
            request.done(request)

    def _fail(self, request: Request, error: Exception) -> None:
        self.queue.drop(request)
        with self._lock:
            is_first, request.error = request.error is None, error
        if is_first:
            request.done(request)

    def _count(self, batch: SharedBatch, seconds: float) -> None:
        rows = sum(len(rows) for _, rows in batch.parts)
        with self._lock:
            self._computed = _DECAY * self._computed + batch.size
            self._seconds = _DECAY * self._seconds + seconds
            self.queue.limit = self._limit()
        self._observe(Computed(rows, batch.used, batch.size, seconds))

    def _limit(self) -> int:
        return int(self._max_wait * self.rate)


def _measured(model: LoadedModel) -> tuple[float, float]:
    """Tokens, padding included, and the seconds that they took.

    A device computes the longest inputs, which need most memory. A CPU computes one short input: it
    has memory to spare, and would be ready a second later. The first run of a program takes longer
    than the second, which is the one that counts.

    Raises:
      ValueError: the scores are not finite.
    """
    if isinstance(model.shapes, PackedShapes):
        _one_batch(model, min(_SHORT, model.encoder.max_length), rest=1)
        return _one_batch(model, min(_SHORT, model.encoder.max_length), rest=1)
    return _one_batch(model, model.encoder.max_length, rest=1 << 30)


def _one_batch(model: LoadedModel, longest: int, rest: int) -> tuple[float, float]:
    length = model.shapes.length(longest)
    rows = model.shapes.rows(length, rest)
    tokens = _some_tokens(model, rows * length).reshape(rows, length)
    start = time.perf_counter()
    scores = np.asarray(model.score_tokens(tokens))
    seconds = time.perf_counter() - start
    if not np.isfinite(scores).all():
        raise ValueError(
            f"Model results have {np.sum(~np.isfinite(scores))} of {scores.size} values that are "
            "not finite; expected none. Is the checkpoint from a diverged run?"
        )
    return float(model.shapes.size([length] * rows, (rows, length))), seconds


def _some_tokens(model: LoadedModel, count: int) -> np.ndarray:
    """Tokens spread over the vocabulary, so that many of its embeddings are looked at."""
    return np.linspace(EOS_ID, len(model.encoder.vocabulary) - 1, count, dtype=np.int32)
