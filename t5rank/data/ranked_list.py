"""One query's candidates, and the one place that checks what a file says about them.

Every reader passes what it read to `checked_list`, and its lists through `filter_lists`. So all
formats follow the same rules and use the same counts:

  lists, documents                  what the reader gave
  lists_without_relevant            lists with no label above 0, among those that it gave
  lists_without_relevant_dropped    lists left out by keep_without_relevant=False
  empty_documents                   documents without text. They are no fault (BEIR has some), and
                                    are trained on and scored like any other
  duplicate_documents_merged        repaired when not strict
  duplicate_queries_dropped         repaired when not strict (a query's second text or list)
  conflicting_judgements_merged     repaired when not strict (the largest grade is kept)
  broken_utf8_lines_replaced        repaired when not strict (a line, or a row of a columnar file)
  queries_cut                       repaired when not strict (they left a document no room)
"""

from __future__ import annotations

import functools
import logging
import math
import numbers
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from t5rank.data.errors import DataError
from t5rank.data.files import broken_text_error, is_broken, repaired

logger = logging.getLogger(__name__)

Item = tuple[str, str, float]  # (doc_id, text, label)
REPAIRS = (
    "duplicate_documents_merged",
    "duplicate_queries_dropped",
    "conflicting_judgements_merged",
    "broken_utf8_lines_replaced",
    "queries_cut",
)


@dataclass(frozen=True, slots=True)
class RankedList:
    """One query and its candidate documents, in the order of the source.

    Attributes:
      query_id: the query's id.
      query: the query's text.
      doc_ids: the documents' ids.
      documents: the documents' texts, as many as `doc_ids`.
      labels: training targets, as many as `doc_ids`; a document with a label above 0 is relevant.
      judged: whether somebody judged each document; None if all are judged.
      teacher_scores: another model's score of each document; None without such a model.

    >>> ranked = RankedList("q1", "cost of sales", ("d1", "d2"), ("one", "two"), (0.0, 1.0))
    >>> len(ranked), ranked.has_relevant
    (2, True)
    """

    query_id: str
    query: str
    doc_ids: tuple[str, ...]
    documents: tuple[str, ...]
    labels: tuple[float, ...]
    judged: tuple[bool, ...] | None = None
    teacher_scores: tuple[float, ...] | None = None

    def __post_init__(self):
        columns = (self.doc_ids, self.documents, self.labels, self.judged, self.teacher_scores)
        lengths = [len(column) for column in columns if column is not None]
        if len(set(lengths)) != 1:
            raise ValueError(
                f"List '{self.query_id}' has {tuple(lengths)} doc_ids, documents, labels, ...; "
                "expected as many of each."
            )

    def __len__(self) -> int:
        return len(self.doc_ids)

    def __repr__(self) -> str:
        relevant = sum(label > 0 for label in self.labels)
        query = self.query if len(self.query) <= 60 else f"{self.query[:60]}..."
        return (
            f"RankedList({self.query_id!r}, {query!r}, {len(self)} documents, {relevant} relevant)"
        )

    @property
    def has_relevant(self) -> bool:
        """Whether any label is above 0."""
        return any(label > 0 for label in self.labels)

    def first(self, number: int | None) -> RankedList:
        """The list with its first `number` documents; None keeps all."""
        return RankedList(
            self.query_id,
            self.query,
            self.doc_ids[:number],
            self.documents[:number],
            self.labels[:number],
            self.judged and self.judged[:number],
            self.teacher_scores and self.teacher_scores[:number],
        )


def checked_list(
    query_id: str,
    query: str,
    items: Iterable[Item],
    *,
    place: str,
    strict: bool,
    counts: Counter[str],
    unique: Literal["doc_id", "text"] = "doc_id",
) -> RankedList:
    """Checks the list that a file describes, and repairs it unless `strict`.

    Args:
      query_id: the query's id.
      query: the query's text; blank is an error.
      items: (doc_id, text, label) of each document; none is an error.
      place: the list's place in its file, for errors: "file 'x', line 12".
      strict: whether broken text and duplicates are errors. If not, U+FFFD replaces what is broken,
        and the first of several duplicates is kept, with their largest label.
      counts: gets the repairs, under the names in the module's docstring.
      unique: what makes two documents duplicates; "text" for formats without ids.

    Raises:
      ValueError: a rule above is broken, or a label is not a finite number >= 0.
    """
    items = list(items)
    _check_types(query_id, query, items, place)
    query_id, query, items = _whole_text(query_id, query, items, place, strict, counts)
    if not query_id.strip():
        raise ValueError(f"The query in {place} has a blank id; expected a name.")
    if not query.strip():
        raise ValueError(f"Query '{query_id}' in {place} has no text; expected at least one word.")
    items = [(doc_id, text, checked_label(label, doc_id, place)) for doc_id, text, label in items]
    items = _without_duplicates(items, place, strict, counts, unique)
    if not items:
        raise ValueError(
            f"Query '{query_id}' in {place} has no document; expected at least one. "
            "Remove the query from the file."
        )
    counts["empty_documents"] += sum(not text.strip() for _, text, _ in items)
    return RankedList(query_id, query, *zip(*items, strict=True))


def checked_label(label: Any, doc_id: str, place: str) -> float:
    """A label as a float; a ValueError unless it is a finite number >= 0 (a bool is 0 or 1).

    >>> checked_label(True, "d1", "file 'x', line 1")
    1.0
    """
    try:
        value = float(label) if isinstance(label, numbers.Real) else math.nan
    except OverflowError:  # an integer beyond the largest float
        value = math.inf
    if not math.isfinite(value) or value < 0:
        raise ValueError(
            f"Document '{doc_id}' in {place} has the label {label!r}; "
            "expected a finite number >= 0."
        )
    return value


def filter_lists(
    lists: Iterable[RankedList],
    *,
    source: str,
    keep_without_relevant: bool = True,
    counts: Counter[str] | None = None,
) -> Iterator[RankedList]:
    """Passes lists on and counts them; may drop those without a relevant document.

    A softmax loss gets no gradient from a list without a relevant document; a sigmoid loss gets
    one. At the end of `lists`, the log gets one line of `counts` under the name `source`.
    """
    counts = Counter() if counts is None else counts
    for ranked in lists:
        relevant = ranked.has_relevant
        if not relevant and not keep_without_relevant:
            counts["lists_without_relevant_dropped"] += 1
            continue
        counts["lists"] += 1
        counts["documents"] += len(ranked)
        counts["lists_without_relevant"] += not relevant
        yield ranked
    _log_once(f"{source}: {summary(counts)}")


def first_of_each_query(lists: Iterable[RankedList], counts: Counter[str]) -> Iterator[RankedList]:
    """The first list of each query; the other lists of a query are counted."""
    seen: set[str] = set()
    for ranked in lists:
        if ranked.query_id in seen:
            counts["duplicate_queries_dropped"] += 1
        else:
            seen.add(ranked.query_id)
            yield ranked


def irregular(counts: Counter[str]) -> dict[str, int]:
    """The counts of what was repaired, and of documents without text.

    >>> irregular(Counter(documents=1656, empty_documents=2, queries_cut=0))
    {'empty_documents': 2}
    """
    return {name: counts[name] for name in ("empty_documents", *REPAIRS) if counts[name]}


@functools.cache
def _log_once(line: str) -> None:
    """Logs a line once: every epoch reads the same file to the same end."""
    logger.info("%s", line)


def summary(counts: Counter[str]) -> str:
    """The counts as one line for people.

    >>> summary(Counter(documents=1656, lists=200, duplicate_documents_merged=5, added=0))
    '200 lists, 1,656 documents, 5 duplicate documents merged'
    """
    first = ("lists", "documents", "lists_without_relevant")
    names = [*first, *sorted(counts.keys() - set(first))]
    return ", ".join(
        f"{counts[name]:,} {name.replace('_', ' ')}"
        for name in names
        if counts[name] or name in first[:2]
    )


def _check_types(query_id: Any, query: Any, items: list, place: str) -> None:
    texts = [("query id", query_id), ("query", query)]
    for doc_id, text, _ in items:
        texts += [("doc_id", doc_id), ("document", text)]
    for name, value in texts:
        if not isinstance(value, str):
            raise ValueError(f"A {name} in {place} has the value {value!r:.60}; expected a string.")
    if any(not doc_id.strip() for doc_id, _, _ in items):
        raise ValueError(f"A document in {place} has a blank doc_id; expected a name.")


def _whole_text(query_id, query, items, place, strict, counts):
    if not any(map(is_broken, [query_id, query, *(part for item in items for part in item[:2])])):
        return query_id, query, items
    if strict:
        raise broken_text_error(place, "broken UTF-8 or half a surrogate pair")
    counts["broken_utf8_lines_replaced"] += 1
    items = [(repaired(doc_id), repaired(text), label) for doc_id, text, label in items]
    return repaired(query_id), repaired(query), items


def _without_duplicates(items: list[Item], place, strict, counts, unique) -> list[Item]:
    merged: dict[str, Item] = {}
    for doc_id, text, label in items:
        key = text if unique == "text" else doc_id
        first = merged.setdefault(key, (doc_id, text, label))
        merged[key] = (first[0], first[1], max(first[2], label))
    if strict and len(merged) < len(items):
        keys = Counter(text if unique == "text" else doc_id for doc_id, text, _ in items)
        raise DataError(
            f"The list in {place} has the {unique} {keys.most_common(1)[0][0]!r:.60} twice; "
            "expected different documents.",
            "strict",
            "merge them",
        )
    counts["duplicate_documents_merged"] += len(items) - len(merged)
    return list(merged.values())
