"""Lists out of the four files of passage ranking: collection, queries, qrels and a run."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from t5rank.data.collection import Collection
from t5rank.data.files import PathLike, fingerprint
from t5rank.data.indexed import IndexedLists
from t5rank.data.line_index import is_plain
from t5rank.data.ranked_list import Item, RankedList, checked_list, filter_lists
from t5rank.data.run_index import RunIndex
from t5rank.data.trec import Qrels, iterate_run, read_qrels, read_queries


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
    """Gives the run's candidates as one list a query, in the run file's order of queries.

    Documents are in rank order (`t5rank.data.trec.rank_documents`), labels are the grades of the
    qrels; a document without judgement, or with a grade below 0, has label 0.0. The queries and the
    qrels are in memory; the run and the documents' texts are read list by list.

    Args:
      collection: a TSV file of `doc_id TAB text`, or a `Collection` to be used again.
      queries: a TSV file of `qid TAB text`.
      qrels: a qrels file; None gives label 0.0 to all, for inference.
      run: a TREC or MS MARCO run file.
      add_missing_relevant: whether relevant documents (grade > 0) that the run lacks are appended,
        as RankT5 does for training (https://arxiv.org/abs/2210.10634). Never for evaluation.
      topn: how many of the run's best documents to keep; None keeps all.
      keep_without_relevant: whether lists with no label above 0 are kept.
      strict: see `checked_list`.
      counts: see `t5rank.data.ranked_list`; here also `unjudged_documents`,
        `missing_relevant_documents` (relevant ones that the run, cut at topn, lacks),
        `missing_relevant_added`, `qrels_queries_not_in_run`.

    Raises:
      ValueError: topn below 1, a query or a document that is in the run (or to be added from the
        qrels) but not in the queries or the collection, or what the files' readers refuse.
    """
    _check_topn(topn)
    counts = Counter() if counts is None else counts
    lists = _lists(
        collection, queries, qrels, run, add_missing_relevant, topn, strict=strict, counts=counts
    )
    return filter_lists(
        lists, source=str(run), keep_without_relevant=keep_without_relevant, counts=counts
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
    """The lists of `read_passage_lists` by the number of their query in the run, in any order.

    The collection stays open. None where the run is compressed.
    """
    if not is_plain(run):
        return None
    _check_topn(topn)
    counts = Counter() if counts is None else counts
    if not isinstance(collection, Collection):
        collection = shared_collection(collection, strict)
    repairs: dict[str, Any] = {"strict": strict, "counts": counts}
    counts.update(collection.repaired)
    texts = read_queries(queries, **repairs)
    judgements = None if qrels is None else read_qrels(qrels, **repairs)
    files = _Files(collection, texts, judgements, queries, run, strict)
    by_query = RunIndex(run, **repairs)

    def read(i: int, counts: Counter[str]) -> RankedList:
        return files.ranked_list(*by_query.read(i, counts), topn, add_missing_relevant, counts)

    return IndexedLists(str(run), len(by_query), read, keep_without_relevant, counts)


def shared_collection(path: PathLike, strict: bool) -> Collection:
    """A collection that several splits and epochs read; opened once for as long as it is as it was.

    Raises:
      ValueError: as `Collection`.
    """
    if not os.path.isfile(path):
        return Collection(path, strict=strict)  # which says so
    return _opened(os.path.abspath(path), strict, fingerprint([path]))


@functools.lru_cache(maxsize=8)
def _opened(path: str, strict: bool, state: str) -> Collection:
    del state  # a part of the key
    return Collection(path, strict=strict)


def _lists(collection, queries, qrels, run, add_missing, topn, *, strict, counts):
    if not isinstance(collection, Collection):
        with Collection(collection, strict=strict, counts=counts) as opened:
            yield from _lists(
                opened, queries, qrels, run, add_missing, topn, strict=strict, counts=counts
            )
        return
    texts = read_queries(queries, strict=strict, counts=counts)
    judgements = None if qrels is None else read_qrels(qrels, strict=strict, counts=counts)
    files = _Files(collection, texts, judgements, queries, run, strict)
    not_in_run = set(judgements or ())
    for query_id, scored in iterate_run(run, strict=strict, counts=counts):
        not_in_run.discard(query_id)
        yield files.ranked_list(query_id, scored, topn, add_missing, counts)
    counts["qrels_queries_not_in_run"] += len(not_in_run)


class _Files(NamedTuple):
    """What lists are made of."""

    collection: Collection
    texts: dict[str, str]
    judgements: Qrels | None
    queries: PathLike
    run: PathLike
    strict: bool

    def ranked_list(
        self,
        query_id: str,
        scored: Mapping[str, float],
        topn: int | None,
        add_missing: bool,
        counts: Counter[str],
    ) -> RankedList:
        doc_ids = tuple(scored)[:topn]
        if query_id not in self.texts:
            raise ValueError(
                f"Query '{query_id}' of file '{self.run}' is not in file '{self.queries}'; "
                "expected its text."
            )
        judged = (self.judgements or {}).get(query_id, {})
        missing = _missing_relevant(doc_ids, judged)
        counts["missing_relevant_documents"] += len(missing)
        if self.judgements is not None:
            counts["unjudged_documents"] += sum(doc_id not in judged for doc_id in doc_ids)
        if add_missing:
            counts["missing_relevant_added"] += len(missing)
            doc_ids += missing
        place = f"file '{self.run}', query '{query_id}'"
        items = [_item(self.collection, doc_id, judged, place, counts) for doc_id in doc_ids]
        return checked_list(
            query_id, self.texts[query_id], items, place=place, strict=self.strict, counts=counts
        )


def _check_topn(topn: int | None) -> None:
    if topn is not None and topn < 1:
        raise ValueError(f"Argument 'topn' has the value {topn}; expected at least 1, or None.")


def _missing_relevant(doc_ids: tuple[str, ...], judged: dict[str, int]) -> tuple[str, ...]:
    present = set(doc_ids)
    return tuple(doc for doc, grade in judged.items() if grade > 0 and doc not in present)


def _item(
    collection: Collection, doc_id: str, judged: dict[str, int], place: str, counts: Counter[str]
) -> Item:
    try:
        text = collection.text(doc_id, counts)
    except KeyError:
        raise ValueError(
            f"Document '{doc_id}' of {place} is not in file '{collection.path}'; expected its text."
        ) from None
    return doc_id, text, label_of(judged, doc_id)


def label_of(judged: Mapping[str, int], doc_id: str) -> float:
    """The label of a document of a list: its grade; 0 without a judgement, or below 0."""
    return float(max(judged.get(doc_id, 0), 0))
