"""Figures of several runs as a table for people (Markdown) and as a dict for machines (JSON)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from t5rank.evaluation.measures import Evaluation
from t5rank.evaluation.significance import Comparison, compare


def report_table(evaluations: Mapping[str, Evaluation]) -> str:
    """A Markdown table of runs by measures, and notes on what was counted.

    The runs after the first show their difference to the first and its p-value.

    Raises:
      ValueError: no run, or runs that cannot be compared (see `compare`).
    """
    comparisons = _comparisons(evaluations)
    measures = list(next(iter(evaluations.values())).aggregate)
    rows = [["run", *measures]]
    for name, evaluation in evaluations.items():
        compared = comparisons.get(name, {})
        cells = [_cell(evaluation.aggregate[m], compared.get(m)) for m in measures]
        rows.append([name.replace("|", r"\|"), *cells])
    return "\n".join([*_markdown(rows), "", *_notes(evaluations)]) + "\n"


def report_dict(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """The report as plain dicts and numbers, for `json.dump`.

    {"baseline": run, "runs": {run: {"measures": {measure: {"value", "difference", "p_value"}},
    "queries", "missing_queries", "queries_without_relevant", "ignored_queries"}}}; the baseline has
    no difference and no p_value.
    """
    comparisons = _comparisons(evaluations)
    runs = {
        name: {
            "measures": _measures_dict(evaluation, comparisons.get(name, {})),
            "queries": evaluation.queries,
            "missing_queries": evaluation.missing_queries,
            "queries_without_relevant": evaluation.queries_without_relevant,
            "ignored_queries": evaluation.ignored_queries,
        }
        for name, evaluation in evaluations.items()
    }
    return {"baseline": next(iter(evaluations)), "runs": runs}


def _comparisons(evaluations: Mapping[str, Evaluation]) -> dict[str, dict[str, Comparison]]:
    if not evaluations:
        raise ValueError("The report has no run; expected at least one.")
    return compare(evaluations)


def _measures_dict(evaluation: Evaluation, compared: Mapping[str, Comparison]) -> dict[str, Any]:
    measures: dict[str, Any] = {m: {"value": value} for m, value in evaluation.aggregate.items()}
    for measure, comparison in compared.items():
        measures[measure] |= {
            "difference": comparison.difference,
            "p_value": comparison.p_value,
        }
    return measures


def _cell(value: float, compared: Comparison | None) -> str:
    if compared is None:
        return f"{value:.4f}"
    p_value = "p<0.0001" if compared.p_value < 1e-4 else f"p={compared.p_value:.4f}"
    return f"{value:.4f} ({compared.difference:+.4f}, {p_value})"


def _markdown(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # Names to the left, figures to the right.
    header, *body = [
        "| "
        + " | ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        + " |"
        for row in rows
    ]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    return [header, f"| {' | '.join(rule)} |", *body]


def _notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    first = next(iter(evaluations.values()))
    notes = [
        f"Means over the {first.queries:,} queries of the qrels; "
        f"{first.queries_without_relevant:,} of them have no relevant document and count 0."
    ]
    for name, evaluation in evaluations.items():
        if evaluation.missing_queries or evaluation.ignored_queries:
            notes.append(
                f"Run '{name}' lacks {evaluation.missing_queries:,} queries, which count 0, and "
                f"has {evaluation.ignored_queries:,} queries without qrels, which are left out."
            )
    if len(evaluations) > 1:
        corrected = ", Holm-corrected" if len(evaluations) > 2 else ""
        notes.append(
            f"In brackets: the difference to run '{next(iter(evaluations))}' and the p-value of a "
            f"two-sided paired t-test{corrected}."
        )
    return notes
