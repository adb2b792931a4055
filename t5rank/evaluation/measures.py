"""A run's figures against qrels, computed by ir_measures under t5rank's rules for ties and gaps.

* Ties: documents are ranked by `t5rank.trec.rank_documents` first, and ir_measures is handed
  strictly decreasing scores, so that no library's own rule for ties applies.
* Gaps: the mean is over all queries of the qrels. A query that the run lacks counts 0, as in the
  official MS MARCO evaluation (trec_eval leaves it out), and so does a query without a relevant
  document. Queries of the run without qrels are left out and counted.
* Gain: nDCG is trec_eval's, whose gain is linear (the grade itself); `nDCG(dcg='exp-log2')@10` asks
  for 2^grade - 1. They differ on graded qrels only. RR@10 is the official MS MARCO MRR@10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from t5rank.trec import Qrels, Run, sort_run

_NO_VALUE = re.compile(r"=<object object at \w+>")  # how ir_measures prints a missing parameter
DEFAULT_MEASURES = "nDCG@10 RR@10"
# What is reported on MS MARCO dev, TREC Deep Learning and BEIR. Judged@10 is the share of the first
# ten that is judged: nDCG takes the others for not relevant, which harms runs unlike those judged.
PROTOCOLS = {
    "msmarco": "RR@10",
    "dl": "nDCG@10 RR(rel=2) AP(rel=2) Judged@10",
    "beir": "nDCG@10 R@100 Judged@10",
}


@dataclass(frozen=True)
class Evaluation:
    """One run's figures.

    Attributes:
      aggregate: by measure, the mean over all queries of the qrels (for counts like NumRet, the
        sum).
      per_query: by measure, the figure of each query of the qrels, in their order.
      queries: queries of the qrels.
      missing_queries: of these, how many the run lacks or has no document for; they count 0.
      queries_without_relevant: of these, how many have no relevance above 0; they count 0.
      ignored_queries: queries of the run without qrels; they count nowhere.
    """

    aggregate: dict[str, float]
    per_query: dict[str, dict[str, float]]
    queries: int
    missing_queries: int
    queries_without_relevant: int
    ignored_queries: int


def parse_measures(measures: str) -> list[Any]:
    """ir_measures' measures out of their names, which white space separates; each once.

    Raises:
      ValueError: no name, or names that ir_measures does not know or cannot compute here; names
        each with the reason.

    >>> parse_measures("nDCG@10 MRR@10 AP(rel=2)")
    [nDCG@10, RR@10, AP(rel=2)]
    """
    import ir_measures

    parsed, problems = [], []
    for name in measures.split():
        try:
            measure = ir_measures.parse_measure(name)
            measure.validate_params()
            if not ir_measures.DefaultPipeline.supports(_with_gains(measure, {})):
                raise ValueError("no installed library computes it")
            parsed.append(measure)
        # What ir_measures raises for a bad name; AssertionError for a parameter that is missing.
        except (AssertionError, KeyError, NameError, TypeError, ValueError) as error:
            problems.append(f"'{name}' ({_NO_VALUE.sub(' has no value', str(error))})")
    if problems or not parsed:
        raise ValueError(
            f"Measures '{measures}' have {'; '.join(problems) or 'no name'}; expected names of "
            "ir_measures such as 'nDCG@10 RR@10 AP(rel=2)', with no space inside a name. "
            "See https://ir-measur.es/en/latest/measures.html."
        )
    return list(dict.fromkeys(parsed))


def evaluate(run: Run, qrels: Qrels, measures: str = DEFAULT_MEASURES) -> Evaluation:
    """Evaluates one run by the rules in the module's docstring.

    Raises:
      ValueError: qrels without a query, a score that is not a finite float32, a bad measure name.

    >>> result = evaluate({"q1": {"d1": 2.0, "d2": 1.0}}, {"q1": {"d2": 1}, "q2": {"d3": 1}})
    >>> result.aggregate["RR@10"]  # (1/2 + 0) / 2
    0.25
    """
    parsed = parse_measures(measures)
    if not qrels:
        raise ValueError("The qrels have no query; expected at least one judgement.")
    judged = {query_id: scored for query_id, scored in run.items() if query_id in qrels and scored}
    ranked = _tie_free(judged)
    # One measure a call: of nDCG with and without gains in one call, ir_measures loses one.
    values = {str(measure): _figures(measure, qrels, ranked) for measure in parsed}
    return Evaluation(
        aggregate={str(measure): _aggregated(measure, values[str(measure)]) for measure in parsed},
        per_query=values,
        queries=len(qrels),
        missing_queries=len(qrels) - len(judged),
        queries_without_relevant=sum(max(q.values(), default=0) <= 0 for q in qrels.values()),
        ignored_queries=len(run.keys() - qrels.keys()),
    )


def evaluate_runs(
    runs: Mapping[str, Run], qrels: Qrels, measures: str = DEFAULT_MEASURES
) -> dict[str, Evaluation]:
    """Evaluates runs by name, in their order (see `evaluate`)."""
    results = {}
    for name, run in runs.items():
        try:
            results[name] = evaluate(run, qrels, measures)
        except ValueError as error:
            raise ValueError(f"Run '{name}': {error}") from None
    return results


def is_sum(measure: str) -> bool:
    """Whether the aggregate figure is a sum over the queries, not their mean.

    >>> is_sum("NumRet"), is_sum("nDCG@10")
    (True, False)
    """
    import ir_measures

    return isinstance(ir_measures.parse_measure(measure).aggregator(), ir_measures.SumAgg)


def _tie_free(run: Run) -> Run:
    """The run with the scores n, n - 1, ..., 1 in the one order."""
    return {
        query_id: {doc_id: float(len(scored) - n) for n, doc_id in enumerate(scored)}
        for query_id, scored in sort_run(run).items()
    }


def _figures(measure: Any, qrels: Qrels, run: Run) -> dict[str, float]:
    """The measure's figure of each query of the qrels; 0 where the run has no documents."""
    import ir_measures

    # Numbers for query ids: gdeval, which computes ERR, fails on a name and cuts "a-1" to "1".
    numbers = {query_id: str(number) for number, query_id in enumerate(qrels, start=1)}
    figures = dict.fromkeys(numbers.values(), 0.0)
    for metric in ir_measures.iter_calc(
        [_with_gains(measure, qrels)], _renamed(qrels, numbers), _renamed(run, numbers)
    ):
        figures[metric.query_id] = float(metric.value)
    return dict(zip(qrels, figures.values(), strict=True))


def _with_gains(measure: Any, qrels: Qrels) -> Any:
    """nDCG with the gain 2^grade - 1 as trec_eval computes it, other measures as they are.

    ir_measures leaves `dcg='exp-log2'` to gdeval, which needs Perl and rounds to 5 digits.
    """
    import ir_measures

    if measure.NAME != "nDCG" or measure["dcg"] != "exp-log2":
        return measure
    grades = {grade for judged in qrels.values() for grade in judged.values()}
    gains = {grade: 2 ** max(grade, 0) - 1 for grade in grades}
    others = {name: value for name, value in measure.params.items() if name != "dcg"}
    return ir_measures.nDCG(**others, gains=gains)


def _renamed(by_query: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names[query_id]: value for query_id, value in by_query.items()}


def _aggregated(measure: Any, figures: dict[str, float]) -> float:
    aggregator = measure.aggregator()
    for value in figures.values():
        aggregator.add(value)
    return float(aggregator.result())
