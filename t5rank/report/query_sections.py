"""The queries of a set that gain and lose, with examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from t5rank.evaluation import SeedEvaluation
from t5rank.report import drawing
from t5rank.report.blocks import Block, Cell, Details, Heading, Paragraph, Pictures, Table
from t5rank.report.examples import NO_TEXTS, Example, Texts, examples, read_texts
from t5rank.report.experiment import Experiment
from t5rank.report.figure_sections import over
from t5rank.report.pictures import file_name
from t5rank.report.ranking import FIRST_STAGE, Scope, SetResults, query_differences
from t5rank.report.run_facts import RunFacts


@dataclass(frozen=True)
class _Pair:
    """An arm and the baseline or first stage that it is compared with."""

    arm: str
    other: str
    titles: tuple[str, str]
    figures: tuple[SeedEvaluation, SeedEvaluation]
    runs: tuple[RunFacts, RunFacts]

    @property
    def title(self) -> str:
        return " against ".join(self.titles)


def _pairs(experiment: Experiment, results: SetResults, scope: Scope) -> Iterator[_Pair]:
    seed, base = experiment.seeds[0], experiment.arm(experiment.baseline)
    for arm in experiment.others:
        if arm.name in scope.to_baseline:
            yield _Pair(
                arm.name,
                base.name,
                (arm.title, base.title),
                (scope.arms[arm.name], scope.arms[base.name]),
                (results.runs[arm.name][seed], results.runs[base.name][seed]),
            )
    for arm in experiment.arms:
        if arm.name in scope.to_first_stage:
            yield _Pair(
                arm.name,
                FIRST_STAGE,
                (arm.title, FIRST_STAGE),
                (scope.arms[arm.name], scope.references[FIRST_STAGE]),
                (results.runs[arm.name][seed], results.first_stage),
            )


def gains(experiment: Experiment, results: SetResults, with_texts: bool) -> Iterator[Block]:
    """The section on gains and losses of queries, with the largest ones as examples."""
    scope, measure = results.scopes[-1], results.measures[0]
    pairs = [*_pairs(experiment, results, scope)]
    if not pairs:
        return
    differences = [query_differences(*pair.figures, measure) for pair in pairs]
    yield Heading(3, "Gains and losses, query by query")
    yield Pictures(
        f"Differences in {measure} of {over(scope)}, each the mean over seeds, sorted.",
        [
            drawing.gains(_file(results, pair), pair.title, [*values.values()])
            for pair, values in zip(pairs, differences, strict=True)
        ],
    )
    yield Table(
        f"Queries of {results.evaluation_set.title} by their difference in {measure} (means over "
        "seeds).",
        ("Compared", "Better", "Equal", "Worse"),
        [
            [pair.title, *_counts([*values.values()])]
            for pair, values in zip(pairs, differences, strict=True)
        ],
    )
    extremes = [
        examples(results, values, *pair.runs)
        for pair, values in zip(pairs, differences, strict=True)
    ]
    lists = experiment.lists(results.evaluation_set.name)
    texts = read_texts(lists, extremes) if with_texts and lists.exists() else NO_TEXTS
    if texts is NO_TEXTS:
        yield Paragraph("Queries and documents are shown by their ids, without texts.", "note")
    for pair, chosen in zip(pairs, extremes, strict=True):
        table = _example_table(results, pair, chosen, texts, experiment.seeds[0])
        yield Details(f"{pair.title}: the largest gains and losses", [table])


def _file(results: SetResults, pair: _Pair) -> str:
    return "-".join(
        [results.evaluation_set.name, "gains", file_name(pair.arm), file_name(pair.other)]
    )


def _counts(values: Sequence[float]) -> list[str]:
    better, worse = sum(v > 0 for v in values), sum(v < 0 for v in values)
    return [f"{better:,}", f"{len(values) - better - worse:,}", f"{worse:,}"]


def _example_table(
    results: SetResults, pair: _Pair, chosen: Sequence[Example], texts: Texts, seed: int
) -> Table:
    rows: list[list[Cell | str]] = [
        [
            _query(each, texts),
            *(_document(results, each, d, texts) for d in (each.relevant, each.ours, each.theirs)),
            f"{each.difference:+.3f}",
        ]
        for each in chosen
    ]
    return Table(
        f"{pair.title} in {results.measures[0]} on {results.evaluation_set.title}: the largest "
        "gains, then the largest losses (means over seeds), with the best relevant candidate and "
        f"the documents at rank 1 (of seed {seed}).",
        ("Query", "Relevant", *(f"Rank 1, {title}" for title in pair.titles), "Difference"),
        rows,
        text_columns=4,
    )


def _query(each: Example, texts: Texts) -> Cell:
    text = texts.query(each.query_id)
    return Cell(text, each.query_id) if text else Cell(each.query_id)


def _document(results: SetResults, each: Example, doc_id: str, texts: Texts) -> Cell:
    if not doc_id:
        return Cell("none", "no relevant candidate")
    grade = results.qrels[each.query_id].get(doc_id)
    judgement = "unjudged" if grade is None else f"grade {grade}"
    text = texts.document(each.query_id, doc_id)
    return Cell(text, f"{doc_id}, {judgement}") if text else Cell(doc_id, judgement)
