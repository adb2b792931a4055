"""What the runs of an experiment give on one set, all figures by `t5rank.evaluation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from t5rank import evaluation
from t5rank.evaluation import Comparison, SeedEvaluation
from t5rank.report.experiment import EvaluationSet, Experiment
from t5rank.report.missing import Missing
from t5rank.trec import Qrels, Run, read_qrels, read_run

FIRST_STAGE, RANDOM, PERFECT = "first stage", "random order", "perfect order"
RANDOM_SEEDS = range(10)
TIE = 1e-9  # differences of means over seeds that are rounding


@dataclass(frozen=True)
class Scope:
    """Figures over some of a set's queries.

    Attributes:
      name: "all", or "answerable" for the queries with a relevant document.
      queries: how many.
      references: by FIRST_STAGE, RANDOM and PERFECT (the candidates sorted by their grades).
      arms: by arm; those with any run.
      to_baseline, to_first_stage: by arm and measure; arms that lack a seed are in neither.
    """

    name: str
    queries: int
    references: Mapping[str, SeedEvaluation]
    arms: Mapping[str, SeedEvaluation]
    to_baseline: Mapping[str, Mapping[str, Comparison]]
    to_first_stage: Mapping[str, Mapping[str, Comparison]]


@dataclass(frozen=True)
class SetResults:
    """One set's results.

    Attributes:
      evaluation_set: which set.
      measures: their names as `t5rank.evaluation` writes them; the first is the one that counts.
      relevant_grade: the grade from which a document is relevant, the largest `rel` of measures.
      qrels: the judgements.
      first_stage: the candidates in their order.
      runs: by arm and seed, those that are whole.
      scopes: "all", and "answerable" where it is less.
    """

    evaluation_set: EvaluationSet
    measures: Sequence[str]
    relevant_grade: int
    qrels: Qrels
    first_stage: Run
    runs: Mapping[str, Mapping[int, Run]]
    scopes: Sequence[Scope]

    def relevant(self) -> dict[str, set[str]]:
        """The relevant documents of each query that has one."""
        found = {
            query_id: {doc_id for doc_id, grade in judged.items() if grade >= self.relevant_grade}
            for query_id, judged in self.qrels.items()
        }
        return {query_id: doc_ids for query_id, doc_ids in found.items() if doc_ids}


def set_results(experiment: Experiment, each: EvaluationSet, missing: Missing) -> SetResults:
    """Evaluates one set; what is not there, or not whole, is added to `missing`.

    Raises:
      ValueError: a run has other candidates than the first stage.
    """
    qrels = read_qrels(experiment.qrels(each.name))
    first_stage = read_run(experiment.first_stage(each.name))
    runs: dict[str, dict[int, Run]] = {}
    for arm in experiment.arms:
        for seed in experiment.seeds:
            run = _whole_run(experiment, each.name, arm.name, seed, first_stage, missing)
            if run is not None:
                runs.setdefault(arm.name, {})[seed] = run
    answerable = {q: judged for q, judged in qrels.items() if max(judged.values()) > 0}
    chosen = {"all": qrels}
    if 0 < len(answerable) < len(qrels):
        chosen["answerable"] = answerable
    scopes = [
        _scope(name, experiment, part, first_stage, runs, each.measures)
        for name, part in chosen.items()
    ]
    measures = evaluation.parse_measures(each.measures)
    relevant_grade = max([int(measure.params.get("rel", 1)) for measure in measures])
    names = [str(measure) for measure in measures]
    return SetResults(each, names, relevant_grade, qrels, first_stage, runs, scopes)


def _whole_run(
    experiment: Experiment, name: str, arm: str, seed: int, first_stage: Run, missing: Missing
) -> Run | None:
    file = experiment.run(name, arm, seed)
    what = f"run of arm '{arm}' on set '{name}'"
    if not file.is_file():
        missing.add(f"the {what}", seed)
        return None
    run = read_run(file)
    lacking = len(first_stage.keys() - run.keys())
    if lacking:
        missing.add(f"{lacking:,} of {len(first_stage):,} queries of the {what}", seed)
        return None
    for query_id, scored in run.items():
        if scored.keys() != first_stage.get(query_id, {}).keys():
            raise ValueError(
                f"Query '{query_id}' of file '{file}' has {len(scored)} documents that are not "
                f"the {len(first_stage.get(query_id, {}))} of the first stage; expected the same "
                "candidates in another order. Rerank the set again."
            )
    return run


def _scope(
    name: str,
    experiment: Experiment,
    qrels: Qrels,
    first_stage: Run,
    runs: Mapping[str, Mapping[int, Run]],
    measures: str,
) -> Scope:
    references = {
        FIRST_STAGE: [first_stage],
        RANDOM: [evaluation.random_run(first_stage, seed) for seed in RANDOM_SEEDS],
        PERFECT: [_perfect(first_stage, qrels)],
    }
    known = evaluation.evaluate_seeds(references, qrels, measures)
    arms = evaluation.evaluate_seeds(
        {arm: list(by_seed.values()) for arm, by_seed in runs.items()}, qrels, measures
    )
    whole = {arm: arms[arm] for arm in arms if len(runs[arm]) == len(experiment.seeds)}
    return Scope(
        name=name,
        queries=len(qrels),
        references=known,
        arms=arms,
        to_baseline=_compared(experiment.baseline, whole),
        to_first_stage=_compared(FIRST_STAGE, {FIRST_STAGE: known[FIRST_STAGE], **whole}),
    )


def _compared(
    baseline: str, evaluations: Mapping[str, SeedEvaluation]
) -> dict[str, dict[str, Comparison]]:
    if baseline not in evaluations or len(evaluations) < 2:
        return {}
    others = {name: each for name, each in evaluations.items() if name != baseline}
    return evaluation.compare({baseline: evaluations[baseline], **others})


def _perfect(first_stage: Run, qrels: Qrels) -> Run:
    return {
        query_id: {doc_id: float(qrels.get(query_id, {}).get(doc_id, 0)) for doc_id in scored}
        for query_id, scored in first_stage.items()
    }


def query_differences(one: SeedEvaluation, two: SeedEvaluation, measure: str) -> dict[str, float]:
    """Each query's figure of `one` minus that of `two`, the largest first; rounding is 0."""
    others = two.per_query[measure]
    differences = {query: value - others[query] for query, value in one.per_query[measure].items()}
    cleaned = {query: 0.0 if abs(d) < TIE else d for query, d in differences.items()}
    return dict(sorted(cleaned.items(), key=lambda item: -item[1]))


@dataclass(frozen=True)
class Coverage:
    """How many relevant documents the candidates hold: no reranker finds others.

    Attributes:
      relevant, found: relevant documents, and those among the candidates.
      queries, queries_found: queries with a relevant document, and with one among the candidates.
    """

    relevant: int
    found: int
    queries: int
    queries_found: int


def coverage(results: SetResults) -> Coverage:
    """The first stage's coverage."""
    found = {
        query_id: len(doc_ids & results.first_stage.get(query_id, {}).keys())
        for query_id, doc_ids in results.relevant().items()
    }
    return Coverage(
        relevant=sum(map(len, results.relevant().values())),
        found=sum(found.values()),
        queries=len(found),
        queries_found=sum(count > 0 for count in found.values()),
    )


@dataclass(frozen=True)
class Movement:
    """Ranks of the relevant candidates before and after, over all seeds of an arm.

    Attributes:
      before, after: ranks from 1, one for each relevant candidate and seed.
      seeds: how many seeds that is.
    """

    before: np.ndarray
    after: np.ndarray
    seeds: int


def movement(results: SetResults, arm: str) -> Movement:
    """Where an arm moves the relevant candidates."""
    before: list[int] = []
    after: list[int] = []
    for run in results.runs[arm].values():
        for query_id, doc_ids in results.relevant().items():
            old = _ranks(results.first_stage.get(query_id, {}))
            new = _ranks(run.get(query_id, {}))
            for doc_id in sorted(doc_ids & old.keys()):
                before.append(old[doc_id])
                after.append(new[doc_id])
    return Movement(np.array(before, int), np.array(after, int), len(results.runs[arm]))


def _ranks(scored: Mapping[str, float]) -> dict[str, int]:
    return {doc_id: rank for rank, doc_id in enumerate(scored, start=1)}


def scores_by_grade(results: SetResults, run: Run) -> dict[int, np.ndarray]:
    """The scores of judged queries by grade, ascending; grade 0 has the unjudged documents too."""
    found: dict[int, list[float]] = {}
    for query_id, judged in results.qrels.items():
        for doc_id, score in run.get(query_id, {}).items():
            found.setdefault(max(judged.get(doc_id, 0), 0), []).append(score)
    return {grade: np.array(found[grade]) for grade in sorted(found)}
