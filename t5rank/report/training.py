"""Facts on training from an experiment's model folders: curves, costs, configurations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t5rank.runs.records import Record, read_records
from t5rank.runs.run_file import load_run

CONFIG = "config.gin"
_BINDING = re.compile(r"^(\S+) = ?(.*(?:\n[ \t]+.*)*)", re.MULTILINE)
_QUOTED = re.compile(r"""(?<=["'])(?:\w+://|/)[^"'\n]*?([^"'/\n]+)/?(?=["'])""")
_BARE = re.compile(r"""(?<![\w./"'])(?:\w+://|/)(?:[^\s/"']+/)+([^\s/"']+)/?""")


@dataclass(frozen=True)
class TrainedModel:
    """One model folder.

    Attributes:
      records: the lines of metrics.jsonl.
      run: the content of run.json; empty until training has ended.
      configuration: the text of config.gin.
    """

    records: Sequence[Record]
    run: Mapping[str, Any]
    configuration: str


@dataclass(frozen=True)
class Curve:
    """One figure of one arm against steps, over its seeds.

    Attributes:
      steps: the steps that every seed has.
      mean, low, high: the mean, the smallest and the largest figure of the seeds.
      seeds: the number of seeds.
    """

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: int


@dataclass(frozen=True)
class Cost:
    """The cost of training a model. Unknown values are None.

    Attributes:
      device_hours: hours of training without validation, times the number of devices.
      mfu: operations per second as a share of the devices' peak.
      best: the step of the checkpoint that is used.
      measured: False if run.json is missing and the costs are sums of logged steps.
    """

    steps: int | None = None
    documents: float | None = None
    tokens: float | None = None
    device_hours: float | None = None
    tokens_per_second: float | None = None
    mfu: float | None = None
    device: str | None = None
    best: int | None = None
    measured: bool = True


def read_model(folder: Path) -> TrainedModel:
    """Reads a model folder, of which files may be missing."""
    config = (folder / CONFIG).read_text() if (folder / CONFIG).is_file() else ""
    return TrainedModel(read_records(folder), load_run(folder) or {}, without_folders(config))


def without_folders(text: str) -> str:
    """A text with absolute paths cut to their last name.

    >>> without_folders("DATA_DIR = '/home/me/data'")
    "DATA_DIR = '.../data'"
    >>> without_folders("t5rank report /home/me/experiment --without_texts")
    't5rank report .../experiment --without_texts'
    """
    return _BARE.sub(r".../\1", _QUOTED.sub(r".../\1", text))


def validation_metrics(models: Sequence[TrainedModel]) -> list[str]:
    """The names of the validated metrics, in the log's order.

    A model's "answerable/..." are left out if all its lists are answerable.
    """
    names: dict[str, None] = {}
    for model in models:
        for record in model.records:
            if record["part"] == "validation":
                same = record.get("answerable/lists") == record.get("lists")
                hidden = ("step", "part") if not same else ("step", "part", "answerable/")
                names |= {
                    name: None
                    for name in record
                    if not name.startswith(hidden) and not name.endswith("lists")
                }
    return list(names)


def curve(models: Sequence[TrainedModel], part: str, name: str) -> Curve | None:
    """A figure's curve over models that differ in their seed; None if a model has no point."""
    points = [
        {r["step"]: r[name] for r in model.records if r["part"] == part and name in r}
        for model in models
    ]
    steps = sorted(set.intersection(*map(set, points))) if points else []
    if not steps:
        return None
    values = np.array([[each[step] for step in steps] for each in points], float)
    return Curve(np.array(steps), values.mean(0), values.min(0), values.max(0), len(points))


def cost(model: TrainedModel) -> Cost:
    """The cost from run.json, or, without one, the sums of metrics.jsonl."""
    run = model.run
    if not run:
        return _logged_cost(model)
    seconds, peak = run["seconds"], run.get("peak_operations_per_second")
    return Cost(
        steps=run["steps"],
        documents=run["documents"],
        tokens=run["tokens"],
        device_hours=seconds * run["devices"] / 3600,
        tokens_per_second=run["tokens"] / seconds if seconds else None,
        mfu=run["operations"] / seconds / peak if peak and seconds else None,
        device=f"{run['devices']} x {run['device_kind']}",
        best=run["best"]["step"] if run.get("best") else None,
    )


def _logged_cost(model: TrainedModel) -> Cost:
    """The sums of the records, which are means over steps. Their seconds need a known rate."""
    tokens, before = 0.0, 0
    for record in model.records:
        if record["part"] == "train" and "tokens" in record:
            tokens += record["tokens"] * (record["step"] - before)
            before = record["step"]
    return Cost(steps=before or None, tokens=tokens or None, measured=False)


def bindings(configuration: str) -> dict[str, str]:
    """The bindings of a configuration: values by name, as they are written.

    >>> bindings("A = 1\\nb.c = \\\\\\n    [1,\\n     2]\\n")
    {'A': '1', 'b.c': '[1, 2]'}
    """
    found = _BINDING.findall(configuration)
    return {name: " ".join(value.replace("\\\n", "\n").split()) for name, value in found}


def differences(configurations: Mapping[str, str], ignored: Sequence[str]) -> list[list[str]]:
    """The bindings that differ: [name, each configuration's value], with "" for none.

    Names that end with one of `ignored` are left out.
    """
    bound = {name: bindings(text) for name, text in configurations.items()}
    names = dict.fromkeys(name for values in bound.values() for name in values)
    rows = [[name, *(values.get(name, "") for values in bound.values())] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1 and not row[0].endswith(tuple(ignored))]
