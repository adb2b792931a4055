"""The findings in words, which claim no more than the tests allow."""

from __future__ import annotations

from collections.abc import Iterator

from t5rank.evaluation import Comparison
from t5rank.formats.numbers import p_value
from t5rank.report.experiment import Experiment
from t5rank.report.ranking import FIRST_STAGE, SetResults

LEVEL = 0.05
LEGEND = (
    "In brackets: the difference, its 95% bootstrap interval over queries and seeds, and the "
    "p-values of a paired t-test and of a randomization test over the queries, both corrected by "
    "Holm over the arms. A difference is claimed only if both are below 5% and the interval "
    "leaves out 0."
)


def is_significant(comparison: Comparison) -> bool:
    """Whether both corrected tests reject at the 5% level, and the interval leaves out 0.

    The tests are over queries only. The interval is over queries and seeds.
    """
    low, high = comparison.interval
    reject = max(comparison.p_value, comparison.randomization_p_value) < LEVEL
    return reject and (low > 0 or high < 0)


def _p(value: float) -> str:
    text = p_value(value)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def findings(experiment: Experiment, results: SetResults) -> Iterator[str]:
    """One sentence for each arm against the baseline, then one against the first stage."""
    scope, measure = results.scopes[0], results.measures[0]
    place = f"On {results.evaluation_set.title}"
    if len(results.scopes) > 1:
        place += f" (all {scope.queries:,} queries)"
    base = experiment.arm(experiment.baseline).title
    for arm in experiment.others:
        compared = scope.to_baseline.get(arm.name)
        if compared is None:
            yield f"{place}, {arm.title} and {base} are not compared: a seed is missing."
        else:
            yield f"{place}, {sentence(arm.title, base, measure, compared[measure])}"
    for arm in experiment.arms:
        compared = scope.to_first_stage.get(arm.name)
        if compared is not None:
            yield f"{place}, {sentence(arm.title, _FIRST, measure, compared[measure])}"


_FIRST = f"the {FIRST_STAGE}'s own order"


def sentence(ours: str, theirs: str, measure: str, compared: Comparison) -> str:
    low, high = compared.interval
    tests = (
        f"({compared.difference:+.4f}, {low:+.4f} to {high:+.4f}; t-test {_p(compared.p_value)}, "
        f"randomization {_p(compared.randomization_p_value)})."
    )
    if is_significant(compared):
        word = "better" if compared.difference > 0 else "worse"
        return f"{ours} is {word} than {theirs} in {measure} {tests}"
    if min(compared.p_value, compared.randomization_p_value) < LEVEL:
        return (
            f"the tests and the interval disagree on whether {ours} differs from {theirs} in "
            f"{measure}, so that nothing is claimed {tests}"
        )
    return f"{ours} does not differ significantly from {theirs} in {measure} {tests}"
