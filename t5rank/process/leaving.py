"""The end of a training program: at once on a signal, and without waiting for TensorFlow."""

import contextlib
import os
import signal
import sys
import threading
from typing import Any, NoReturn

INTERRUPTED = 143  # a shell's status of a process that SIGTERM ended
_INTERRUPTED_TWICE = 130  # a shell's status of a process that Ctrl-C ended
_terminal = 2


def end_on_signals() -> None:
    """Makes SIGTERM and Ctrl-C end the program at once, until training handles them itself.

    Python runs a signal handler only in its main thread, and not while that compiles or waits in
    native code. A second thread therefore watches, too. It also ends the program at the second
    Ctrl-C, even if training handled the first.
    """
    global _terminal
    _terminal = os.dup(2)  # standard error is redirected during some imports
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    threading.Thread(target=_watch, args=(read,), daemon=True, name="signals").start()


def leave(status: int) -> NoReturn:
    """Ends the program without the interpreter's shutdown.

    The shutdown would wait for threads that read data, and these wait for the interpreter or for
    input that never comes. Everything that can be closed has been closed by now.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)


def _watch(read: int) -> None:
    interrupts = 0
    while True:
        (number,) = os.read(read, 1)
        interrupts += number == signal.SIGINT
        if interrupts > 1:
            _say_and_exit(number, _INTERRUPTED_TWICE)
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
