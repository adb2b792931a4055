"""Requests that wait for their scores, and the batches that are made of them.

A request is admitted as a whole, while fewer tokens wait than may. Requests are served in fair
order (see `fair`): a batch has inputs of about one length, of the next requests. The inputs of one
request in one batch are a piece of that request.
"""

import dataclasses
import threading
from collections.abc import Callable, Sequence

import numpy as np

from t5rank.inference.batching import padded
from t5rank.inference.packing import Shapes
from t5rank.inference.scoring import Results
from t5rank.serve.fair import FairOrder, Job, rank

_POOL = 32  # batches of tokens, from which a batch of inputs of one length is chosen

Done = Callable[["Request"], None]


class Full(Exception):
    """As many tokens wait as may."""


class Closed(Exception):
    """Another queue has taken over."""


@dataclasses.dataclass(eq=False)
class Request(Job):
    """Inputs of one client, being scored.

    Attributes:
      rows: token rows.
      done: is called once, by the scoring thread, when all `results` are there, or the `error`.
      pending: the rows that wait, the longest first.
      results: the scores of the rows.
      error: what went wrong.
      started: when the first batch was taken, in seconds of `time.perf_counter`.
    """

    rows: Sequence[np.ndarray]
    done: Done
    started: float = 0.0
    error: Exception | None = None

    def __post_init__(self) -> None:
        lengths = np.asarray([len(row) for row in self.rows], np.int64)
        self.pending = np.argsort(-lengths, kind="stable")
        self.lengths = lengths
        self.results = Results(len(lengths))


@dataclasses.dataclass(frozen=True)
class SharedBatch:
    """Inputs of one or several requests that are computed together.

    Attributes:
      tokens: `[rows, length]`, padded.
      parts: requests, and which of their rows are here, in the order of `tokens`.
      used: tokens without padding.
      size: tokens with padding.
    """

    tokens: np.ndarray
    parts: list[tuple[Request, np.ndarray]]
    used: int
    size: int


class Queue:
    """The requests that wait for one model. Any thread may call any method.

    Args:
      shapes: of the batches.
      limit: tokens that may wait. While fewer wait, a request of any size is admitted, so that
        large requests are not refused more often than small ones.
    """

    def __init__(self, shapes: Shapes, limit: int):
        self.limit = limit
        self._shapes = shapes
        self._order = FairOrder()
        self._reserved = 0
        self._waiting: list[Request] = []
        self._changed = threading.Condition()
        self._closed = False

    @property
    def tokens(self) -> int:
        """Tokens that wait, or for which room is reserved."""
        return self._reserved

    @property
    def requests(self) -> int:
        """How many requests have inputs that wait."""
        return len(self._waiting)

    def reserve(self, tokens: int) -> None:
        """Reserves room for a request of about so many tokens.

        Raises:
          Full: no room is left.
          Closed: `close` has been called.
        """
        with self._changed:
            if self._closed:
                raise Closed
            if self._reserved >= max(1, self.limit):
                raise Full
            self._reserved += tokens

    def release(self, tokens: int) -> None:
        """Gives reserved room back."""
        with self._changed:
            self._reserved -= tokens
            self._changed.notify_all()

    def put(self, request: Request, reserved: int) -> None:
        """Adds a request, in the room that was reserved for it."""
        size = int(request.lengths.sum())
        with self._changed:
            self._reserved += size - reserved
            self._order.add(request, size)
            self._waiting.append(request)
            self._changed.notify_all()

    def drop(self, request: Request) -> None:
        """Removes what waits of a request; its computed scores are ignored."""
        with self._changed:
            self._remove(request)
            self._changed.notify_all()

    def close(self) -> None:
        """Lets `take` return None, once every admitted request is scored or dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, wait: bool) -> SharedBatch | None:
        """The next batch. None where nothing waits and `wait` is false, or the queue is closed."""
        with self._changed:
            while not self._waiting:
                if not wait or (self._closed and not self._reserved):
                    return None
                self._changed.wait()
            return self._next_batch()

    def _next_batch(self) -> SharedBatch:
        pool = self._pool()
        self._order.serve(pool[0])
        rows = np.concatenate([request.pending for request in pool])
        lengths = np.concatenate([request.lengths[request.pending] for request in pool])
        owners = np.repeat(np.arange(len(pool)), [len(request.pending) for request in pool])
        # The batch has the longest input of the first request, and none that is longer.
        fitting = np.flatnonzero(lengths <= lengths[0])
        chosen, shape = next(self._shapes.batches(lengths[fitting].tolist()))
        chosen = fitting[chosen]
        parts = [(pool[i], rows[chosen[owners[chosen] == i]]) for i in np.unique(owners[chosen])]
        for request, taken in parts:
            request.pending = request.pending[~np.isin(request.pending, taken)]
            request.tag += int(request.lengths[taken].sum())
        self._waiting = [request for request in self._waiting if len(request.pending)]
        used = int(lengths[chosen].sum())
        self._reserved -= used
        if not self._waiting:
            self._order.rest()
        texts = [request.rows[i] for request, taken in parts for i in taken]
        size = self._shapes.size([len(text) for text in texts], shape)
        return SharedBatch(padded(texts, shape), parts, used, size)

    def _pool(self) -> list[Request]:
        """The next requests, with enough inputs to choose a batch from."""
        pool, tokens = [], 0
        self._waiting.sort(key=rank)
        for request in self._waiting:
            pool.append(request)
            tokens += int(request.lengths[request.pending].sum())
            if tokens >= _POOL * self._shapes.tokens:
                break
        return pool

    def _remove(self, request: Request) -> None:
        if request in self._waiting:
            rest = int(request.lengths[request.pending].sum())
            self._waiting.remove(request)
            self._order.drop(request, rest, self._waiting)
            self._reserved -= rest
            request.pending = request.pending[:0]
