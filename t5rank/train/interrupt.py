"""SIGTERM and Ctrl-C, taken as a wish to save and end."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_log = logging.getLogger(__name__)


class Interrupted(KeyboardInterrupt):
    """A signal came while there was nothing to lose."""


class Interrupt:
    """Notes SIGTERM and SIGINT, so that the run saves after the step at hand and ends.

    Use it as a context. Until `take` is called, the signals do what they did before it.
    """

    def __init__(self) -> None:
        self.requested = False
        self._raises = False
        self._times = 0  # that Ctrl-C was pressed
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        return self

    def take(self) -> None:
        """Begins: from now on there is something to save."""
        if not self._before and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Within it, a signal raises `Interrupted`; so does one that came before."""
        self._raises = True
        try:
            if self.requested:
                raise Interrupted
            yield
        finally:
            self._raises = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._times += number == signal.SIGINT
        if self._times > 1:
            raise KeyboardInterrupt  # the second Ctrl-C means it
        if not self.requested:
            _log.warning("%s: saving, then ending.", signal.Signals(number).name)
        self.requested = True
        if self._raises:
            raise Interrupted

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
