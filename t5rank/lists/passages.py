"""Lists of passage ranking, out of a collection, queries, judgements and the candidates of runs.

Training and the commands that take a run read one list after the other (`read_passage_lists`), or
by number (`index_passage_lists`); `t5rank lists` writes them in blocks (`PassageSource`). All three
make a query's list in `t5rank.lists.query_list`.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from t5rank.data.collection import Collection, shared_collection
from t5rank.data.files import PathLike
from t5rank.data.indexed import IndexedLists
from t5rank.data.plain_file import is_plain
from t5rank.data.ranked_list import RankedList, filter_lists
from t5rank.data.trec import Qrels, iterate_run, read_run
from t5rank.lists.query_list import ListMaker, QueryDocuments, Sampling
from t5rank.lists.runs import (
    Candidates,
    IndexedRun,
    RunInMemory,
    ScatteredRunError,
    all_query_ids,
)
from t5rank.lists.sources import ALL, Dataset, DatasetFiles, Folds, left_out


def read_passage_lists(
    collection: Collection | PathLike,
    queries: PathLike,
    qrels: PathLike | None,
    run: PathLike,
    *,
    add_missing_relevant: bool = False,
    topn: int | None = None,
    keep_without_relevant: bool = True,
    strict: bool = True,
    counts: Counter[str] | None = None,
) -> Iterator[RankedList]:
    """Gives the run's candidates as one list a query, in the order of the run's queries.

    The documents of a list are in rank order (`t5rank.data.trec.rank_documents`). A label is the
    grade of the qrels; a document without a judgement, or with a grade below 0, has label 0.0. The
    queries and the qrels are in memory, while the run and the texts are read list by list.

    Args:
      collection: a TSV file of `doc_id TAB text`, or a `Collection` that is open.
      queries: a TSV file of `qid TAB text`.
      qrels: a qrels file; None gives all documents label 0.0, for inference.
      run: a TREC or MS MARCO run file.
      add_missing_relevant: whether relevant documents (grade > 0) that the run lacks are appended.
        RankT5 does so for training (https://arxiv.org/abs/2210.10634); evaluation never does.
      topn: how many of the run's best documents to keep; None keeps all.
      keep_without_relevant: whether lists with no label above 0 are kept.
      strict: see `checked_list`.
      counts: see `t5rank.data.ranked_list`. It also gets `unjudged_documents`,
        `missing_relevant_documents` (relevant ones that the run, cut at topn, lacks),
        `missing_relevant_added` and `qrels_queries_not_in_run`.

    Raises:
      ValueError: topn is below 1, a query or a document has no text, or what the readers of the
        files refuse.
    """
    _check_topn(topn)
    counts = Counter() if counts is None else counts

    def lists() -> Iterator[RankedList]:
        dataset = DatasetFiles(collection, queries, qrels, strict)
        counts.update(dataset.load())
        maker = ListMaker(dataset.texts, strict)
        not_in_run = set(dataset.qrels or ())
        for query_id, scored in iterate_run(run, strict=strict, counts=counts):
            not_in_run.discard(query_id)
            query = _of_run(dataset, query_id, tuple(scored)[:topn], run)
            yield maker.candidates(query, counts, add_missing_relevant)
        counts["qrels_queries_not_in_run"] += len(not_in_run)

    return filter_lists(
        lists(), source=str(run), keep_without_relevant=keep_without_relevant, counts=counts
    )


def index_passage_lists(
    collection: Collection | PathLike,
    queries: PathLike,
    qrels: PathLike | None,
    run: PathLike,
    *,
    add_missing_relevant: bool = False,
    topn: int | None = None,
    keep_without_relevant: bool = True,
    strict: bool = True,
    counts: Counter[str] | None = None,
) -> IndexedLists | None:
    """The lists of `read_passage_lists` in any order, by the number of their query in the run.

    The collection stays open. Where a query's lines stand in several places of the run, the whole
    run is in memory.

    Returns:
      The lists, or None where the run is compressed.
    """
    if not is_plain(run):
        return None
    _check_topn(topn)
    counts = Counter() if counts is None else counts
    if not isinstance(collection, Collection):
        collection = shared_collection(collection, strict)
    counts.update(collection.repaired)
    dataset = DatasetFiles(collection, queries, qrels, strict)
    counts.update(dataset.load())
    candidates = _candidates(run, strict, counts)
    query_ids = [*candidates.query_ids()]
    maker = ListMaker(dataset.texts, strict)

    def read(number: int, counts: Counter[str]) -> RankedList:
        query_id = query_ids[number]
        scored = candidates.read(query_id, candidates.place(query_id), counts)
        query = _of_run(dataset, query_id, tuple(scored)[:topn], run)
        return maker.candidates(query, counts, add_missing_relevant)

    return IndexedLists(str(run), len(query_ids), read, keep_without_relevant, counts)


def _check_topn(topn: int | None) -> None:
    if topn is not None and topn < 1:
        raise ValueError(f"Argument 'topn' has the value {topn}; expected at least 1, or None.")


def _candidates(run: PathLike, strict: bool, counts: Counter[str]) -> Candidates:
    indexed = IndexedRun(os.fspath(run), strict=strict)
    try:
        indexed.query_ids()
    except ScatteredRunError:
        return RunInMemory(os.fspath(run), read_run(run, strict=strict, counts=counts))
    return indexed


def _of_run(
    dataset: DatasetFiles, query_id: str, doc_ids: tuple[str, ...], run: PathLike
) -> QueryDocuments:
    judged = None if dataset.qrels is None else dataset.qrels.get(query_id, {})
    text = _query_text(dataset, query_id, f"file '{run}'")
    return QueryDocuments(query_id, text, doc_ids, judged, _place(query_id, f"file '{run}'"))


def _place(query_id: str, run: str) -> str:
    return f"{run}, query '{query_id}'"


def _query_text(dataset: Dataset, query_id: str, run: str) -> str:
    text = dataset.queries.get(query_id)
    if text is None:
        raise ValueError(
            f"Query '{query_id}' of {run} is not in file '{dataset.paths['queries']}'; expected "
            "its text."
        )
    return text


class PlannedQuery(NamedTuple):
    """A query of a block: with it, a process needs no more than the collection and the runs.

    Attributes:
      query_id: the query's id.
      text: the query's text.
      judged: relevance by document.
      places: where the query stands in each run.
      teacher_place: where it stands in the teacher's run.
    """

    query_id: str
    text: str
    judged: dict[str, int]
    places: tuple[Any, ...]
    teacher_place: Any


@dataclass
class PassageSource:
    """Lists for `t5rank lists`: for evaluation those of a run, for training sampled ones.

    Attributes:
      dataset: texts, queries and judgements.
      runs: where candidates come from, each with the ranks to take. Evaluation lists take one run;
        negatives are drawn from the candidates of all runs together.
      sampling: how training lists are sampled; None makes evaluation lists.
      teacher: a run whose scores the documents get. Training lists leave out documents that it did
        not score; in evaluation lists such a document is an error.
      folds: which queries.
      only_ids: a regular expression that the ids of candidates must match as a whole.

    Raises:
      ValueError: evaluation lists have several runs, training lists have no qrels, a query or a
        document has no text, or what a run or the dataset refuses.
    """

    dataset: Dataset
    runs: Sequence[Candidates]
    sampling: Sampling | None = None
    teacher: Candidates | None = None
    folds: Folds = ALL
    only_ids: str | None = None

    def __post_init__(self):
        if self.sampling is None and len(self.runs) != 1:
            raise ValueError(
                f"Evaluation lists have {len(self.runs)} runs; expected 1. "
                "Candidates of several runs are for training lists, with --negatives."
            )
        if self.sampling is not None and "qrels" not in self.dataset.paths:
            raise ValueError("Training lists have no qrels; expected --qrels with --negatives.")
        self.ranked = self.sampling is None
        self.paths = dict(self.dataset.paths)
        for number, run in enumerate(self.runs, start=1):
            self.paths["run" if len(self.runs) == 1 else f"run {number}"] = run.path
        if self.teacher is not None:
            self.paths["teacher"] = self.teacher.path

    def settings(self) -> dict[str, Any]:
        sampling = self.sampling
        return {
            "lists": "evaluation" if sampling is None else "training",
            "ranks": [[run.first, run.last] for run in self.runs],
            "negatives": None if sampling is None else sampling.negatives,
            "near_duplicates": None if sampling is None else sampling.near_duplicates,
            "seed": None if sampling is None else sampling.seed,
            "folds": list(self.folds),
            "only_ids": self.only_ids,
            "strict": self._strict,
        }

    def total(self) -> int:
        return len(self._planned[0])

    @property
    def counts(self) -> Counter[str]:
        return self._planned[1] + self.dataset.repaired

    def judgements(self, lists: Container[str]) -> Qrels | None:
        """See `BlockSource`: the qrels of the queries that have a list.

        Evaluation lists also have those of queries that are not in the run: such a query counts 0
        by the official rules.
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

    def blocks(self, size: int) -> Iterator[list[PlannedQuery]]:
        query_ids, _ = self._planned
        for start in range(0, len(query_ids), size):
            yield [self._plan(query_id) for query_id in query_ids[start : start + size]]

    def lists(self, block: list[PlannedQuery], counts: Counter[str]) -> Iterator[RankedList]:
        teacher = None if self.teacher is None else self.teacher.path
        maker = ListMaker(self.dataset.texts, self._strict, marks_judged=True, teacher=teacher)
        for planned in block:
            own: Counter[str] = Counter()
            ranked = self._list(maker, self._documents(planned, own), own)
            counts.update(left_out(own))
            if ranked is not None:
                yield ranked

    def _list(
        self, maker: ListMaker, query: QueryDocuments, counts: Counter[str]
    ) -> RankedList | None:
        if self.sampling is not None:
            return maker.sampled(query, counts, self.sampling)
        if not query.candidates:
            counts["queries_without_candidates_dropped"] += 1
            return None
        return maker.candidates(query, counts)

    @property
    def _strict(self) -> bool:
        return getattr(self.dataset, "strict", True)

    @property
    def _runs_name(self) -> str:
        return f"file '{self.runs[0].path}'" if len(self.runs) == 1 else "the runs"

    def _plan(self, query_id: str) -> PlannedQuery:
        text = _query_text(self.dataset, query_id, self._runs_name)
        judged = (self.dataset.qrels or {}).get(query_id, {})
        places = tuple(run.place(query_id) for run in self.runs)
        teacher = None if self.teacher is None else self.teacher.place(query_id)
        return PlannedQuery(query_id, text, judged, places, teacher)

    def _documents(self, planned: PlannedQuery, counts: Counter[str]) -> QueryDocuments:
        query_id = planned.query_id
        found = (
            doc_id
            for run, place in zip(self.runs, planned.places, strict=True)
            for doc_id in run.read(query_id, place, counts)
        )
        if self.only_ids is not None:
            pattern = re.compile(self.only_ids)
            found = (doc_id for doc_id in found if pattern.fullmatch(doc_id))
        scores = None
        if self.teacher is not None:
            scores = self.teacher.read(query_id, planned.teacher_place, counts)
        candidates = tuple(dict.fromkeys(found))
        place = _place(query_id, self._runs_name)
        return QueryDocuments(query_id, planned.text, candidates, planned.judged, place, scores)

    @cached_property
    def _planned(self) -> tuple[list[str], Counter[str]]:
        """The queries that get a list, and counts of those that the runs or the qrels lack."""
        counts: Counter[str] = Counter()
        query_ids = [query_id for query_id in all_query_ids(self.runs) if self.folds(query_id)]
        qrels = self.dataset.qrels or {}
        if self.sampling is None:
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
