"""Mixtures of tasks."""

from collections.abc import Sequence
from typing import Any

import seqio

from t5rank.checks import check_number
from t5rank.tasks.registry import text_settings

_mixtures: dict[str, Any] = {}


def mixture(
    tasks: Sequence[str], rates: Sequence[float] | None = None, name: str = "mixture"
) -> str:
    """Registers a mixture of tasks, drawn from at `rates`, and returns its name.

    Args:
      tasks: names of tasks, of one vocabulary and one prompt.
      rates: how often each task is drawn from, relative to the others; None, all alike.
      name: the mixture's name.

    Raises:
      ValueError: another number of rates than of tasks, a task twice, a rate that is not above 0,
        or a mixture of this name with other settings.
    """
    for rate in rates or ():
        check_number("RATES", rate, above=0)
    rates = [1.0] * len(tasks) if rates is None else [*map(float, rates)]
    if len(rates) != len(tasks) or len(set(tasks)) != len(tasks) or not tasks:
        raise ValueError(
            f"Mixture '{name}' has the tasks {[*tasks]} and {len(rates)} rates; expected different "
            "tasks (give each its own 'name'), and a rate of each."
        )
    settings = list(zip(tasks, rates, strict=True))
    if name not in seqio.MixtureRegistry.names():
        seqio.MixtureRegistry.add(name, settings)
        _mixtures[name] = settings
    if _mixtures.get(name) != settings:
        raise ValueError(
            f"Mixture '{name}' has other settings already; expected one registration a name. "
            "Give it another name."
        )
    text_settings(name)  # one vocabulary, one prompt
    return name
