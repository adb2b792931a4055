"""Runs the steps of an experiment, one after the other; after a stop, the next run continues."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import t5rank
from t5rank.formats.json_files import write_json
from t5rank.process.leaving import INTERRUPTED
from t5rank.report.experiment import (
    FILE,
    FORMAT,
    Arm,
    EvaluationSet,
    Experiment,
    read_experiment,
)
from t5rank.reproduce.designs import Design
from t5rank.reproduce.inputs import check_inputs, read_checked
from t5rank.reproduce.planning import Options, plan
from t5rank.reproduce.steps import Step

_PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "seqio", "tensorflow", "ir-measures")
INPUTS = "inputs.json"
_FIXED = ("name", "size", "arms", "sets")


def reproduce(design: Design, options: Options, command: str, *, dry_run: bool = False) -> int:
    """Runs the steps that are not done; returns the exit status of the step that failed, or 0.

    Args:
      design: the experiment.
      options: its folders, seeds and settings.
      command: what the user typed, for the report.
      dry_run: whether the steps are only printed.

    Raises:
      ValueError: inputs are missing or wrong, or the folder has an experiment of other settings.
      MissingExtra: the packages of training are not installed; a dry run does not need them.
    """
    experiment = _experiment(design, options, command)
    steps = plan(design, experiment, options)
    if dry_run:
        print("\n".join(_described(steps)))
        return 0
    from t5rank.train.lock import locked  # loads JAX

    with locked(options.folder):
        _check_same(experiment)
        _write(experiment, _checked_inputs(design, options))
        return _run(steps)


def _experiment(design: Design, options: Options, command: str) -> Experiment:
    arms = tuple(Arm(arm.name, arm.title, arm.gin_files[0]) for arm in design.arms)
    sets = tuple(
        EvaluationSet(each.name, each.title, each.first_stage, each.measures)
        for each in design.sets
    )
    return Experiment(
        folder=options.folder,
        name=design.name,
        title=design.title,
        description=design.description,
        command=command,
        seeds=options.seeds,
        baseline=arms[0].name,
        arms=arms,
        sets=sets,
        size=design.size,
        headlines=design.headlines,
        versions={"t5rank": t5rank.__version__, "Python": platform.python_version(), **_versions()},
    )


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):  # a dry run does not need it
            versions[name] = importlib.metadata.version(name)
    return versions


def _checked_inputs(design: Design, options: Options) -> list[dict[str, Any]]:
    file = options.folder / INPUTS
    found = check_inputs(design.inputs, options.data, read_checked(file))
    options.folder.mkdir(parents=True, exist_ok=True)
    write_json(file, {"inputs": found})
    return found


def _check_same(experiment: Experiment) -> None:
    """Raises ValueError if the folder has an experiment that differs in more than added seeds."""
    if not (experiment.folder / FILE).is_file():
        return
    before = read_experiment(experiment.folder)
    compared = [
        *((name, getattr(before, name), getattr(experiment, name)) for name in _FIXED),
        ("seeds", before.seeds, experiment.seeds[: len(before.seeds)]),
        ("command", *map(_command_but_for_seeds, (before, experiment))),
    ]
    for name, has, wanted in compared:
        if has != wanted:
            raise ValueError(
                f"Experiment folder '{experiment.folder}' has the {name} {has!r}; expected "
                f"{wanted!r}. Choose another --output, or give the same command; only --seeds may "
                "grow."
            )


def _command_but_for_seeds(experiment: Experiment) -> str:
    return experiment.command.replace(f" --seeds {len(experiment.seeds)}", "")


def _write(experiment: Experiment, inputs: Sequence[Mapping[str, Any]]) -> None:
    values = dataclasses.asdict(experiment)
    del values["folder"]
    names = ("path", "size", "checksum")
    values["inputs"] = [{name: each[name] for name in names} for each in inputs]
    write_json(experiment.folder / FILE, {"format": FORMAT, **values})


def _described(steps: Sequence[Step]) -> Iterator[str]:
    for number, step in enumerate(steps, start=1):
        yield f"# {number}/{len(steps)} {step.title}{' (done)' if step.done() else ''}"
        if step.command:
            yield f"t5rank {shlex.join(step.command)}"


def _run(steps: Sequence[Step]) -> int:
    start = time.monotonic()
    for number, step in enumerate(steps, start=1):
        if step.done():
            continue
        minutes = (time.monotonic() - start) / 60
        print(f"\n== {number}/{len(steps)}  {step.title}  ({minutes:.0f} min)", flush=True)
        if step.call is not None:
            step.call()
            continue
        status = _status([sys.executable, "-m", "t5rank", *step.command])
        if status:
            print(
                f"t5rank: step {number}, '{step.title}', ended with {status}. The same command "
                "goes on from here.",
                file=sys.stderr,
            )
            return status
    return 0


def _status(command: Sequence[str]) -> int:
    """Runs a command and passes signals on to it; returns INTERRUPTED if it then ended well."""
    with subprocess.Popen(command) as process, _passed_on(process) as signals:
        status = process.wait()
    if signals and not status:
        return INTERRUPTED
    return 128 - status if status < 0 else status


@contextmanager
def _passed_on(process: subprocess.Popen) -> Iterator[list[int]]:
    """Sends SIGTERM to the step on SIGTERM and on Ctrl-C, which may reach only this process."""
    signals: list[int] = []

    def note(number: int, frame: Any) -> None:
        del frame
        signals.append(number)
        process.terminate()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def default_folder(design: Design) -> Path:
    """The folder of an experiment without --output."""
    return Path(f"t5rank_{design.name}_{design.size}")
