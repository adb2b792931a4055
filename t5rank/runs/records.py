"""`metrics.jsonl`, which has one JSON object per record, and figures that are computed from it.

{"step": 100, "part": "train", "steps": 50, "seconds": 12.5, "loss": ..., "tokens": ...}
{"step": 100, "part": "validation", "lists": 207, "mrr@10": ...}

A training record is about the last `steps` steps up to `step`. Its values are means per step, but
`seconds` is all the time since the previous record: compilation counts, validation does not. Every
checkpoint has a record, so that a resumed run can read what came before.
"""

import math
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from t5rank.formats.json_files import read_lines

METRICS = "metrics.jsonl"
TRAIN, VALIDATION = "train", "validation"
Record = Mapping[str, Any]
_REMOVE = "Remove the line to go on without it."


def read_records(folder: str | os.PathLike[str], until: int | None = None) -> list[Record]:
    """The records of a model folder, without those of later steps than `until`.

    Raises:
      ValueError: a line is damaged. Half a last line, which a crash may leave, is skipped.
    """
    file = epath.Path(folder) / METRICS
    records = read_lines(file, ("step", "part"), _REMOVE) if file.is_file() else []
    return [record for record in records if until is None or record["step"] <= until]


def is_validated(records: Iterable[Record], step: int) -> bool:
    """Whether the records have a validation of this step."""
    return any(record["part"] == VALIDATION and record["step"] == step for record in records)


def totals(records: Iterable[Record]) -> dict[str, float]:
    """The totals of training: `documents`, `tokens`, `operations` and `seconds`.

    Steps that a crash lost and that were trained again count once, and so does their time.

    >>> totals([{"part": "train", "steps": 2, "seconds": 1.5, "tokens": 10.0}])["tokens"]
    20
    """
    sums = {"documents": 0.0, "tokens": 0.0, "operations": 0.0, "seconds": 0.0}
    for record in records:
        if record["part"] == TRAIN and "steps" in record:
            sums["seconds"] += record["seconds"]
            for name in ("documents", "tokens", "operations"):
                sums[name] += record.get(name, 0.0) * record["steps"]
    return sums | {name: round(sums[name]) for name in ("documents", "tokens")}


def is_better(metric: str, value: float, best: Mapping[str, Any] | None) -> bool:
    """Whether a figure is better than `best["value"]`. Lower is better for a metric named "-...".

    >>> is_better("mrr@10", 0.5, {"value": 0.4}), is_better("-arp", 2.0, {"value": 1.5})
    (True, False)
    """
    if math.isnan(value):
        return False
    sign = -1.0 if metric.startswith("-") else 1.0
    return best is None or sign * value > sign * best["value"]


def best_of(
    records: Iterable[Record],
    metric: str,
    steps: Container[int],
    best: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    """The first best validation of the steps, `{"step", "metric", "value"}`; None without one.

    `best` is an earlier best, which a validation has to beat.
    """
    for record in records:
        value = record.get(metric.removeprefix("-"), math.nan)
        counts = record["part"] == VALIDATION and record["step"] in steps
        if counts and is_better(metric, value, best):
            best = {"step": record["step"], "metric": metric, "value": value}
    return best


def last(records: Sequence[Record], part: str) -> dict[str, float]:
    """The values of the last record of a part; an empty dict without one."""
    found = [record for record in records if record["part"] == part]
    values = found[-1] if found else {}
    return {name: value for name, value in values.items() if name not in ("step", "part")}
