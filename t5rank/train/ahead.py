"""Reading ahead, in a thread that nothing has to wait for."""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = 2.0  # seconds: what is being read when reading stops is mostly there at once
_ITEM, _ERROR, _END = range(3)


def read_ahead(items: Iterable[T], ahead: int = 1) -> Generator[T, None, None]:
    """The same items, `ahead` of them made by another thread before they are asked for.

    A signal ends the wait for an item, if its handler raises. Closing stops the thread, which
    closes `items`; it is left behind if it is stuck in reading (a pipe that nobody writes to).

    >>> list(read_ahead(n * n for n in range(4)))
    [0, 1, 4, 9]
    """
    made: queue.Queue[tuple[int, Any]] = queue.Queue(ahead)
    stopped = threading.Event()
    thread = threading.Thread(target=_fill, args=(iter(items), made, stopped), daemon=True)
    thread.start()
    try:
        while True:
            kind, value = made.get()
            if kind == _END:
                return
            if kind == _ERROR:
                raise value
            yield value
    finally:
        value = None  # an error's traceback holds this frame
        stopped.set()
        with contextlib.suppress(queue.Empty):
            while True:
                made.get_nowait()
        thread.join(PATIENCE)


def _fill(items: Iterator[Any], made: queue.Queue, stopped: threading.Event) -> None:
    try:
        for item in items:
            made.put((_ITEM, item))
            if stopped.is_set():
                return
        made.put((_END, None))
    except BaseException as error:
        made.put((_ERROR, error))
    finally:
        if isinstance(items, Generator):
            items.close()
