"""The queries that gain and lose most, with their texts if these may be shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from t5rank.data.jsonl import read_jsonl
from t5rank.report.ranking import SetResults
from t5rank.report.run_facts import RunFacts

SHOWN = 5  # how many gains, and how many losses, are shown
LONGEST = 280  # characters of a document that are shown


@dataclass(frozen=True)
class Texts:
    """Texts by id. They are empty if they must not be shown."""

    queries: Mapping[str, str]
    documents: Mapping[tuple[str, str], str]

    def query(self, query_id: str) -> str:
        """A query's text; "" without one."""
        return self.queries.get(query_id, "")

    def document(self, query_id: str, doc_id: str) -> str:
        """A document's shortened text; "" without one."""
        text = self.documents.get((query_id, doc_id), "")
        return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} …"


NO_TEXTS = Texts({}, {})


@dataclass(frozen=True)
class Example:
    """One query.

    Attributes:
      difference: the difference of its figures.
      relevant: a candidate of the best grade; "" if no candidate is relevant.
      ours, theirs: the documents at rank 1 of the arm and of the run that it is compared with.
    """

    query_id: str
    difference: float
    relevant: str
    ours: str
    theirs: str


def extremes(differences: Mapping[str, float]) -> list[str]:
    """The queries that gain most, then those that lose most; at most SHOWN of each."""
    queries = list(differences)
    gained = [query for query in queries[:SHOWN] if differences[query] > 0]
    lost = [query for query in reversed(queries[-SHOWN:]) if differences[query] < 0]
    return gained + lost


def examples(
    results: SetResults, differences: Mapping[str, float], ours: RunFacts, theirs: RunFacts
) -> list[Example]:
    return [
        Example(
            query_id,
            differences[query_id],
            _best(results, query_id),
            ours.first.get(query_id, ""),
            theirs.first.get(query_id, ""),
        )
        for query_id in extremes(differences)
    ]


def _best(results: SetResults, query_id: str) -> str:
    judged, ranks = results.qrels[query_id], results.first_stage.ranks
    found = [doc for doc in results.relevant.get(query_id, ()) if (query_id, doc) in ranks]
    return max(found, key=lambda doc: (judged[doc], -ranks[query_id, doc]), default="")


def read_texts(lists: Path, wanted: Iterable[Sequence[Example]]) -> Texts:
    """Reads the texts of the examples from a set's lists in one pass."""
    documents = {
        (each.query_id, doc_id)
        for several in wanted
        for each in several
        for doc_id in (each.relevant, each.ours, each.theirs)
    }
    query_ids = {query_id for query_id, _ in documents}
    queries: dict[str, str] = {}
    found: dict[tuple[str, str], str] = {}
    for ranked in read_jsonl(lists):
        if ranked.query_id in query_ids:
            queries[ranked.query_id] = ranked.query
            for doc_id, text in zip(ranked.doc_ids, ranked.documents, strict=True):
                if (ranked.query_id, doc_id) in documents:
                    found[ranked.query_id, doc_id] = text
    return Texts(queries, found)
