"""Evaluation of runs: figures, significance and reports."""

from t5rank.evaluation.measures import (
    DEFAULT_MEASURES,
    IGNORES_IDENTICAL_IDS,
    PROTOCOLS,
    Evaluation,
    evaluate,
    evaluate_runs,
    parse_measures,
)
from t5rank.evaluation.report import report_dict, report_table
from t5rank.evaluation.seeds import SeedEvaluation, evaluate_seeds
from t5rank.evaluation.significance import Comparison, compare, random_run

__all__ = [
    "DEFAULT_MEASURES",
    "IGNORES_IDENTICAL_IDS",
    "PROTOCOLS",
    "Comparison",
    "Evaluation",
    "SeedEvaluation",
    "compare",
    "evaluate",
    "evaluate_runs",
    "evaluate_seeds",
    "parse_measures",
    "random_run",
    "report_dict",
    "report_table",
]
