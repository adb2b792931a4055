"""Errors of reading, kept out of TensorFlow.

What a reader raises in a dataset comes out of TensorFlow as pages of its own, with a traceback that
keeps the dataset's threads alive. So the dataset of a reader that failed ends, and its error is
raised here, as it was, where the elements are taken.
"""

import contextlib
import contextvars
import re
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from t5rank.data.errors import DataError
from t5rank.text.prompts import NO_ROOM, cut_query_error

# Our checks' sentences hold "expected"; the id of a query may hold brackets.
_ASSERTION = re.compile(r"assertion failed: \[(.*expected.*?)\](?:$| \[)", re.MULTILINE)
_END = object()


class ReadErrors:
    """What the readers of some datasets raised.

    Attributes:
      any: whether one did: then they all end, as a dataset that repeats would begin once more.
    """

    def __init__(self) -> None:
        self.any = False
        self._raised: list[Exception] = []

    def add(self, error: Exception) -> None:
        """Takes note of an error."""
        self.any = True
        self._raised.append(error)

    def forget(self) -> None:
        """Leaves out what is noted: another error comes first."""
        self._raised.clear()

    def check(self) -> None:
        """Raises the first one, and forgets it: its traceback comes to hold what reads."""
        if self._raised:
            raise self._raised.pop(0)


_collector: contextvars.ContextVar[ReadErrors | None] = contextvars.ContextVar(
    "collector", default=None
)


def collector() -> ReadErrors | None:
    """Where the readers of a dataset that is made now put their errors; None: they raise them."""
    return _collector.get()


@contextlib.contextmanager
def clear_errors(errors: ReadErrors | None = None, place: str | None = None) -> Iterator[None]:
    """Raises the errors of readers and preprocessors of datasets made or read within it.

    What a reader raised is raised as it was; a preprocessor's check gives its sentence.

    Args:
      errors: what the readers of the datasets raised, where they were made in another such block.
      place: what is read, for errors that do not say it.

    Raises:
      ValueError: a preprocessor's check failed, or TensorFlow could not read a file.
    """
    errors = ReadErrors() if errors is None else errors
    said = None
    token = _collector.set(errors)
    try:
        yield
    except tf.errors.OpError as error:
        said = _plain(error, place)  # raised below: the context would hold TensorFlow's frames
    finally:
        _collector.reset(token)
    if said is None:
        errors.check()
        return
    errors.forget()  # readers are ahead: the preprocessors' list is an earlier one
    raise said


def elements(make: Callable[[], tf.data.Dataset], place: str) -> Iterator[Any]:
    """The elements of the dataset that `make` makes, as numpy arrays.

    Args:
      make: makes it.
      place: what is read, for errors that do not say it.

    Raises:
      ValueError: see `clear_errors`; what a reader raises comes as soon as it is known.
    """
    errors = ReadErrors()
    with clear_errors(errors, place):
        try:
            iterator = make().as_numpy_iterator()
        except AssertionError as error:  # seqio's, such as that of a task without a cache
            raise ValueError(f"Data of {place} cannot be read: {error}") from None
    try:
        while True:
            with clear_errors(errors, place):
                element = next(iterator, _END)
            if element is _END:
                return
            yield element
    finally:
        del iterator  # an error's traceback holds this frame, and may outlive everything


def _plain(error: tf.errors.OpError, place: str | None) -> ValueError:
    found = _ASSERTION.search(error.message)
    if found is None:
        message = re.sub(r"\{\{.*?\}\}", "", error.message).strip()  # the graph's own names
        what = re.split(r"\n|\s*\[\[|\s*\[Op:", message, maxsplit=1)[0].rstrip(".")
        return ValueError(
            f"Data of {place or 'a task'} cannot be read: {what or type(error).__name__}."
        )
    said = re.sub(r"\\(.)", r"\1", found[1])  # TensorFlow escapes quotes
    fact, no_room, _ = said.partition(f" {NO_ROOM}.")
    plain = cut_query_error(fact) if no_room else ValueError(said)
    return plain if place is None else placed(plain, place)


def placed(error: ValueError, place: str) -> ValueError:
    """An error about a list, with what the list is of."""
    if isinstance(error, DataError):
        return error.placed(f"Where: {place}.")
    return ValueError(f"{error} Where: {place}.")
