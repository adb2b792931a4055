"""Whether runs differ by more than chance: tests and intervals against a baseline; random runs."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from t5rank.data.trec import Run
from t5rank.evaluation.measures import Evaluation
from t5rank.evaluation.resampling import percentile_interval, randomization_test, resampled_seeds
from t5rank.evaluation.seeds import SeedEvaluation, as_arm

_ROUNDING = 12  # digits; means of the same figures in another order must not differ


@dataclass(frozen=True)
class Comparison:
    """A run, or an arm of several runs, compared with the baseline in one measure.

    Attributes:
      difference: its aggregate figure minus the baseline's.
      interval: the 95% percentile bootstrap interval of the difference, over queries and, if there
        are several, over seeds. Queries are drawn for both together, seeds for each alone.
      p_value: the p-value of the two-sided paired t-test over queries, Holm-corrected within the
        measure.
      randomization_p_value: the p-value of the paired randomization test, corrected likewise.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    randomization_p_value: float


def compare(
    evaluations: Mapping[str, Evaluation] | Mapping[str, SeedEvaluation],
) -> dict[str, dict[str, Comparison]]:
    """Compares the other runs with the first, the baseline: {run: {measure: Comparison}}.

    The tests are over all queries of the qrels. A query that a run lacks counts 0. The figure of a
    query is the mean over seeds. With more than two runs, p-values are corrected by Holm's method
    over the comparisons in one measure.

    Raises:
      ValueError: the evaluations do not have the same measures and queries.
    """
    (first, baseline), *others = ((name, as_arm(each)) for name, each in evaluations.items())
    for name, other in others:
        _check_comparable(first, baseline, name, other)
    results: dict[str, dict[str, Comparison]] = {name: {} for name, _ in others}
    for measure in baseline.per_query:
        differences = [_differences(other, baseline, measure) for _, other in others]
        t_tests = holm([paired_t_test(each) for each in differences])
        randomization = holm([randomization_test(each) for each in differences])
        for (name, other), *p_values in zip(others, t_tests, randomization, strict=True):
            difference = other.aggregate[measure] - baseline.aggregate[measure]
            interval = _interval(other, baseline, measure)
            results[name][measure] = Comparison(difference, interval, *p_values)
    return results


def _differences(other: SeedEvaluation, baseline: SeedEvaluation, measure: str) -> np.ndarray:
    theirs, ours = other.per_query[measure], baseline.per_query[measure]
    return np.round([theirs[query_id] - ours[query_id] for query_id in sorted(ours)], _ROUNDING)


def _interval(other: SeedEvaluation, baseline: SeedEvaluation, measure: str) -> tuple[float, float]:
    theirs = resampled_seeds(other.resamples[measure], stream=1)
    return percentile_interval(theirs - resampled_seeds(baseline.resamples[measure]))


def paired_t_test(differences: Sequence[float] | np.ndarray) -> float:
    """The two-sided p-value of Student's paired t-test (`scipy.stats.ttest_1samp`).

    It is 1.0, not NaN, if nothing differs or there are fewer than two pairs. It is 0.0 if all pairs
    have the same difference.

    >>> paired_t_test([0.0, 0.0, 0.0])
    1.0
    """
    from scipy import stats

    differences = np.asarray(differences)
    if len(differences) < 2 or not differences.any():
        return 1.0
    if np.ptp(differences) == 0:  # no variance: t is infinite
        return 0.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction of p-values, in the order given (Holm, 1979).

    The i-th smallest of m p-values is multiplied by m - i + 1. The result is at least that of the
    p-value before it, and at most 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for step, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, (len(p_values) - step) * p_values[index])
        corrected[index] = min(1.0, largest)
    return corrected


def random_run(run: Run, seed: int) -> Run:
    """The run's candidates in a random order, which any reranker must beat.

    A query's order depends only on the seed, the query's id and the set of its documents.

    >>> random_run({"q1": {"d1": 3.0, "d2": 2.0}}, seed=0).keys()
    dict_keys(['q1'])
    """
    return {query_id: _shuffled(query_id, scored, seed) for query_id, scored in run.items()}


def _shuffled(query_id: str, scored: Mapping[str, float], seed: int) -> dict[str, float]:
    random = np.random.default_rng([seed, zlib.crc32(query_id.encode())])
    doc_ids = sorted(scored)
    order = random.permutation(len(doc_ids))
    return {doc_ids[index]: float(len(order) - n) for n, index in enumerate(order)}


def _check_comparable(first: str, one: SeedEvaluation, second: str, two: SeedEvaluation) -> None:
    if one.per_query.keys() != two.per_query.keys():
        raise ValueError(
            f"Run '{second}' has the measures {', '.join(two.per_query)}; "
            f"expected those of run '{first}', {', '.join(one.per_query)}."
        )
    for measure, values in one.per_query.items():
        if values.keys() != two.per_query[measure].keys():
            raise ValueError(
                f"Run '{second}' has figures for other queries than run '{first}'; "
                "expected the same. Evaluate both against the same qrels."
            )
