"""Whether runs differ by more than chance: paired t-tests against a baseline, and random runs."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from t5rank.evaluation.measures import Evaluation
from t5rank.trec import Run


@dataclass(frozen=True)
class Comparison:
    """A run against the baseline under one measure.

    Attributes:
      difference: the run's aggregate figure minus the baseline's.
      p_value: of the two-sided paired t-test, Holm-corrected within the measure.
    """

    difference: float
    p_value: float


def compare(evaluations: Mapping[str, Evaluation]) -> dict[str, dict[str, Comparison]]:
    """Compares each run but the first with the first, the baseline: {run: {measure: Comparison}}.

    The test is over all queries of the qrels, those that a run lacks included with 0. With more
    than two runs, p-values are corrected by Holm's method over the comparisons of one measure.

    Raises:
      ValueError: the evaluations have not the same measures and queries.
    """
    (baseline_name, baseline), *others = evaluations.items()
    for name, other in others:
        _check_comparable(baseline_name, baseline, name, other)
    results: dict[str, dict[str, Comparison]] = {name: {} for name, _ in others}
    for measure, values in baseline.per_query.items():
        ours = list(values.values())
        theirs = [[other.per_query[measure][query] for query in values] for _, other in others]
        p_values = holm([paired_t_test(figures, ours) for figures in theirs])
        for (name, other), p_value in zip(others, p_values, strict=True):
            difference = other.aggregate[measure] - baseline.aggregate[measure]
            results[name][measure] = Comparison(difference, p_value)
    return results


def paired_t_test(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p-value of Student's paired t-test (`scipy.stats.ttest_rel`).

    It is 1.0, not NaN, where the two are identical or there are fewer than two pairs, and 0.0 where
    all pairs have the same difference.

    >>> paired_t_test([1.0, 0.5, 0.0], [1.0, 0.5, 0.0])
    1.0
    """
    from scipy import stats

    differences = np.subtract(first, second)
    if len(differences) < 2 or not differences.any():
        return 1.0
    if np.ptp(differences) == 0:  # no variance: t is infinite
        return 0.0
    return float(stats.ttest_rel(first, second).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction of p-values, in the order given (Holm, 1979).

    The i-th smallest of m is multiplied by m - i + 1, then made no smaller than those before it,
    and no larger than 1.

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
    """The run's candidates in a random order, the floor that any reranker must beat.

    A query's order depends on the seed, the query's id and the set of its documents only.

    >>> random_run({"q1": {"d1": 3.0, "d2": 2.0}}, seed=0).keys()
    dict_keys(['q1'])
    """
    return {query_id: _shuffled(query_id, scored, seed) for query_id, scored in run.items()}


def _shuffled(query_id: str, scored: Mapping[str, float], seed: int) -> dict[str, float]:
    random = np.random.default_rng([seed, zlib.crc32(query_id.encode())])
    doc_ids = sorted(scored)
    order = random.permutation(len(doc_ids))
    return {doc_ids[index]: float(len(order) - n) for n, index in enumerate(order)}


def _check_comparable(first: str, one: Evaluation, second: str, two: Evaluation) -> None:
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
