"""Checks of single settings. An error says what the setting has and what was expected.

A setting that has a macro is called by the macro's name.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any


def check_integer(name: str, value: Any, at_least: int = 1, optional: bool = False) -> None:
    """Raises unless the value is an integer of at least `at_least` (or None, if `optional`).

    Raises:
      TypeError: the value has another type. 10.0, "10" and True are not integers here.
      ValueError: the integer is smaller.

    >>> check_integer("BATCH_SIZE", 32)
    >>> check_integer("BATCH_SIZE", 0)
    Traceback (most recent call last):
    ValueError: BATCH_SIZE has 0; expected an integer of at least 1.
    """
    if value is None and optional:
        return
    wanted = f"{'None or ' if optional else ''}an integer of at least {at_least}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(_sentence(name, value, wanted))
    if value < at_least:
        raise ValueError(_sentence(name, value, wanted))


def check_number(
    name: str,
    value: Any,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    optional: bool = False,
) -> None:
    """Raises unless the value is a finite number within the bounds (or None, if `optional`).

    Raises:
      TypeError: the value has another type. "0.1" and True are not numbers here.
      ValueError: the number is NaN, infinite or out of bounds.

    >>> check_number("LEARNING_RATE", -0.1, at_least=0)
    Traceback (most recent call last):
    ValueError: LEARNING_RATE has -0.1; expected a finite number of at least 0.
    """
    if value is None and optional:
        return
    bounds = [
        *([f"of at least {at_least}"] if at_least is not None else []),
        *([f"above {above}"] if above is not None else []),
        *([f"below {below}"] if below is not None else []),
    ]
    wanted = " ".join(
        [f"{'None or ' if optional else ''}a finite number", " and ".join(bounds)]
    ).rstrip()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(_sentence(name, value, wanted))
    try:
        number = float(value)
    except OverflowError:  # an integer beyond the largest float
        number = math.inf
    inside = (
        math.isfinite(number)
        and (at_least is None or number >= at_least)
        and (above is None or number > above)
        and (below is None or number < below)
    )
    if not inside:
        raise ValueError(_sentence(name, value, wanted))


def check_boolean(name: str, value: Any) -> None:
    """Raises TypeError unless the value is True or False."""
    if not isinstance(value, bool):
        raise TypeError(_sentence(name, value, "True or False"))


def check_text(name: str, value: Any, what: str = "a text", optional: bool = False) -> None:
    """Raises unless the value is a string that is not blank (or None, if `optional`).

    Raises:
      TypeError: the value has another type.
      ValueError: the string is blank, or has a null character, which no path has.
    """
    if value is None and optional:
        return
    wanted = f"{'None or ' if optional else ''}{what}"
    if not isinstance(value, str):
        raise TypeError(_sentence(name, value, f"{wanted} in quotes"))
    if not value.strip() or "\0" in value:
        raise ValueError(_sentence(name, value, wanted))


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raises ValueError unless the value is one of the choices. True is not 1."""
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        raise ValueError(_sentence(name, value, f"one of {', '.join(map(repr, choices))}"))


def _sentence(name: str, value: Any, wanted: str) -> str:
    return f"{name} has {value!r:.80}; expected {wanted}."
