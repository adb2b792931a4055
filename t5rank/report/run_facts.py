"""The facts that a report keeps of a run. Runs may have millions of rows, and are read in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from t5rank.data.trec import Qrels, Run

Relevant = Mapping[str, set[str]]


class Runs(Sequence[Run]):
    """A sequence of runs that are made on demand, and not kept.

    Args:
      makers: a function for each run that makes it.
    """

    def __init__(self, makers: Sequence[Callable[[], Run]]):
        self._makers = makers

    def __len__(self) -> int:
        return len(self._makers)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        """Makes one run, or gives a slice of the sequence."""
        found = self._makers[index]
        return found() if callable(found) else Runs(found)

    def __iter__(self) -> Iterator[Run]:
        return (make() for make in self._makers)


@dataclass(frozen=True)
class RunFacts:
    """The facts of a run.

    Attributes:
      first: the document at rank 1, by query.
      ranks: the ranks of its relevant documents, by query and document.
      scores: the ascending scores of judged queries' documents, by grade. Unjudged documents have
        grade 0.
    """

    first: Mapping[str, str]
    ranks: Mapping[tuple[str, str], int]
    scores: Mapping[int, np.ndarray]


def run_facts(run: Run, qrels: Qrels, relevant: Relevant) -> RunFacts:
    """The facts of a run whose documents are in order."""
    ranks = {
        (query_id, doc_id): rank
        for query_id, doc_ids in relevant.items()
        for rank, doc_id in enumerate(run.get(query_id, ()), start=1)
        if doc_id in doc_ids
    }
    first = {query_id: next(iter(scored)) for query_id, scored in run.items() if scored}
    return RunFacts(first, ranks, _scores(run, qrels))


def _scores(run: Run, qrels: Qrels) -> dict[int, np.ndarray]:
    found: dict[int, list[float]] = {}
    for query_id, judged in qrels.items():
        for doc_id, score in run.get(query_id, {}).items():
            found.setdefault(max(judged.get(doc_id, 0), 0), []).append(score)
    return {grade: np.array(found[grade], np.float32) for grade in sorted(found)}


def relevant_documents(qrels: Qrels, grade: int) -> dict[str, set[str]]:
    """The documents of at least this grade, by query, for the queries that have one."""
    found = {
        query_id: {doc_id for doc_id, value in judged.items() if value >= grade}
        for query_id, judged in qrels.items()
    }
    return {query_id: doc_ids for query_id, doc_ids in found.items() if doc_ids}
