"""The results of an experiment's runs on one set. `t5rank.evaluation` computes all figures."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from t5rank import evaluation
from t5rank.data.trec import Qrels, Run, read_qrels, read_run
from t5rank.evaluation import Comparison, SeedEvaluation
from t5rank.report.experiment import EvaluationSet, Experiment
from t5rank.report.missing import Missing
from t5rank.report.run_facts import Relevant, RunFacts, Runs, relevant_documents, run_facts

FIRST_STAGE, RANDOM, PERFECT = "first stage", "random order", "perfect order"
RANDOM_SEEDS = range(10)
TIE = 1e-9  # smaller differences of means over seeds are rounding errors


@dataclass(frozen=True)
class Scope:
    """Figures over all or some of a set's queries.

    Attributes:
      name: "all", or "answerable" for the queries that have a relevant document.
      queries: the number of queries.
      references: figures of FIRST_STAGE, RANDOM and PERFECT (the candidates sorted by grade).
      arms: figures of the arms that have any run.
      to_baseline, to_first_stage: comparisons by arm and measure, without arms that lack a seed.
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
      evaluation_set: the set.
      measures: names of measures as `t5rank.evaluation` writes them. The first one is decisive.
      relevant_grade: the smallest grade of a relevant document: the largest `rel` of the measures.
      qrels: the judgements.
      relevant: the relevant documents of each query that has one.
      candidates: the number of candidates of each query.
      first_stage: the facts of the candidates in the first stage's order.
      runs: the facts of the complete runs, by arm and seed.
      scopes: "all", and "answerable" if it has fewer queries.
    """

    evaluation_set: EvaluationSet
    measures: Sequence[str]
    relevant_grade: int
    qrels: Qrels
    relevant: Relevant
    candidates: Mapping[str, int]
    first_stage: RunFacts
    runs: Mapping[str, Mapping[int, RunFacts]]
    scopes: Sequence[Scope]


def set_results(experiment: Experiment, each: EvaluationSet, missing: Missing) -> SetResults | None:
    """Evaluates one set. Missing and incomplete runs are added to `missing`.

    Returns:
      The results; None without a complete run.

    Raises:
      ValueError: a run's candidates are not those of the first stage.
    """
    qrels = read_qrels(experiment.qrels(each.name))
    first_stage = read_run(experiment.first_stage(each.name))
    measures = evaluation.parse_measures(each.measures)
    grade = max(int(measure.params.get("rel", 1)) for measure in measures)
    relevant = relevant_documents(qrels, grade)
    runs: dict[str, dict[int, RunFacts]] = {}
    for arm in experiment.arms:
        for seed in experiment.seeds:
            run = _complete_run(experiment, each.name, arm.name, seed, first_stage, missing)
            if run is not None:
                runs.setdefault(arm.name, {})[seed] = run_facts(run, qrels, relevant)
    if not runs:
        return None
    return SetResults(
        evaluation_set=each,
        measures=[str(measure) for measure in measures],
        relevant_grade=grade,
        qrels=qrels,
        relevant=relevant,
        candidates={query_id: len(scored) for query_id, scored in first_stage.items()},
        first_stage=run_facts(first_stage, qrels, relevant),
        runs=runs,
        scopes=[
            _scope(name, experiment, each, part, first_stage, runs)
            for name, part in _parts(qrels).items()
        ],
    )


def _parts(qrels: Qrels) -> dict[str, Qrels]:
    answerable = relevant_documents(qrels, 1)
    parts = {"all": qrels}
    if 0 < len(answerable) < len(qrels):
        parts["answerable"] = {query_id: qrels[query_id] for query_id in answerable}
    return parts


def _complete_run(
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
        candidates = first_stage.get(query_id, {})
        if scored.keys() != candidates.keys():
            raise ValueError(
                f"Query '{query_id}' of file '{file}' has {len(scored)} documents that are not "
                f"the {len(candidates)} of the first stage; expected the same candidates in "
                "another order. Rerank the set again."
            )
    return run


def _scope(
    name: str,
    experiment: Experiment,
    each: EvaluationSet,
    qrels: Qrels,
    first_stage: Run,
    runs: Mapping[str, Mapping[int, RunFacts]],
) -> Scope:
    shuffled = [
        functools.partial(evaluation.random_run, first_stage, seed) for seed in RANDOM_SEEDS
    ]
    reference_runs = {
        FIRST_STAGE: [first_stage],
        RANDOM: Runs(shuffled),
        PERFECT: [_perfect(first_stage, qrels)],
    }
    arm_runs = {
        arm: Runs(
            [functools.partial(read_run, experiment.run(each.name, arm, seed)) for seed in by_seed]
        )
        for arm, by_seed in runs.items()
    }
    references = evaluation.evaluate_seeds(reference_runs, qrels, each.measures)
    arms = evaluation.evaluate_seeds(arm_runs, qrels, each.measures)
    complete = {arm: arms[arm] for arm in arms if len(runs[arm]) == len(experiment.seeds)}
    return Scope(
        name=name,
        queries=len(qrels),
        references=references,
        arms=arms,
        to_baseline=_compared(experiment.baseline, complete),
        to_first_stage=_compared(FIRST_STAGE, {FIRST_STAGE: references[FIRST_STAGE], **complete}),
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
    """Each query's figure of `one` minus that of `two`, the largest first, 0 below `TIE`."""
    others = two.per_query[measure]
    differences = {query: value - others[query] for query, value in one.per_query[measure].items()}
    cleaned = {query: 0.0 if abs(d) < TIE else d for query, d in differences.items()}
    return dict(sorted(cleaned.items(), key=lambda item: -item[1]))


@dataclass(frozen=True)
class Movement:
    """Ranks of the relevant candidates before and after reranking, over all seeds of an arm.

    Attributes:
      before, after: a rank, from 1, of each relevant candidate for each seed.
      seeds: the number of seeds.
    """

    before: np.ndarray
    after: np.ndarray
    seeds: int


def movement(results: SetResults, arm: str) -> Movement:
    """The relevant candidates' ranks before and after an arm's reranking."""
    before = results.first_stage.ranks
    pairs = [
        (before[document], rank)
        for run in results.runs[arm].values()
        for document, rank in run.ranks.items()
    ]
    old, new = np.array(pairs, int).reshape(-1, 2).T
    return Movement(old, new, len(results.runs[arm]))
