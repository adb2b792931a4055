"""Lists of passage ranking: a run's candidates, or relevant documents and hard negatives."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from t5rank.data.passages import label_of
from t5rank.data.ranked_list import RankedList
from t5rank.data.trec import Qrels
from t5rank.lists.negatives import NearDuplicates, shuffled
from t5rank.lists.runs import Candidates, all_query_ids
from t5rank.lists.sources import ALL, Dataset, Folds


class Query(NamedTuple):
    """What is known of a query but for texts of documents, so that who has it needs no more files.

    Attributes:
      query_id: its id.
      text: its text.
      judged: relevance by document.
      places: where it stands in each run.
      teacher: where it stands in the teacher's.
    """

    query_id: str
    text: str
    judged: dict[str, int]
    places: tuple[Any, ...]
    teacher: Any


@dataclass
class PassageSource:
    """Evaluation lists (`negatives` None) are the run's candidates, training lists are sampled.

    A training list is every relevant document of the query and `negatives` others, drawn uniformly
    from the candidates of all runs together that are not judged relevant, not near-duplicates of a
    relevant one, and have another id than the query. With a teacher, documents that it did not
    score are left out of training lists and counted; in evaluation lists they are an error.

    Attributes:
      dataset: texts, queries and judgements.
      runs: where candidates come from, each with the ranks to take; one for evaluation lists.
      negatives: how many others a training list gets; where there are fewer, it is counted.
      near_duplicates: the threshold of `NearDuplicates`.
      teacher: a run whose scores the documents get.
      seed: of the sampling.
      folds: which queries.
      only_ids: a regular expression that the ids of candidates must match as a whole.

    Raises:
      ValueError: several runs, or no qrels, where that makes no sense; a query or document without
        text; what a run or a dataset refuses.
    """

    dataset: Dataset
    runs: Sequence[Candidates]
    negatives: int | None = None
    near_duplicates: float = 0.9
    teacher: Candidates | None = None
    seed: int = 0
    folds: Folds = ALL
    only_ids: str | None = None

    def __post_init__(self):
        if self.negatives is None and len(self.runs) != 1:
            raise ValueError(
                f"Evaluation lists have {len(self.runs)} runs; expected 1. "
                "Candidates of several runs are for training lists, with --negatives."
            )
        if self.negatives is not None and "qrels" not in self.dataset.paths:
            raise ValueError("Training lists have no qrels; expected --qrels with --negatives.")
        if not 0 <= self.near_duplicates <= 1:
            raise ValueError(
                f"Option '--near_duplicates' has {self.near_duplicates}; expected 0 to 1."
            )
        self.ranked = self.negatives is None
        self.paths = dict(self.dataset.paths)
        for number, run in enumerate(self.runs, start=1):
            self.paths["run" if len(self.runs) == 1 else f"run {number}"] = run.path
        if self.teacher is not None:
            self.paths["teacher"] = self.teacher.path

    def settings(self) -> dict[str, Any]:
        """See `BlockSource`."""
        return {
            "lists": "evaluation" if self.negatives is None else "training",
            "ranks": [[run.first, run.last] for run in self.runs],
            "negatives": self.negatives,
            "near_duplicates": self.near_duplicates if self.negatives is not None else None,
            "seed": self.seed if self.negatives is not None else None,
            "folds": list(self.folds),
            "only_ids": self.only_ids,
            "strict": getattr(self.dataset, "strict", True),
        }

    def total(self) -> int:
        """See `BlockSource`."""
        return len(self._planned[0])

    @property
    def counts(self) -> Counter[str]:
        """See `BlockSource`."""
        return self._planned[1] + self.dataset.loading

    def judgements(self, lists: Container[str]) -> Qrels | None:
        """See `BlockSource`: the qrels of the queries that have a list.

        For evaluation also of those that are not in the run, which count 0 by the official rules.
        """
        if self.dataset.qrels is None:
            return None
        in_run = set(all_query_ids(self.runs)) if self.ranked else ()
        return {
            query_id: judged
            for query_id, judged in self.dataset.qrels.items()
            if query_id in lists
            or (self.ranked and query_id not in in_run and self.folds(query_id))
        }

    def blocks(self, size: int) -> Iterator[list[Query]]:
        """See `BlockSource`; a block does not need the queries, the qrels and the runs' indices."""
        query_ids, _ = self._planned
        for start in range(0, len(query_ids), size):
            yield [self._query(query_id) for query_id in query_ids[start : start + size]]

    def lists(self, block: list[Query], counts: Counter[str]) -> Iterator[RankedList]:
        """See `BlockSource`."""
        build = self._evaluation_list if self.negatives is None else self._training_list
        for query in block:
            before = self.dataset.reading.copy()
            ranked = build(query, counts)
            counts.update(self.dataset.reading - before)
            if ranked is not None:
                yield ranked

    def _query(self, query_id: str) -> Query:
        text = self.dataset.queries.get(query_id)
        if text is None:
            raise ValueError(
                f"Query '{query_id}' of the run is not among the queries; expected its text."
            )
        judged = (self.dataset.qrels or {}).get(query_id, {})
        places = tuple(run.place(query_id) for run in self.runs)
        teacher = None if self.teacher is None else self.teacher.place(query_id)
        return Query(query_id, text, judged, places, teacher)

    @cached_property
    def _planned(self) -> tuple[list[str], Counter[str]]:
        """The queries, and what is left out of the runs and the qrels."""
        counts: Counter[str] = Counter()
        query_ids = [query_id for query_id in all_query_ids(self.runs) if self.folds(query_id)]
        qrels = self.dataset.qrels or {}
        if self.negatives is None:
            missing = {query_id for query_id in qrels if self.folds(query_id)}.difference(query_ids)
            counts["qrels_queries_not_in_run"] += len(missing)
            return query_ids, counts
        relevant = {q for q, judged in qrels.items() if max(judged.values()) > 0}
        kept = [query_id for query_id in query_ids if query_id in relevant]
        counts["lists_without_relevant_dropped"] += len(query_ids) - len(kept)
        missing = {query_id for query_id in relevant if self.folds(query_id)}.difference(kept)
        counts["qrels_queries_not_in_run"] += len(missing)
        return kept, counts

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_planned"}

    def _evaluation_list(self, query: Query, counts: Counter[str]) -> RankedList | None:
        doc_ids = self._candidates(query, counts)
        if not doc_ids:
            counts["queries_without_candidates_dropped"] += 1
            return None
        scores = self._teacher_scores(query, counts)
        if scores is not None and (missing := [d for d in doc_ids if d not in scores]):
            raise ValueError(
                f"Document '{missing[0]}' of query '{query.query_id}' is not in the teacher's file "
                f"'{self.paths['teacher']}'; expected a score of every candidate."
            )
        return _list(query, self._texts(query, doc_ids), scores, counts)

    def _training_list(self, query: Query, counts: Counter[str]) -> RankedList | None:
        judged = query.judged
        relevant = [doc_id for doc_id, grade in judged.items() if grade > 0]
        candidates = [d for d in self._candidates(query, counts) if judged.get(d, 0) <= 0]
        if query.query_id in candidates:  # in ArguAna and Quora, the query itself
            candidates.remove(query.query_id)
            counts["documents_with_the_id_of_the_query_left_out"] += 1
        scores = self._teacher_scores(query, counts)
        if scores is not None:
            before = len(relevant) + len(candidates)
            relevant = [doc_id for doc_id in relevant if doc_id in scores]
            candidates = [doc_id for doc_id in candidates if doc_id in scores]
            left = before - len(relevant) - len(candidates)
            counts["documents_without_teacher_score_left_out"] += left
            if not relevant:
                counts["lists_without_teacher_score_dropped"] += 1
                return None
        texts = self._texts(query, relevant)
        size = len(texts) + (self.negatives or 0)
        duplicates = NearDuplicates(texts.values(), self.near_duplicates)
        for doc_id in shuffled(candidates, self.seed, query.query_id):
            if len(texts) == size:
                break
            text = self._texts(query, [doc_id])[doc_id]
            if text in duplicates:
                counts["near_duplicates_left_out"] += 1
            else:
                texts[doc_id] = text
        counts["lists_with_fewer_negatives"] += len(texts) < size
        return _list(query, texts, scores, counts)

    def _candidates(self, query: Query, counts: Counter[str]) -> list[str]:
        runs = zip(self.runs, query.places, strict=True)
        found = (
            doc_id for run, place in runs for doc_id in run.read(query.query_id, place, counts)
        )
        if self.only_ids is not None:
            pattern = re.compile(self.only_ids)
            found = (doc_id for doc_id in found if pattern.fullmatch(doc_id))
        return list(dict.fromkeys(found))

    def _teacher_scores(self, query: Query, counts: Counter[str]) -> dict[str, float] | None:
        if self.teacher is None:
            return None
        return self.teacher.read(query.query_id, query.teacher, counts)

    def _texts(self, query: Query, doc_ids: Sequence[str]) -> dict[str, str]:
        collection = self.dataset.texts
        try:
            return {doc_id: collection[doc_id] for doc_id in doc_ids}
        except KeyError as error:
            raise ValueError(
                f"Query '{query.query_id}' has a candidate or judgement without text: "
                f"{error.args[0]} Do the run, the qrels and the collection belong together?"
            ) from None


def _list(query: Query, texts: dict[str, str], scores, counts: Counter[str]) -> RankedList:
    judged = tuple(doc_id in query.judged for doc_id in texts)
    counts["unjudged_documents"] += judged.count(False)
    return RankedList(
        query.query_id,
        query.text,
        tuple(texts),
        tuple(texts.values()),
        tuple(label_of(query.judged, doc_id) for doc_id in texts),
        None if all(judged) else judged,
        None if scores is None else tuple(scores[doc_id] for doc_id in texts),
    )
