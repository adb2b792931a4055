"""A run's figures against qrels, computed by ir_measures with t5rank's rules for ties and gaps.

* Ties: `t5rank.data.trec.rank_documents` ranks the documents first. ir_measures gets strictly
  decreasing scores, so that no library's rule for ties applies.
* Grades are integers, and ids are any strings (`t5rank.evaluation.figures`). A run without any
  query of the qrels is an error. If it has none of the judged documents, the log warns.
* Gaps: the mean is over all queries of the qrels. A query that the run lacks counts 0, as in the
  official MS MARCO evaluation. (trec_eval leaves it out.) A query without a relevant document also
  counts 0. Queries of the run that have no qrels are left out and counted.
* Gain: nDCG is trec_eval's, with a linear gain (the grade itself). `nDCG(dcg='exp-log2')@10` has
  the gain 2^grade - 1. The two differ only on graded qrels. RR@10 is the official MS MARCO MRR@10.
"""

from __future__ import annotations

import logging
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from t5rank.data.trec import Qrels, Run, sort_run
from t5rank.evaluation.figures import GAINS, figures
from t5rank.evaluation.parameters import check_parameters

_logger = logging.getLogger(__name__)
_NO_VALUE = re.compile(r"=<object object at \w+>")  # how ir_measures prints a missing parameter
DEFAULT_MEASURES = "nDCG@10 RR@10"
# The usual measures of MS MARCO dev, TREC Deep Learning and BEIR. Judged@10 is the share of the
# first ten documents that are judged. nDCG takes the others as not relevant, which lowers the
# figures of runs that find other documents than the judged ones.
PROTOCOLS = {
    "msmarco": "RR@10",
    "dl": "nDCG@10 RR(rel=2) AP(rel=2) Judged@10",
    "beir": "nDCG@10 R@100 Judged@10",
}
# Protocols that leave out a document whose id is that of the query. Queries of ArguAna and Quora
# are documents of the collection, and find themselves. BEIR's `EvaluateRetrieval.evaluate` removes
# such documents from the run before it evaluates, but not from the qrels.
IGNORES_IDENTICAL_IDS = {"beir"}


@dataclass(frozen=True)
class Evaluation:
    """One run's figures.

    Attributes:
      aggregate: by measure, the mean over all queries of the qrels (the sum for counts such as
        NumRet).
      per_query: by measure, the figure of each query of the qrels, in their order.
      queries: the number of queries of the qrels.
      missing_queries: how many of these the run lacks, or has no document for. They count 0.
      queries_without_relevant: how many of these have no relevance above 0. They count 0.
      ignored_queries: the number of queries of the run without qrels. They do not count.
      identical_ids: the number of documents left out of the run because their id is the query's.
      judged_documents: the number of documents of the run that the qrels judge.
    """

    aggregate: dict[str, float]
    per_query: dict[str, dict[str, float]]
    queries: int
    missing_queries: int
    queries_without_relevant: int
    ignored_queries: int
    identical_ids: int = 0
    judged_documents: int | None = None


def parse_measures(measures: str) -> list[Any]:
    """Parses names of ir_measures' measures, separated by white space. Each is returned once.

    Raises:
      ValueError: there is no name, or ir_measures does not know a measure or cannot compute it
        here. The message gives the reason for each.

    >>> parse_measures("nDCG@10 MRR@10 AP(rel=2)")
    [nDCG@10, RR@10, AP(rel=2)]
    """
    import ir_measures

    parsed, problems = [], []
    for name in measures.split():
        try:
            measure = ir_measures.parse_measure(name)
            measure.validate_params()
            check_parameters(measure)
            if not ir_measures.DefaultPipeline.supports(_without_gains(measure)):
                raise ValueError("no installed library computes it")
            parsed.append(measure)
        # ir_measures raises these for a bad name, and AssertionError for a missing parameter.
        except (AssertionError, KeyError, NameError, TypeError, ValueError) as error:
            problems.append(f"'{name}' ({_NO_VALUE.sub(' has no value', str(error))})")
    if problems or not parsed:
        raise ValueError(
            f"Measures '{measures}' have {'; '.join(problems) or 'no name'}; expected names of "
            "ir_measures such as 'nDCG@10 RR@10 AP(rel=2)', with no space inside a name. "
            "See https://ir-measur.es/en/latest/measures.html."
        )
    return list(dict.fromkeys(parsed))


def evaluate(
    run: Run,
    qrels: Qrels,
    measures: str = DEFAULT_MEASURES,
    *,
    ignore_identical_ids: bool = False,
) -> Evaluation:
    """Evaluates one run by the rules of the module's docstring.

    Args:
      run: each query's documents with their scores.
      qrels: each query's documents with their relevance.
      measures: names of ir_measures.
      ignore_identical_ids: whether to leave out documents of the run whose id is the query's, as
        BEIR does.

    Raises:
      ValueError: the qrels have no query, the run has no query of the qrels, a relevance is not an
        integer, a score is not a finite float32, or a measure's name is bad.

    >>> result = evaluate({"q1": {"d1": 2.0, "d2": 1.0}}, {"q1": {"d2": 1}, "q2": {"d3": 1}})
    >>> result.aggregate["RR@10"]  # (1/2 + 0) / 2
    0.25
    """
    parsed = parse_measures(measures)
    qrels = _checked(qrels)
    ignored = run.keys() - qrels.keys()
    run = {query_id: scored for query_id, scored in run.items() if query_id in qrels and scored}
    _check_common(run, ignored, qrels)
    identical = [query_id for query_id in run if query_id in run[query_id]]
    if ignore_identical_ids:
        run = _without_identical_ids(run)
    ranked = {query_id: list(scored) for query_id, scored in sort_run(run).items()}
    # One call per measure: in one call with and without gains, ir_measures loses one nDCG.
    values = {str(measure): figures(measure, qrels, ranked) for measure in parsed}
    return Evaluation(
        aggregate={str(measure): _aggregated(measure, values[str(measure)]) for measure in parsed},
        per_query=values,
        queries=len(qrels),
        missing_queries=len(qrels) - len(ranked),
        queries_without_relevant=sum(max(q.values(), default=0) <= 0 for q in qrels.values()),
        ignored_queries=len(ignored),
        identical_ids=len(identical) if ignore_identical_ids else 0,
        judged_documents=_judged_documents(ranked, qrels),
    )


def evaluate_runs(
    runs: Mapping[str, Run],
    qrels: Qrels,
    measures: str = DEFAULT_MEASURES,
    *,
    ignore_identical_ids: bool = False,
) -> dict[str, Evaluation]:
    """Evaluates runs by name, in their order; see `evaluate`."""
    results = {}
    for name, run in runs.items():
        try:
            results[name] = evaluate(
                run, qrels, measures, ignore_identical_ids=ignore_identical_ids
            )
        except ValueError as error:
            raise ValueError(f"Run '{name}': {error}") from None
    return results


def is_sum(measure: str) -> bool:
    """Whether the aggregate figure is the sum over the queries instead of their mean.

    >>> is_sum("NumRet"), is_sum("nDCG@10")
    (True, False)
    """
    import ir_measures

    return isinstance(ir_measures.parse_measure(measure).aggregator(), ir_measures.SumAgg)


def _checked(qrels: Qrels) -> Qrels:
    """The qrels with Python integers as grades."""
    if not qrels:
        raise ValueError("The qrels have no query; expected at least one judgement.")
    return {
        query_id: {doc_id: _grade(query_id, doc_id, grade) for doc_id, grade in judged.items()}
        for query_id, judged in qrels.items()
    }


def _grade(query_id: str, doc_id: str, grade: Any) -> int:
    try:
        return operator.index(grade)
    except TypeError:
        raise ValueError(
            f"Document '{doc_id}' of query '{query_id}' has the relevance {grade!r}; expected an "
            "integer."
        ) from None


def _check_common(run: Run, ignored: set[str], qrels: Qrels) -> None:
    if run:
        return
    has = f"has the queries {_some(ignored)}" if ignored else "has no documents"
    raise ValueError(
        f"The run {has}; expected some of the qrels' queries {_some(qrels)}. Does it belong to "
        "another set, or was it cut off?"
    )


def _some(ids: Any) -> str:
    first = sorted(ids)[:3]
    return ", ".join(f"'{each}'" for each in first) + (", ..." if len(ids) > 3 else "")


def _without_identical_ids(run: Run) -> Run:
    kept = {
        query_id: {doc_id: score for doc_id, score in scored.items() if doc_id != query_id}
        for query_id, scored in run.items()
    }
    return {query_id: scored for query_id, scored in kept.items() if scored}


def _judged_documents(ranked: Mapping[str, list[str]], qrels: Qrels) -> int:
    """The number of judged documents in the run. Warns if it is 0."""
    number = sum(
        doc_id in qrels[query_id] for query_id, doc_ids in ranked.items() for doc_id in doc_ids
    )
    if not number:
        _logger.warning(
            "WARNING: the run has none of the documents that the qrels judge. Every figure of "
            "relevance is 0. Are its document ids those of the qrels?"
        )
    return number


def _without_gains(measure: Any) -> Any:
    """nDCG without the parameters of its gains, which t5rank handles itself."""
    others = {name: value for name, value in measure.params.items() if name not in GAINS}
    return type(measure)(**others) if measure.NAME == "nDCG" else measure


def _aggregated(measure: Any, figures: dict[str, float]) -> float:
    aggregator = measure.aggregator()
    for value in figures.values():
        aggregator.add(value)
    return float(aggregator.result())
