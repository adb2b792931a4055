"""Figures of an arm: several runs that differ only by their training seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from t5rank.data.trec import Qrels, Run
from t5rank.evaluation.measures import DEFAULT_MEASURES, Evaluation, evaluate, is_sum
from t5rank.evaluation.resampling import percentile_interval, resampled_queries, resampled_seeds


@dataclass(frozen=True)
class SeedEvaluation:
    """An arm's figures.

    Attributes:
      evaluations: one of each run, with the same measures and queries.
    """

    evaluations: tuple[Evaluation, ...]

    @cached_property
    def per_seed(self) -> dict[str, list[float]]:
        """By measure, the figure of each run."""
        first = self.evaluations[0].aggregate
        return {measure: [e.aggregate[measure] for e in self.evaluations] for measure in first}

    @cached_property
    def aggregate(self) -> dict[str, float]:
        """By measure, the mean over the runs."""
        return {measure: float(np.mean(values)) for measure, values in self.per_seed.items()}

    @cached_property
    def per_query(self) -> dict[str, dict[str, float]]:
        """By measure and query, the mean over the runs."""
        return {
            measure: {
                query_id: float(np.mean([e.per_query[measure][query_id] for e in self.evaluations]))
                for query_id in figures
            }
            for measure, figures in self.evaluations[0].per_query.items()
        }

    @cached_property
    def resamples(self) -> dict[str, Float[np.ndarray, "resample seed"]]:
        """By measure, each run's `aggregate` on queries drawn with replacement.

        The n-th resample has the same queries for every arm.
        """
        means = resampled_queries(np.concatenate([*map(self._matrix, self.per_query)]))
        by_measure = np.split(means, len(self.per_query), axis=1)
        return {
            measure: values * (self.queries if is_sum(measure) else 1)
            for measure, values in zip(self.per_query, by_measure, strict=True)
        }

    @cached_property
    def interval(self) -> dict[str, tuple[float, float]]:
        """By measure, the 95% percentile bootstrap interval over queries and seeds.

        Both are drawn with replacement, 10,000 times. The bootstrap underestimates the variance of
        few seeds: 3 seeds give two thirds of it.
        """
        return {
            measure: percentile_interval(resampled_seeds(means))
            for measure, means in self.resamples.items()
        }

    @property
    def queries(self) -> int:
        return self.evaluations[0].queries

    @property
    def queries_without_relevant(self) -> int:
        return self.evaluations[0].queries_without_relevant

    @property
    def missing_queries(self) -> int:
        """The sum over all runs; see `Evaluation`."""
        return sum(evaluation.missing_queries for evaluation in self.evaluations)

    @property
    def ignored_queries(self) -> int:
        """The sum over all runs; see `Evaluation`."""
        return sum(evaluation.ignored_queries for evaluation in self.evaluations)

    @property
    def identical_ids(self) -> int:
        """The sum over all runs; see `Evaluation`."""
        return sum(evaluation.identical_ids for evaluation in self.evaluations)

    @property
    def without_judged(self) -> int:
        """The number of runs that have no document that the qrels judge."""
        return sum(evaluation.judged_documents == 0 for evaluation in self.evaluations)

    def _matrix(self, measure: str) -> Float[np.ndarray, "seed query"]:
        order = sorted(self.per_query[measure])  # the same for any two arms, which are paired
        return np.array(
            [[e.per_query[measure][query_id] for query_id in order] for e in self.evaluations]
        )


def as_arm(evaluation: Evaluation | SeedEvaluation) -> SeedEvaluation:
    """An arm's figures, made of one run's figures if need be."""
    return SeedEvaluation((evaluation,)) if isinstance(evaluation, Evaluation) else evaluation


def evaluate_seeds(
    runs: Mapping[str, Iterable[Run]],
    qrels: Qrels,
    measures: str = DEFAULT_MEASURES,
    *,
    ignore_identical_ids: bool = False,
) -> dict[str, SeedEvaluation]:
    """Evaluates arms by name. An arm is several runs, which may be made one at a time.

    The other arguments are those of `evaluate`.

    Raises:
      ValueError: an arm has no run, or `evaluate` raised an error, which then names the arm and
        the run's number.

    >>> good, bad = {"q": {"a": 2.0, "b": 1.0}}, {"q": {"a": 1.0, "b": 2.0}}
    >>> arm = evaluate_seeds({"arm": [good, bad]}, {"q": {"a": 1}}, "RR@10")["arm"]
    >>> arm.per_seed["RR@10"], arm.aggregate["RR@10"]
    ([1.0, 0.5], 0.75)
    """
    return {
        name: _evaluated(name, runs_of_arm, qrels, measures, ignore_identical_ids)
        for name, runs_of_arm in runs.items()
    }


def _evaluated(
    name: str, runs: Iterable[Run], qrels: Qrels, measures: str, ignore_identical_ids: bool
) -> SeedEvaluation:
    evaluations = []
    for number, run in enumerate(runs, start=1):
        try:
            evaluations.append(
                evaluate(run, qrels, measures, ignore_identical_ids=ignore_identical_ids)
            )
        except ValueError as error:
            which = f", number {number}" if number > 1 else ""
            raise ValueError(f"Run '{name}'{which}: {error}") from None
    if not evaluations:
        raise ValueError(f"Run '{name}' has no run of any seed; expected at least one.")
    return SeedEvaluation(tuple(evaluations))
