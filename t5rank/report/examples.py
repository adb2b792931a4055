"""The queries that gain and lose most, with their texts where these may be shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from t5rank.data.jsonl import read_jsonl
from t5rank.report.ranking import SetResults
from t5rank.report.run_facts import RunFacts

SHOWN = 5  # of the gains and of the losses
LONGEST = 280  # characters of a document


@dataclass(frozen=True)
class Texts:
    """Texts by id; empty where they are not to be shown."""

    queries: Mapping[str, str]
    documents: Mapping[tuple[str, str], str]

    def query(self, query_id: str) -> str:
        """A query's text, "" where there is none."""
        return self.queries.get(query_id, "")

    def document(self, query_id: str, doc_id: str) -> str:
        """A document's text, shortened, "" where there is none."""
        text = self.documents.get((query_id, doc_id), "")
        return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} …"


NO_TEXTS = Texts({}, {})


@dataclass(frozen=True)
class Example:
    """One query.

    Attributes:
      difference: of its figures.
      relevant: a document of the best grade among the candidates, or "" where none is relevant.
      ours, theirs: what stands at rank 1 with the arm and with what it is compared with.
    """

    query_id: str
    difference: float
    relevant: str
    ours: str
    theirs: str


def extremes(differences: Mapping[str, float]) -> list[str]:
    """The queries that gain most, then those that lose most, at most SHOWN of each."""
    queries = list(differences)
    gained = [query for query in queries[:SHOWN] if differences[query] > 0]
    lost = [query for query in reversed(queries[-SHOWN:]) if differences[query] < 0]
    return gained + lost


def examples(
    results: SetResults, differences: Mapping[str, float], ours: RunFacts, theirs: RunFacts
) -> list[Example]:
    """The examples of one comparison."""
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
    """The texts of the examples, read from a set's lists in one pass."""
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
