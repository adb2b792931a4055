"""An experiment folder: its description and the paths of its pieces.

DIR/experiment.json               the description of the experiment, see `Experiment`
DIR/arms/ARM/seed_N/              model folders
DIR/sets/SET/qrels.txt            judgements
DIR/sets/SET/first_stage.txt      the candidates in the first stage's order, a TREC run
DIR/runs/SET/ARM-seed_N.txt       the same candidates in a model's order
DIR/lists/SET/, DIR/lists/train/  lists with the texts (see `t5rank.data.jsonl`)
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t5rank.evaluation import parse_measures

FILE = "experiment.json"
FORMAT = 1


@dataclass(frozen=True)
class Arm:
    """One way of training that is compared with others. It is run with every seed."""

    name: str
    title: str
    recipe: str


@dataclass(frozen=True)
class EvaluationSet:
    """Queries, judgements and a first stage's candidates.

    Attributes:
      name: the name of its folders.
      title: its name for people.
      first_stage: the first stage and the number of its candidates.
      measures: names of ir_measures, separated by white space. The first one is decisive.
    """

    name: str
    title: str
    first_stage: str
    measures: str


@dataclass(frozen=True)
class Headline:
    """A figure that others published, from a setting of their own."""

    system: str
    set: str
    first_stage: str
    measure: str
    value: float
    source: str


@dataclass(frozen=True)
class Experiment:
    """The content of `experiment.json`.

    Attributes:
      folder: the experiment folder.
      seeds: the seeds. Every arm is trained with each of them.
      baseline: the arm that the others are compared with.
      inputs: size and checksum ("sha256:..." or "md5:...") of files, by their paths relative to the
        data folder.
      versions: the versions of the packages.
    """

    folder: Path
    name: str
    title: str
    description: str
    command: str
    seeds: tuple[int, ...]
    baseline: str
    arms: tuple[Arm, ...]
    sets: tuple[EvaluationSet, ...]
    size: str = ""
    headlines: tuple[Headline, ...] = ()
    inputs: tuple[Mapping[str, Any], ...] = ()
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def label(self, arm: str, seeds: int) -> str:
        """An arm's title, and how many of its seeds there are unless all are there."""
        wanted = len(self.seeds)
        note = "" if seeds == wanted else f" ({seeds} of {wanted} seeds)"
        return self.arm(arm).title + note

    @property
    def others(self) -> tuple[Arm, ...]:
        """The arms that are compared with the baseline."""
        return tuple(arm for arm in self.arms if arm.name != self.baseline)

    def model(self, arm: str, seed: int) -> Path:
        return self.folder / "arms" / arm / f"seed_{seed}"

    def run(self, name: str, arm: str, seed: int) -> Path:
        return self.folder / "runs" / name / f"{arm}-seed_{seed}.txt"

    def qrels(self, name: str) -> Path:
        return self.folder / "sets" / name / "qrels.txt"

    def first_stage(self, name: str) -> Path:
        return self.folder / "sets" / name / "first_stage.txt"

    def lists(self, name: str) -> Path:
        """The lists of a set, or those of training, whose name is "train"."""
        return self.folder / "lists" / name


def read_experiment(folder: str | os.PathLike[str]) -> Experiment:
    """Reads DIR/experiment.json.

    Raises:
      ValueError: the file is missing or has another format, a key is missing or unknown, the
        baseline is not an arm, or a measure is unknown.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        raise ValueError(
            f"Folder '{folder}' has no {FILE}; expected a folder that t5rank reproduce writes."
        )
    try:
        values = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"File '{file}' is malformed: {error}; expected JSON.") from None
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise ValueError(f"File '{file}' has another format; expected 'format': {FORMAT}.")
    try:
        experiment = _experiment(Path(folder), values)
    except (TypeError, KeyError) as error:
        raise ValueError(f"File '{file}' has an error: {error}; expected format 1.") from None
    _check(experiment, file)
    return experiment


def _experiment(folder: Path, values: dict[str, Any]) -> Experiment:
    parts: dict[str, Any] = {
        "seeds": tuple(values.pop("seeds")),
        "arms": tuple(Arm(**arm) for arm in values.pop("arms")),
        "sets": tuple(EvaluationSet(**each) for each in values.pop("sets")),
        "headlines": tuple(Headline(**each) for each in values.pop("headlines", ())),
        "inputs": tuple(values.pop("inputs", ())),
    }
    return Experiment(folder=folder, **parts, **values)


def _check(experiment: Experiment, file: Path) -> None:
    names = [arm.name for arm in experiment.arms]
    if experiment.baseline not in names:
        raise ValueError(
            f"Baseline '{experiment.baseline}' of '{file}' is not an arm; expected one of {names}."
        )
    for kind, values in (
        ("arm", names),
        ("arms' title", [arm.title for arm in experiment.arms]),
        ("set", [each.name for each in experiment.sets]),
        ("sets' title", [each.title for each in experiment.sets]),
        ("seed", list(experiment.seeds)),
    ):
        if not values or len(set(values)) < len(values):
            raise ValueError(f"File '{file}' has the {kind}s {values}; expected each once.")
    for each in experiment.sets:
        parse_measures(each.measures)
