"""An evaluation over many sets, such as BEIR's: a table of runs by sets, and the sets' average.

Paths have `{set}` in place of the set's name: `beir/{set}/qrels.txt`. Every set counts the same in
the average, whatever its number of queries. Sets that are named `group/name`, like the forums of
`cqadupstack/...`, count together as one set.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from t5rank.evaluation.report import gaps, report_dict
from t5rank.evaluation.seeds import SeedEvaluation
from t5rank.evaluation.significance import Comparison, compare
from t5rank.formats.numbers import p_value
from t5rank.formats.tables import markdown_table

SET = "{set}"
BySet = Mapping[str, Mapping[str, SeedEvaluation]]


def find_sets(pattern: str) -> list[str]:
    """The sorted names of the sets whose files the pattern matches.

    Raises:
      ValueError: there is no such file.
    """
    parts = pattern.split(SET)
    name = re.compile(re.escape(parts[0]) + "([^/]+)" + r"\1".join(map(re.escape, parts[1:])))
    paths = glob.glob("*".join(map(glob.escape, parts)))
    found = sorted({match[1] for path in paths if (match := name.fullmatch(path))})
    if not found:
        raise ValueError(
            f"Path '{pattern}' has no file for any set; expected files with a set's name in "
            f"place of {SET}. Names with a '/' are given with --sets."
        )
    return found


def check_files(names: Iterable[str], patterns: Mapping[str, Iterable[str]]) -> None:
    """Raises ValueError if files are missing. The message names their sets.

    Args:
      names: the names of the sets.
      patterns: paths with `{set}`, by a title for messages, such as a run's name.
    """
    for title, paths in patterns.items():
        for pattern in paths:
            lacking = [name for name in names if not Path(pattern.replace(SET, name)).exists()]
            if lacking:
                raise ValueError(
                    f"{title} lacks the set{'s' * (len(lacking) > 1)} "
                    f"{', '.join(map(repr, lacking))}: there is no file "
                    f"'{pattern.replace(SET, lacking[0])}'; expected one for each set. "
                    "Choose the sets to evaluate with --sets."
                )


def macro_average(by_set: BySet) -> dict[str, dict[str, float]]:
    """{run: {measure: the mean over sets}}. The sets of a group count as one set.

    Raises:
      ValueError: the sets do not have the same runs and measures.
    """
    _check_same(by_set)
    first = next(iter(by_set.values()))
    return {
        run: {measure: _mean(by_set, run, measure) for measure in arm.aggregate}
        for run, arm in first.items()
    }


def sets_table(by_set: BySet) -> str:
    """Markdown: for each measure a table of sets by runs, with the average and notes.

    Raises:
      ValueError: see `macro_average`.
    """
    averages = macro_average(by_set)
    compared = {name: compare(arms) for name, arms in by_set.items()}
    measures = list(next(iter(averages.values())))
    tables = [
        f"{measure}\n\n{markdown_table(_rows(by_set, compared, averages, measure))}"
        for measure in measures
    ]
    return "\n\n".join([*tables, "\n".join(_notes(by_set, list(averages)))]) + "\n"


def sets_dict(by_set: BySet) -> dict[str, Any]:
    """{"sets": {set: `report_dict`}, "average": {run: {measure: value}}}."""
    return {
        "sets": {name: report_dict(arms) for name, arms in by_set.items()},
        "average": macro_average(by_set),
    }


def _check_same(by_set: BySet) -> None:
    if not by_set:
        raise ValueError("The report has no set; expected at least one.")
    (first, expected), *others = (
        (name, {run: list(arm.aggregate) for run, arm in arms.items()})
        for name, arms in by_set.items()
    )
    for name, got in others:
        if got != expected:
            raise ValueError(f"Set '{name}' has {got}; expected those of '{first}', {expected}.")


def _mean(by_set: BySet, run: str, measure: str) -> float:
    groups: dict[str, list[float]] = {}
    for name, arms in by_set.items():
        groups.setdefault(name.split("/")[0], []).append(arms[run].aggregate[measure])
    return float(np.mean([np.mean(values) for values in groups.values()]))


def _rows(
    by_set: BySet,
    compared: Mapping[str, Mapping[str, Mapping[str, Comparison]]],
    averages: Mapping[str, Mapping[str, float]],
    measure: str,
) -> list[list[str]]:
    runs = list(averages)
    rows = [["set", "queries", *runs]]
    for name, arms in by_set.items():
        cells = [
            _cell(arms[run].aggregate[measure], compared[name].get(run, {}).get(measure))
            for run in runs
        ]
        rows.append([name, f"{arms[runs[0]].queries:,}", *cells])
    base = averages[runs[0]][measure]
    values = [averages[run][measure] for run in runs]
    others = [f"{value:.4f} ({value - base:+.4f})" for value in values[1:]]
    return [*rows, ["average", "", f"{base:.4f}", *others]]


def _cell(value: float, compared: Comparison | None) -> str:
    if compared is None:
        return f"{value:.4f}"
    p_values = f"{p_value(compared.p_value)}, {p_value(compared.randomization_p_value)}"
    return f"{value:.4f} ({compared.difference:+.4f}; {p_values})"


def _notes(by_set: BySet, runs: list[str]) -> list[str]:
    groups = len({name.split("/")[0] for name in by_set})
    notes = [
        f"The average is over {groups} sets. Each counts once, whatever its number of queries."
    ]
    for name, arms in by_set.items():
        notes += [f"Set '{name}': {sentence}" for sentence in gaps(arms)]
    if len(runs) > 1:
        corrected = ", Holm-corrected within a set and measure" if len(runs) > 2 else ""
        notes.append(
            f"In brackets: the difference to run '{runs[0]}' and the p-values of a paired t-test "
            f"and of a randomization test, two-sided{corrected}. They are not corrected over sets."
        )
    return notes
