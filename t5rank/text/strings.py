"""Whether a caller's texts are texts."""

from collections.abc import Iterable, Mapping
from typing import Any


def as_text(value: Any, what: str) -> str:
    """A string.

    Raises:
      TypeError: it is something else.
      ValueError: it holds half a character, which has no bytes in UTF-8.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} has the type {_type(value)}; expected a string.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{what} has {error.object[error.start]!a} at {error.start}; expected text. "
                "Read it anew with errors='replace'."
            ) from error
    return value


def as_texts(values: Any, what: str) -> list[str]:
    """The strings of a list, a tuple, a generator, an array, a Series.

    Args:
      values: in an order.
      what: names one of them in errors, such as "Document".

    Raises:
      TypeError: it is one string, or something without an order, or one of its values is no string.
      ValueError: as `as_text`.
    """
    if isinstance(values, (str, bytes, Mapping, set, frozenset)) or not isinstance(
        values, Iterable
    ):
        raise TypeError(
            f"{what}s have the type {_type(values)}; expected a list of strings."
            f"{' Put it in a list.' if isinstance(values, str) else ''}"
        )
    return [as_text(text, f"{what} {i}") for i, text in enumerate(values)]


def _type(value: Any) -> str:
    return type(value).__name__
