"""Errors of writing, each a sentence that names the file."""

import contextlib
import errno
from collections.abc import Iterator

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = ("RESOURCE_EXHAUSTED", "No space left", "Disk quota exceeded")  # of C++ libraries


class WriteError(OSError):
    """Something could not be written; the message says what, and why."""


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """Turns the error of a full disk, which names no file, into a sentence that does.

    Args:
      what: what is written, as it begins a sentence: "File 'run.txt'".

    Raises:
      WriteError: the disk is full.
    """
    try:
        yield
    except WriteError:
        raise
    except Exception as error:
        if not is_full(error):
            raise
        raise WriteError(
            f"{what} cannot be written: {reason(error)} Free some, and give the same command again."
        ) from error


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it comes from, says that a disk is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(words in str(error) for words in _FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def reason(error: Exception) -> str:
    """Why something could not be written, as a sentence; libraries say it on pages."""
    if is_full(error):
        return "No space left on the disk."
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{lines[0].rstrip('.')}."
