"""A set's figures: the table of all systems, intervals, differences and their significance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from t5rank.evaluation import Comparison, SeedEvaluation
from t5rank.formats.numbers import p_value
from t5rank.report import drawing
from t5rank.report.blocks import Block, Cell, Details, Heading, Picture, Pictures, Table
from t5rank.report.experiment import Experiment
from t5rank.report.findings import is_significant
from t5rank.report.pictures import file_name
from t5rank.report.ranking import FIRST_STAGE, PERFECT, RANDOM, RANDOM_SEEDS, Scope, SetResults

_SCOPES = {
    "all": "all {queries:,} queries",
    "answerable": "the {queries:,} answerable queries (those with a relevant document)",
}


def over(scope: Scope) -> str:
    """A scope's queries, in words."""
    return _SCOPES[scope.name].format(queries=scope.queries)


def seeds_title(experiment: Experiment, results: SetResults, arm: str) -> Cell:
    """An arm's title, and the number of seeds of its figures."""
    found, wanted = len(results.runs.get(arm, ())), len(experiment.seeds)
    number = f"{wanted}" if found == wanted else f"only {found} of {wanted}"
    role = ", baseline" if arm == experiment.baseline else ""
    return Cell(experiment.arm(arm).title, f"{number} seed{'s' * (wanted > 1)}{role}")


def figures(experiment: Experiment, results: SetResults, scope: Scope) -> Iterator[Block]:
    if len(results.scopes) > 1:
        yield Heading(3, f"Over {over(scope)}")
    yield _main_table(experiment, results, scope)
    yield Pictures(
        f"Means over {over(scope)} and seeds with 95% bootstrap intervals over queries and "
        "seeds; dashed: the first stage's own order.",
        [_interval_picture(experiment, results, scope, measure) for measure in results.measures],
    )
    yield Details(f"Figures of each seed, {over(scope)}", [_seed_table(experiment, results, scope)])
    rows = [*_comparisons(experiment, results, scope)]
    if rows:
        yield Table(
            f"{results.evaluation_set.title}, {over(scope)}: differences with 95% bootstrap "
            "intervals over queries and seeds. The two-sided p-values are of a paired t-test and "
            "of a randomization test (signs of the queries' differences), both corrected by Holm "
            "within a measure. Bold: both are below 5% and the interval leaves out 0.",
            ("Measure", "Compared", "Difference", "95% interval", "p, t-test", "p, randomization"),
            rows,
            text_columns=2,
        )


def _main_table(experiment: Experiment, results: SetResults, scope: Scope) -> Table:
    rows: list[list[Cell | str]] = [
        [name.capitalize(), *(_reference(scope.references[name], m) for m in results.measures)]
        for name in (RANDOM, FIRST_STAGE, PERFECT)
    ]
    arms: list[list[Cell | str]] = [
        [
            seeds_title(experiment, results, arm.name),
            *(_figure(scope, arm.name, measure) for measure in results.measures),
        ]
        for arm in experiment.arms
        if arm.name in scope.arms
    ]
    ordered = [*rows[:2], *arms, rows[2]]
    return Table(
        f"{results.evaluation_set.title}, {over(scope)}: means over queries and seeds ± the "
        "standard deviation over seeds, with 95% bootstrap intervals over queries and seeds. Bold: "
        f"differs significantly from {experiment.arm(experiment.baseline).title}. "
        f"{RANDOM.capitalize()} is the mean of {len(RANDOM_SEEDS)} shuffles.",
        ("System", *results.measures),
        ordered,
        quiet=frozenset({0, 1, len(ordered) - 1}),
    )


def _reference(evaluated: SeedEvaluation, measure: str) -> Cell:
    return Cell(f"{evaluated.aggregate[measure]:.4f}")


def _figure(scope: Scope, arm: str, measure: str) -> Cell:
    evaluated = scope.arms[arm]
    value = f"{evaluated.aggregate[measure]:.4f}"
    if len(evaluated.per_seed[measure]) > 1:
        value += f" ± {np.std(evaluated.per_seed[measure], ddof=1):.4f}"
    low, high = evaluated.interval[measure]
    compared = scope.to_baseline.get(arm, {}).get(measure)
    return Cell(
        value, f"{low:.4f} to {high:.4f}", strong=compared is not None and is_significant(compared)
    )


def _seed_table(experiment: Experiment, results: SetResults, scope: Scope) -> Table:
    rows: list[list[Cell | str]] = [
        [
            experiment.arm(arm).title,
            str(seed),
            *(f"{evaluated.per_seed[measure][n]:.4f}" for measure in results.measures),
        ]
        for arm, evaluated in scope.arms.items()
        for n, seed in enumerate(results.runs[arm])
    ]
    caption = f"{results.evaluation_set.title}, {over(scope)}: means over queries."
    return Table(caption, ("System", "Seed", *results.measures), rows)


def overview(experiment: Experiment, sets: Sequence[SetResults]) -> Table:
    """A table of each set's first measure for all systems."""
    first = [(each.scopes[0], each.measures[0]) for each in sets]
    rows: list[list[Cell | str]] = [
        [name.capitalize(), *(_reference(scope.references[name], m) for scope, m in first)]
        for name in (RANDOM, FIRST_STAGE)
    ]
    for arm in experiment.arms:
        cells = [
            _figure(scope, arm.name, measure) if arm.name in scope.arms else Cell("-")
            for scope, measure in first
        ]
        found = {len(each.runs.get(arm.name, ())) for each in sets}
        rows.append([experiment.label(arm.name, min(found)), *cells])
    return Table(
        "The decisive measure of each set: mean ± standard deviation over seeds, and 95% "
        f"bootstrap interval. Bold: differs significantly from "
        f"{experiment.arm(experiment.baseline).title}. Each column has its own first stage.",
        ("System", *(f"{each.evaluation_set.title}: {each.measures[0]}" for each in sets)),
        rows,
        quiet=frozenset({0, 1}),
    )


def _interval_picture(
    experiment: Experiment, results: SetResults, scope: Scope, measure: str
) -> Picture:
    first = scope.references[FIRST_STAGE].aggregate[measure]
    points: dict[str, tuple[float, tuple[float, float] | None, int | None]] = {
        name.capitalize(): (scope.references[name].aggregate[measure], None, None)
        for name in (RANDOM, FIRST_STAGE)
    }
    for index, arm in enumerate(experiment.arms):
        if arm.name in scope.arms:
            evaluated = scope.arms[arm.name]
            label = experiment.label(arm.name, len(results.runs[arm.name]))
            points[label] = (evaluated.aggregate[measure], evaluated.interval[measure], index)
    name = f"{results.evaluation_set.name}-{scope.name}-{file_name(measure)}"
    return drawing.intervals(name, measure, points, {FIRST_STAGE: first})


def _comparisons(
    experiment: Experiment, results: SetResults, scope: Scope
) -> Iterator[list[Cell | str]]:
    base = experiment.arm(experiment.baseline).title
    for measure in results.measures:
        for arm in experiment.others:
            if arm.name in scope.to_baseline:
                names = f"{arm.title} against {base}"
                yield _comparison(measure, names, scope.to_baseline[arm.name][measure])
        for arm in experiment.arms:
            if arm.name in scope.to_first_stage:
                names = f"{arm.title} against {FIRST_STAGE}"
                yield _comparison(measure, names, scope.to_first_stage[arm.name][measure])


def _comparison(measure: str, names: str, compared: Comparison) -> list[Cell | str]:
    low, high = compared.interval
    return [
        measure,
        names,
        Cell(f"{compared.difference:+.4f}", strong=is_significant(compared)),
        f"{low:+.4f} to {high:+.4f}",
        p_value(compared.p_value),
        p_value(compared.randomization_p_value),
    ]
