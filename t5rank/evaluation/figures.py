"""One measure's figures by ir_measures, with inputs that its libraries can take.

Their C code ends the process, or returns 0.0, for grades and ids that it does not expect. Ids are
therefore replaced by numbers, and grades by whether they are relevant. This module computes nDCG
itself, by the same formula, for gains that the libraries cannot hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from t5rank.data.trec import Qrels

Ranked = Mapping[str, list[str]]  # documents by query, best first
GAINS = ("dcg", "gains")  # the parameters of nDCG that set a grade's gain
_OF_GRADES = ("ERR", "Compat", "RBP", "BPM", "SDCG", "INST", "INSQ")
_LARGEST_GAIN = 1000  # trec_eval's memory and time grow with the largest gain


def figures(measure: Any, qrels: Qrels, ranked: Ranked) -> dict[str, float]:
    """The measure's figure for each query of the qrels; 0 if the run has no documents for it.

    Raises:
      ValueError: the measure is not defined for a grade.
    """
    import ir_measures

    if measure.NAME == "nDCG":
        gains = _gains(measure, qrels)
        if max(gains.values(), default=0) > _LARGEST_GAIN:
            return {
                query_id: _ndcg(measure, qrels[query_id], ranked.get(query_id, []), gains)
                for query_id in qrels
            }
        others = {name: measure.params[name] for name in measure.params if name not in GAINS}
        measure, grades = ir_measures.nDCG(**others), gains
    else:
        measure, grades = _with_grades(measure, qrels)
    # Query ids become numbers, because gdeval, which computes ERR, cuts "a-1" to "1".
    numbers = {query_id: str(number) for number, query_id in enumerate(qrels, start=1)}
    found = dict.fromkeys(numbers.values(), 0.0)
    judged, run = _numbered(qrels, ranked, numbers, grades)
    for metric in ir_measures.iter_calc([measure], judged, run):
        found[metric.query_id] = float(metric.value)
    return dict(zip(qrels, found.values(), strict=True))


def _gains(measure: Any, qrels: Qrels) -> dict[int, int]:
    """nDCG's gain of every grade. Gains below 0 become -1, which `judged_only` takes as unjudged.

    ir_measures would compute `dcg='exp-log2'` with gdeval, which needs Perl and rounds to 5 digits.
    """
    grades = {grade for judged in qrels.values() for grade in judged.values()}
    if measure["dcg"] == "exp-log2":
        # 2^10^20 takes too much memory: for gains above the largest one, `_ndcg` uses the grades.
        large = _LARGEST_GAIN.bit_length()
        gains = {g: 2 ** min(g, large + 1) - 1 for g in grades if g >= 0}
    else:
        gains = measure.params.get("gains", {})
    return {grade: max(gains.get(grade, grade), -1) for grade in grades}


def _ndcg(
    measure: Any, judged: Mapping[str, int], ranked: list[str], gains: Mapping[int, int]
) -> float:
    """trec_eval's nDCG of one query. Gains are divided by the query's largest gain."""
    exponential = measure["dcg"] == "exp-log2"
    top = max([0, *(judged.values() if exponential else map(gains.__getitem__, judged.values()))])

    def gain(grade: int) -> float:
        if exponential:
            return _power(max(grade, 0) - top) - _power(-top)
        return max(gains[grade], 0) / top if top else 0.0

    if measure["judged_only"]:
        gains = {-1: -1, **gains}
        ranked = [doc_id for doc_id in ranked if gains[judged.get(doc_id, -1)] >= 0]
    found = [gain(judged[doc_id]) if doc_id in judged else 0.0 for doc_id in ranked]
    ideal = _dcg(sorted(map(gain, judged.values()), reverse=True)[: measure.params.get("cutoff")])
    return _dcg(found[: measure.params.get("cutoff")]) / ideal if ideal else 0.0


def _power(exponent: int) -> float:
    return math.ldexp(1.0, max(exponent, -2000))


def _dcg(gains: list[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _with_grades(measure: Any, qrels: Qrels) -> tuple[Any, dict[int, int]]:
    """The measure, and the number that replaces each grade.

    For a measure that only distinguishes relevant documents, relevant grades become 1.
    """
    grades = {grade for judged in qrels.values() for grade in judged.values()}
    if measure.NAME == "ERR" and max(grades, default=0) > 4:
        raise ValueError(
            f"Measure '{measure}' has the relevance {max(grades)} to score; expected at most 4, "
            "gdeval's largest. Use another measure, such as nDCG(dcg='exp-log2')@10."
        )
    if measure.NAME in _OF_GRADES:
        return measure, {grade: grade for grade in grades}
    relevant = measure.params.get("rel", 1)
    binary = {"rel": 1} if "rel" in measure.params else {}
    by_grade = {g: 1 if g >= relevant else min(max(g, -2), 0) for g in grades}
    return type(measure)(**measure.params | binary), by_grade


def _numbered(
    qrels: Qrels, ranked: Ranked, numbers: Mapping[str, str], grades: Mapping[int, int]
) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Qrels and run with numbers in place of ids, and with scores that fall with the rank."""
    judged: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for query_id, number in numbers.items():
        documents = {doc_id: str(n) for n, doc_id in enumerate(ranked.get(query_id, []))}
        if documents:
            run[number] = {
                document: float(len(documents) - n) for n, document in enumerate(documents.values())
            }
        judged[number] = {
            documents.setdefault(doc_id, str(len(documents))): grades[grade]
            for doc_id, grade in qrels[query_id].items()
        }
    return judged, run
