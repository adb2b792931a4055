"""Threads that read requests, tokenize them, and write the answers.

A task is a generator, which returns its result. What it does between two `yield`s is a piece. It
yields the length of the next piece. Pieces are served in fair order. One thread takes no long
pieces, so that short ones never wait for long ones.
"""

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Generator, Hashable
from typing import Any, TypeVar

from t5rank.process.cores import core_count
from t5rank.serve.fair import FairOrder, Job, rank

T = TypeVar("T")
Task = Generator[float, None, T]

_LONG = 1 << 18  # letters or bytes; tokenizing so many takes about 0.1 s


@dataclasses.dataclass(eq=False)
class _Piece(Job):
    """A task that waits for its next piece to be served.

    Attributes:
      task: the generator.
      length: of the next piece.
      done: is called once, by a worker, with the result and the error.
      is_dropped: whether nobody waits for the result.
    """

    task: Task[Any]
    length: float
    done: Callable[[Any, BaseException | None], None]
    is_dropped: bool = False


def once(function: Callable[[], T]) -> Task[T]:
    """A task of one piece."""
    return function()
    yield 0  # makes it a generator


def run_here(task: Task[T]) -> T:
    """The result of a task, which runs without breaks."""
    while True:
        try:
            next(task)
        except StopIteration as end:
            return end.value


class Workers:
    """Threads that serve tasks in fair order.

    Args:
      threads: at least two; by default one for each core, from two to eight.
    """

    def __init__(self, threads: int | None = None):
        self._most_long = (threads or max(2, min(8, core_count()))) - 1
        self._order = FairOrder()
        self._waiting: list[_Piece] = []
        self._long = 0  # long pieces that are being done
        self._changed = threading.Condition()
        for _ in range(self._most_long + 1):
            threading.Thread(target=self._work, name="preparing", daemon=True).start()

    async def run(
        self,
        task: Task[T],
        length: float,
        client: Hashable = "",
        unclaimed: Callable[[T], None] = lambda result: None,
    ) -> T:
        """The result of a task.

        Args:
          task: see above. It is closed at its next `yield` if the caller is cancelled.
          length: of its first piece, about the size of the request.
          client: the client.
          unclaimed: takes the result if the caller has been cancelled.

        Raises:
          Exception: what the task raises.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def finish(result: Any, error: BaseException | None) -> None:
            if error is not None and not future.done():
                future.set_exception(error)
            elif error is None and not future.done():
                future.set_result(result)
            elif error is None:
                unclaimed(result)

        def done(result: Any, error: BaseException | None) -> None:
            try:
                loop.call_soon_threadsafe(finish, result, error)
            except RuntimeError:  # the loop has ended
                if error is None:
                    unclaimed(result)

        piece = _Piece(task, length, done, client=client)
        with self._changed:
            self._order.add(piece, length)
            self._waiting.append(piece)
            self._changed.notify()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                unclaimed(future.result())
            raise
        finally:
            piece.is_dropped = True

    def _work(self) -> None:
        while True:
            piece, is_long = self._take()
            try:
                if piece.is_dropped:
                    piece.task.close()
                    continue
                piece.length = next(piece.task)
            except StopIteration as end:
                piece.done(end.value, None)
            except BaseException as error:
                piece.done(None, error)
            else:
                self._put_back(piece)
            finally:
                with self._changed:
                    self._long -= is_long
                    self._changed.notify()

    def _take(self) -> tuple[_Piece, bool]:
        with self._changed:
            while not (able := self._able()):
                self._changed.wait()
            piece = min(able, key=rank)
            is_long = piece.length > _LONG
            self._waiting.remove(piece)
            self._order.serve(piece)
            piece.tag += piece.length
            self._long += is_long
            if not self._waiting:
                self._order.rest()
            return piece, is_long

    def _able(self) -> list[_Piece]:
        if self._long < self._most_long:
            return self._waiting
        return [piece for piece in self._waiting if piece.length <= _LONG]

    def _put_back(self, piece: _Piece) -> None:
        with self._changed:
            self._waiting.append(piece)
            self._changed.notify()
