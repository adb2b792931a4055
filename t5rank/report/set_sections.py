"""The parts of a report about one evaluation set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from t5rank.evaluation import Comparison, SeedEvaluation
from t5rank.report import drawing
from t5rank.report.blocks import Block, Cell, Details, Heading, Paragraph, Picture, Pictures, Table
from t5rank.report.examples import NO_TEXTS, Example, Texts, examples, read_texts
from t5rank.report.experiment import Experiment, Headline
from t5rank.report.findings import is_significant, p_value
from t5rank.report.ranking import (
    FIRST_STAGE,
    PERFECT,
    RANDOM,
    RANDOM_SEEDS,
    Scope,
    SetResults,
    coverage,
    movement,
    query_differences,
    scores_by_grade,
)
from t5rank.report.results import has_texts

_SCOPES = {
    "all": "all {queries:,} queries",
    "answerable": "the {queries:,} answerable queries (those with a relevant document)",
}


def set_section(experiment: Experiment, results: SetResults, with_texts: bool) -> Iterator[Block]:
    """A set's section."""
    yield Heading(2, results.evaluation_set.title)
    yield Paragraph(_about(results))
    for scope in results.scopes:
        yield from _figures(experiment, results, scope)
    yield from headlines(
        [each for each in experiment.headlines if is_about(each, results)],
        results.evaluation_set.title,
    )
    yield from _queries(experiment, results, with_texts)
    yield from _ranks(experiment, results)
    yield from _scores(experiment, results)


def _about(results: SetResults) -> str:
    found = coverage(results)
    candidates = [len(scored) for scored in results.first_stage.values()]
    relevant = (
        "relevant" if results.relevant_grade == 1 else f"relevant (grade {results.relevant_grade}+)"
    )
    return (
        f"First stage: {results.evaluation_set.first_stage}; {len(candidates):,} queries with "
        f"{np.mean(candidates):,.1f} candidates on average. The candidates hold {found.found:,} of "
        f"the {found.relevant:,} {relevant} documents ({_share(found.found, found.relevant)}), and "
        f"at least one for {found.queries_found:,} of the {found.queries:,} queries that have one "
        f"({_share(found.queries_found, found.queries)}): a reranker finds no others, and the row "
        f"'{PERFECT}' is what one could reach at best."
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def _figures(experiment: Experiment, results: SetResults, scope: Scope) -> Iterator[Block]:
    over = _SCOPES[scope.name].format(queries=scope.queries)
    if len(results.scopes) > 1:
        yield Heading(3, f"Over {over}")
    yield _main_table(experiment, results, scope, over)
    yield Pictures(
        f"Means over {over} and seeds with 95% bootstrap intervals over queries and seeds; dashed: "
        "the first stage's own order.",
        [_interval_picture(experiment, results, scope, measure) for measure in results.measures],
    )
    rows = [*_comparisons(experiment, results, scope)]
    if rows:
        yield Table(
            f"{results.evaluation_set.title}, {over}: differences with 95% bootstrap intervals "
            "over queries and seeds. p-values are two-sided, of a paired t-test and of a "
            "randomization test (signs of the queries' differences), both corrected by Holm within "
            "a measure. Bold: both are below 5%.",
            ("Measure", "Compared", "Difference", "95% interval", "p, t-test", "p, randomization"),
            rows,
            text_columns=2,
        )


def _main_table(experiment: Experiment, results: SetResults, scope: Scope, over: str) -> Table:
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
        f"{results.evaluation_set.title}, {over}: means over queries and seeds ± the standard "
        "deviation over seeds, with 95% bootstrap intervals over queries and seeds. Bold: differs "
        f"significantly from {experiment.arm(experiment.baseline).title}. {RANDOM.capitalize()} is "
        f"the mean of {len(RANDOM_SEEDS)} shuffles.",
        ("System", *results.measures),
        ordered,
        quiet=frozenset({0, 1, len(ordered) - 1}),
    )


def seeds_title(experiment: Experiment, results: SetResults, arm: str) -> Cell:
    """An arm's title, and over how many seeds its figures are."""
    found, wanted = len(results.runs.get(arm, ())), len(experiment.seeds)
    number = f"{wanted}" if found == wanted else f"only {found} of {wanted}"
    role = ", baseline" if arm == experiment.baseline else ""
    return Cell(experiment.arm(arm).title, f"{number} seed{'s' * (wanted > 1)}{role}")


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
            points[arm.title] = (evaluated.aggregate[measure], evaluated.interval[measure], index)
    name = f"{results.evaluation_set.name}-{scope.name}-{plain(measure)}"
    return drawing.intervals(name, measure, points, {FIRST_STAGE: first})


def plain(name: str) -> str:
    """A name for a file.

    >>> plain("AP(rel=2)@10")
    'AP-rel-2-10'
    """
    return "-".join("".join(c if c.isalnum() else " " for c in name).split())


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


def is_about(headline: Headline, results: SetResults) -> bool:
    """Whether a published figure names this very set."""
    return headline.set in (results.evaluation_set.name, results.evaluation_set.title)


def headlines(several: Sequence[Headline], title: str) -> Iterator[Block]:
    """Published figures in a table of their own, by set and first stage."""
    if several:
        ordered = sorted(several, key=lambda each: (each.set, each.first_stage, each.measure))
        yield Table(
            f"{title}, from the literature: other settings (models, training, candidates, queries "
            "may all differ), named by their own first stage. They are context for the figures "
            "above, not a ranking with them.",
            ("Set", "First stage", "System", "Source", "Measure", "Published"),
            [
                [
                    each.set,
                    each.first_stage,
                    each.system,
                    each.source,
                    each.measure,
                    f"{each.value:.4f}",
                ]
                for each in ordered
            ],
            text_columns=5,
        )


def _pairs(experiment: Experiment, scope: Scope) -> Iterator[tuple[str, str, SeedEvaluation, str]]:
    """Comparisons: arm, title of the other, its figures, its name."""
    base = experiment.baseline
    for arm in experiment.others:
        if arm.name in scope.to_baseline:
            yield arm.name, experiment.arm(base).title, scope.arms[base], base
    for arm in experiment.arms:
        if arm.name in scope.to_first_stage:
            yield arm.name, FIRST_STAGE, scope.references[FIRST_STAGE], FIRST_STAGE


def _queries(experiment: Experiment, results: SetResults, with_texts: bool) -> Iterator[Block]:
    scope, measure = results.scopes[-1], results.measures[0]
    pictures: list[Picture] = []
    tables: list[tuple[str, list[Example], tuple[str, str]]] = []
    rows: list[list[Cell | str]] = []
    seed = experiment.seeds[0]
    for arm, other_title, other, other_name in _pairs(experiment, scope):
        title = f"{experiment.arm(arm).title} against {other_title}"
        differences = query_differences(scope.arms[arm], other, measure)
        values = [*differences.values()]
        name = f"{results.evaluation_set.name}-gains-{plain(arm)}-{plain(other_name)}"
        pictures.append(drawing.gains(name, title, values))
        wins, losses = sum(v > 0 for v in values), sum(v < 0 for v in values)
        rows.append([title, f"{wins:,}", f"{len(values) - wins - losses:,}", f"{losses:,}"])
        theirs = (
            results.first_stage if other_name == FIRST_STAGE else results.runs[other_name][seed]
        )
        found = examples(results, differences, results.runs[arm][seed], theirs)
        tables.append((title, found, (experiment.arm(arm).title, other_title)))
    if not pictures:
        return
    over = _SCOPES[scope.name].format(queries=scope.queries)
    yield Heading(3, "Gains and losses, query by query")
    yield Pictures(
        f"Differences in {measure} of {over}, each the mean over seeds, sorted.", pictures
    )
    yield Table(
        f"Queries of {results.evaluation_set.title} by their difference in {measure} (means over "
        "seeds).",
        ("Compared", "Better", "Equal", "Worse"),
        rows,
    )
    shown = with_texts and has_texts(experiment, results.evaluation_set.name)
    wanted = [found for _, found, _ in tables]
    texts = read_texts(experiment.lists(results.evaluation_set.name), wanted) if shown else NO_TEXTS
    if not shown:
        reason = "is left out of this report" if not with_texts else "is not there (lists)"
        yield Paragraph(f"The text of queries and documents {reason}: ids stand for it.", "note")
    for title, found, names in tables:
        yield Details(
            f"{title}: the largest gains and losses",
            [_example_table(results, title, found, names, texts, seed)],
        )


def _example_table(
    results: SetResults,
    title: str,
    found: Sequence[Example],
    names: tuple[str, str],
    texts: Texts,
    seed: int,
) -> Table:
    def document(query_id: str, doc_id: str) -> Cell:
        if not doc_id:
            return Cell("none", "not among the candidates")
        grade = results.qrels[query_id].get(doc_id)
        said = "unjudged" if grade is None else f"grade {grade}"
        text = texts.document(query_id, doc_id)
        return Cell(text, f"{doc_id}, {said}") if text else Cell(doc_id, said)

    def row(each: Example) -> list[Cell | str]:
        query = texts.query(each.query_id)
        return [
            Cell(query, each.query_id) if query else Cell(each.query_id),
            document(each.query_id, each.relevant),
            document(each.query_id, each.ours),
            document(each.query_id, each.theirs),
            f"{each.difference:+.3f}",
        ]

    ours, theirs = names
    return Table(
        f"{title} in {results.measures[0]} on {results.evaluation_set.title}: the largest gains, "
        f"then the largest losses (means over seeds), the best relevant candidate, and what stands "
        f"at rank 1 with seed {seed}.",
        ("Query", "Relevant", f"Rank 1, {ours}", f"Rank 1, {theirs}", "Difference"),
        [row(each) for each in found],
        text_columns=4,
    )


def _ranks(experiment: Experiment, results: SetResults) -> Iterator[Block]:
    depth = max(len(scored) for scored in results.first_stage.values())
    pictures: list[Picture] = []
    rows: list[list[Cell | str]] = []
    for arm in experiment.arms:
        if arm.name not in results.runs:
            continue
        moved = movement(results, arm.name)
        if not len(moved.before):
            continue
        name = f"{results.evaluation_set.name}-ranks-{plain(arm.name)}"
        pictures.append(drawing.rank_movement(name, arm.title, moved, depth))
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


def _scores(experiment: Experiment, results: SetResults) -> Iterator[Block]:
    pictures = []
    for arm in experiment.arms:
        for seed, run in [*results.runs.get(arm.name, {}).items()][:1]:
            name = f"{results.evaluation_set.name}-scores-{plain(arm.name)}"
            title = f"{arm.title}, seed {seed}"
            pictures.append(drawing.distribution(name, title, scores_by_grade(results, run)))
    yield Heading(3, "Scores")
    yield Pictures(
        "Scores by grade, each an outline of area 1. Every model has a scale of its own: only the "
        "distance between outlines says something.",
        pictures,
    )
