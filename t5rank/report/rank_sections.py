"""How a set's relevant documents move between ranks, and their scores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from t5rank.report import drawing
from t5rank.report.blocks import Block, Cell, Heading, Picture, Pictures, Table
from t5rank.report.experiment import Experiment
from t5rank.report.figure_sections import seeds_title
from t5rank.report.pictures import file_name
from t5rank.report.ranking import SetResults, movement


def ranks(experiment: Experiment, results: SetResults) -> Iterator[Block]:
    """The section on ranks before and after reranking."""
    depth = max(results.candidates.values())
    pictures: list[Picture] = []
    rows: list[list[Cell | str]] = []
    for arm in experiment.arms:
        if arm.name not in results.runs:
            continue
        moved = movement(results, arm.name)
        if not len(moved.before):
            continue
        label = experiment.label(arm.name, moved.seeds)
        name = f"{results.evaluation_set.name}-ranks-{file_name(arm.name)}"
        pictures.append(drawing.rank_movement(name, label, moved, depth))
        rows.append(
            [
                seeds_title(experiment, results, arm.name),
                f"{(moved.after < moved.before).mean():.1%}",
                f"{(moved.after == moved.before).mean():.1%}",
                f"{(moved.after > moved.before).mean():.1%}",
                f"{np.median(moved.before):g}",
                f"{np.median(moved.after):g}",
            ]
        )
    if pictures:
        yield Heading(3, "Where the relevant documents go")
        yield Pictures(
            "Relevant candidates by their rank in the first stage (rows) and after reranking "
            "(columns): counts, means over seeds. Green moved up, red moved down.",
            pictures,
        )
        yield Table(
            f"Relevant candidates of {results.evaluation_set.title}, all seeds together.",
            ("System", "Up", "Same rank", "Down", "Median rank before", "Median rank after"),
            rows,
        )


def scores(experiment: Experiment, results: SetResults) -> Iterator[Block]:
    """The section on scores by grade."""
    pictures = []
    for arm in experiment.arms:
        for seed, run in [*results.runs.get(arm.name, {}).items()][:1]:
            name = f"{results.evaluation_set.name}-scores-{file_name(arm.name)}"
            title = f"{arm.title}, seed {seed}"
            pictures.append(drawing.distribution(name, title, run.scores))
    yield Heading(3, "Scores")
    yield Pictures(
        "Scores by grade, as outlines of area 1. Every model has its own scale: only the distance "
        "between outlines has a meaning.",
        pictures,
    )
