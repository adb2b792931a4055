"""How a program that trains ends: at once on a signal, and without waiting for TensorFlow."""

import contextlib
import os
import signal
import sys
import threading
from typing import Any, NoReturn

INTERRUPTED = 143  # what a shell reports for a process that SIGTERM ended
_TWICE = 130  # and for one that Ctrl-C ended
_terminal = 2


def end_on_signals() -> None:
    """SIGTERM and Ctrl-C end the program at once, until a training takes them.

    Python runs a handler in its main thread only, and not while that compiles or waits in native
    code, so a second thread looks, too. It also ends the program at the second Ctrl-C, whoever has
    taken the first.
    """
    global _terminal
    _terminal = os.dup(2)  # what imports write to standard error is kept from it
    seen, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    threading.Thread(target=_watch, args=(seen,), daemon=True, name="signals").start()


def leave(status: int) -> NoReturn:
    """Ends the program without the interpreter's own end.

    That destroys what reads data and waits for its threads, which wait for the interpreter, or for
    input that never comes. Everything has been closed in order by now, as far as it could be.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)


def _watch(seen: int) -> None:
    interrupts = 0
    while True:
        (number,) = os.read(seen, 1)
        interrupts += number == signal.SIGINT
        if interrupts > 1:
            _say_and_exit(number, _TWICE)
        if signal.getsignal(number) is _end:
            _end(number, None)


def _end(number: int, frame: Any) -> None:
    del frame
    _say_and_exit(number, INTERRUPTED)


def _say_and_exit(number: int, status: int) -> NoReturn:
    name = signal.Signals(number).name
    with contextlib.suppress(OSError):
        os.write(
            _terminal, f"\nt5rank: {name}. The same command goes on from what is saved.\n".encode()
        )
    os._exit(status)
