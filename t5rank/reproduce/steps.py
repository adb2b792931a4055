"""A step of an experiment: a command of `t5rank`, done when its output is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step, which is a command or a call.

    Attributes:
      title: its name for people.
      done: tells whether nothing is left to do.
      command: the arguments of `t5rank`.
      call: a function of this process, for a step without a command.
    """

    title: str
    done: Callable[[], bool]
    command: tuple[str, ...] = ()
    call: Callable[[], None] | None = None
