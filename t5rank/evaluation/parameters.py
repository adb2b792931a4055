"""Checks of the measures' parameters, for which ir_measures checks only the types."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

_LARGEST_CUTOFF = 2**31 - 1


def check_parameters(measure: Any) -> None:
    """Raises ValueError for a parameter for which the measure's formula has no meaning."""
    for name, value in measure.params.items():
        holds, expected = _CHECKS.get(name, (lambda value: True, ""))
        if not holds(value):
            raise ValueError(f"has the {name} {value!r}; expected {expected}")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_share(value: Any) -> bool:
    # trec_eval gets it with two digits.
    return 0 <= value <= 1 and math.isclose(100 * value, round(100 * value))


def _are_gains(value: Any) -> bool:
    return all(_is_integer(each) for each in (*value.keys(), *value.values()))


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "cutoff": (
        lambda value: _is_integer(value) and 1 <= value <= _LARGEST_CUTOFF,
        f"a rank from 1 to {_LARGEST_CUTOFF}",
    ),
    "rel": (_is_integer, "an integer"),
    "recall": (_is_share, "a number from 0 to 1 with at most two digits"),
    "beta": (lambda value: 0 <= value <= 1e6, "a number from 0 to 1e6"),
    "p": (lambda value: 0 < value <= 1, "a number above 0, up to 1"),
    "gains": (_are_gains, "integers by integers"),
}
