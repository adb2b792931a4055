"""Mixtures of tasks."""

from collections.abc import Sequence
from typing import Any

import seqio

from t5rank.checks import check_integer, check_number
from t5rank.tasks.registry import text_settings

_mixtures: dict[str, Any] = {}


def mixture(
    tasks: Sequence[str],
    rates: Sequence[float] | None = None,
    name: str = "mixture",
    datasets_per_batch: int | None = None,
) -> str:
    """Registers a mixture of tasks, drawn from at `rates`, and returns its name.

    Args:
      tasks: names of tasks, of one vocabulary and one prompt.
      rates: how often each task is drawn from, relative to the others; None, all alike.
      name: the mixture's name.
      datasets_per_batch: of so many tasks a batch is; see `t5rank.tasks.batches`. None mixes all.

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
    check_integer("DATASETS_PER_BATCH", datasets_per_batch, optional=True)
    by_task = list(zip(tasks, rates, strict=True))
    settings = (by_task, datasets_per_batch)
    if name not in seqio.MixtureRegistry.names():
        seqio.MixtureRegistry.add(name, by_task)
        _mixtures[name] = settings
    if _mixtures.get(name) != settings:
        raise ValueError(
            f"Mixture '{name}' has other settings already; expected one registration a name. "
            "Give it another name."
        )
    text_settings(name)  # one vocabulary, one prompt
    return name


def datasets_per_batch(name: str) -> int | None:
    """Of how many tasks a batch is; None for a task, or where a mixture's lists are all mixed."""
    return _mixtures[name][1] if name in _mixtures else None


def rate(name: str, task: str) -> float:
    """How often a task of a mixture is drawn from, relative to the others."""
    return dict(_mixtures[name][0])[task]
