"""Figures of several runs, as Markdown tables for people and as a dict (JSON) for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from t5rank.evaluation.measures import Evaluation
from t5rank.evaluation.seeds import SeedEvaluation, as_arm
from t5rank.evaluation.significance import Comparison, compare
from t5rank.formats.numbers import interval, p_value
from t5rank.formats.tables import markdown_table

Evaluations = Mapping[str, Evaluation] | Mapping[str, SeedEvaluation]


def report_table(evaluations: Evaluations) -> str:
    """Markdown tables of runs by measures: intervals, comparisons with the first run, and notes.

    Raises:
      ValueError: there is no run, or the runs cannot be compared (see `compare`).
    """
    arms, comparisons = _compared(evaluations)
    measures = list(next(iter(arms.values())).aggregate)
    rows = [["run", *measures]]
    rows += [[name, *(_figure(arm, measure) for measure in measures)] for name, arm in arms.items()]
    parts = [markdown_table(rows)]
    if comparisons:
        parts.append(markdown_table(_comparison_rows(comparisons, measures), text_columns=2))
    return "\n\n".join([*parts, "\n".join(_notes(arms))]) + "\n"


def report_dict(evaluations: Evaluations) -> dict[str, Any]:
    """The report as dicts and numbers for `json.dump`:

    {"baseline": run, "runs": {run: {"measures": {measure: {"value", "interval", "per_seed",
    "difference", "difference_interval", "p_value", "randomization_p_value"}}, "queries",
    "missing_queries", "queries_without_relevant", "ignored_queries", "identical_ids"}}}.
    The baseline has no difference, so that its interval and its p-values are missing, too.
    """
    arms, comparisons = _compared(evaluations)
    runs = {
        name: {
            "measures": _measures_dict(arm, comparisons.get(name, {})),
            "queries": arm.queries,
            "missing_queries": arm.missing_queries,
            "queries_without_relevant": arm.queries_without_relevant,
            "ignored_queries": arm.ignored_queries,
            "identical_ids": arm.identical_ids,
        }
        for name, arm in arms.items()
    }
    return {"baseline": next(iter(arms)), "runs": runs}


def _compared(
    evaluations: Evaluations,
) -> tuple[dict[str, SeedEvaluation], dict[str, dict[str, Comparison]]]:
    if not evaluations:
        raise ValueError("The report has no run; expected at least one.")
    arms = {name: as_arm(each) for name, each in evaluations.items()}
    return arms, compare(arms)


def _measures_dict(arm: SeedEvaluation, compared: Mapping[str, Comparison]) -> dict[str, Any]:
    measures: dict[str, Any] = {
        measure: {
            "value": value,
            "interval": list(arm.interval[measure]),
            "per_seed": arm.per_seed[measure],
        }
        for measure, value in arm.aggregate.items()
    }
    for measure, comparison in compared.items():
        measures[measure] |= {
            "difference": comparison.difference,
            "difference_interval": list(comparison.interval),
            "p_value": comparison.p_value,
            "randomization_p_value": comparison.randomization_p_value,
        }
    return measures


def _figure(arm: SeedEvaluation, measure: str) -> str:
    several = len(arm.evaluations) > 1
    deviation = f" ± {np.std(arm.per_seed[measure], ddof=1):.4f}" if several else ""
    return f"{arm.aggregate[measure]:.4f}{deviation} {interval(arm.interval[measure])}"


def _comparison_rows(
    comparisons: Mapping[str, Mapping[str, Comparison]], measures: list[str]
) -> list[list[str]]:
    header = ["measure", "run", "difference", "95% interval", "p, t-test", "p, randomization"]
    return [header] + [
        [
            measure,
            name,
            f"{found[measure].difference:+.4f}",
            interval(found[measure].interval, sign="+"),
            p_value(found[measure].p_value),
            p_value(found[measure].randomization_p_value),
        ]
        for measure in measures
        for name, found in comparisons.items()
    ]


def _notes(arms: Mapping[str, SeedEvaluation]) -> list[str]:
    first = next(iter(arms.values()))
    several = any(len(arm.evaluations) > 1 for arm in arms.values())
    over = "queries and seeds" if several else "queries"
    notes = [
        f"Means over the {first.queries:,} queries of the qrels; "
        f"{first.queries_without_relevant:,} of them have no relevant document and count 0.",
        f"In brackets: 95% bootstrap intervals over {over}."
        + (" ±: the standard deviation over seeds." if several else ""),
    ]
    notes += gaps(arms)
    if len(arms) > 1:
        corrected = ", Holm-corrected within a measure" if len(arms) > 2 else ""
        notes.append(
            f"Differences are to run '{next(iter(arms))}'; p-values are two-sided{corrected}."
        )
    return notes


def gaps(arms: Mapping[str, SeedEvaluation]) -> list[str]:
    """Sentences on queries that a run lacks, queries without qrels, and documents left out."""
    sentences = []
    for name, arm in arms.items():
        if arm.without_judged:
            sentences.append(
                f"WARNING: run '{name}' has none of the documents that the qrels judge. Are its "
                "document ids those of the qrels?"
            )
        if arm.missing_queries or arm.ignored_queries:
            sentences.append(
                f"Run '{name}' lacks {arm.missing_queries:,} queries, which count 0, and "
                f"has {arm.ignored_queries:,} queries without qrels, which are left out."
            )
        if arm.identical_ids:
            sentences.append(
                f"Run '{name}' has {arm.identical_ids:,} documents with the id of their query, "
                "which are left out."
            )
    return sentences
