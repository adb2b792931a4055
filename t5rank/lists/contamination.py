"""Finds lists that share a query, or a relevant document, with an evaluation set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t5rank.data.ranked_list import RankedList
from t5rank.lists.catalogue import CatalogueDataset
from t5rank.lists.negatives import words
from t5rank.lists.sources import Dataset, DatasetFiles

EXAMPLES = 10  # query ids that the manifest names for each finding
FINDINGS = ("same_query_id", "same_query_text", "same_relevant_document")


@dataclass(frozen=True)
class HeldOutSet:
    """The queries and relevant documents of an evaluation set; texts are `normalized`.

    Attributes:
      name: the set's name.
      query_ids: the ids of its queries.
      queries: the texts of its queries.
      doc_ids: the ids of its relevant documents; empty where the lists' documents have other ids.
      documents: the texts of its relevant documents.
      paths: the set's files, by what they hold.
    """

    name: str
    query_ids: frozenset[str]
    queries: frozenset[str]
    doc_ids: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    paths: Mapping[str, str] = field(default_factory=dict)

    def findings(self, ranked: RankedList) -> list[str]:
        """The `FINDINGS` that are true of a list."""
        relevant = [i for i, label in enumerate(ranked.labels) if label > 0]
        found = (
            ranked.query_id in self.query_ids,
            normalized(ranked.query) in self.queries,
            any(ranked.doc_ids[i] in self.doc_ids for i in relevant)
            or any(normalized(ranked.documents[i]) in self.documents for i in relevant),
        )
        return [name for name, true in zip(FINDINGS, found, strict=True) if true]


@dataclass
class Contamination:
    """Counts and examples of findings, by evaluation set."""

    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, query_id: str, findings: Iterable[str]) -> None:
        """Notes what a list shares with the set `name`."""
        for finding in findings:
            self._merge(name, finding, 1, [query_id])

    def merge(self, found: dict[str, dict[str, Any]]) -> None:
        """Adds the findings of another part of the lists, whose examples come after these."""
        for name, findings in found.items():
            for finding, entry in findings.items():
                self._merge(name, finding, entry["lists"], entry["examples"])

    def _merge(self, name: str, finding: str, lists: int, examples: list[str]) -> None:
        entry = self.found.setdefault(name, {}).setdefault(finding, {"lists": 0, "examples": []})
        entry["lists"] += lists
        entry["examples"] = [*entry["examples"], *examples][:EXAMPLES]


def normalized(text: str) -> str:
    """A text without case, punctuation and spacing, for comparison."""
    return " ".join(words(text))


def held_out_set(name: str, dataset: Dataset, lists: Dataset | None) -> HeldOutSet:
    """The queries and the relevant documents of a dataset.

    Args:
      name: the set's name.
      dataset: the evaluation data.
      lists: the dataset that the lists are made of; None for a source without its own ids.
    """
    queries, qrels = dataset.queries, dataset.qrels or {}
    judged = Counter(d for grades in qrels.values() for d, grade in grades.items() if grade > 0)
    same = lists is not None and _collection(lists) == _collection(dataset)
    return HeldOutSet(
        name,
        frozenset(queries),
        frozenset(map(normalized, queries.values())) - {""},
        frozenset(judged) if same else frozenset(),
        _relevant_texts(name, lists if same and lists else dataset, judged),
        {f"{name}: {kind}": path for kind, path in dataset.paths.items() if path},
    )


def _relevant_texts(name: str, dataset: Dataset, doc_ids: Collection[str]) -> frozenset[str]:
    if not doc_ids:
        return frozenset()  # there may be no collection
    texts = dataset.texts
    try:
        # All blank documents are alike, so they say nothing.
        return frozenset(normalized(texts.text(doc_id)) for doc_id in doc_ids) - {""}
    except KeyError as error:
        raise ValueError(
            f"Set '{name}' has a relevant document without text: {error.args[0]} "
            "Name the set's own collection: NAME=QUERIES,QRELS,COLLECTION."
        ) from None


def parse_evaluation(
    text: str, collection: str | None, download: bool = False, strict: bool = True
) -> tuple[str, Dataset]:
    """The name and data of an option `NAME=QUERIES[,QRELS[,COLLECTION]]` or `NAME=DATASET`.

    Args:
      text: the option.
      collection: the collection of the lists; a set that names none has the same.
      download: whether ir_datasets may download what it lacks of DATASET, which is one of its ids.
      strict: see `DatasetFiles`.

    Raises:
      ValueError: the option has another form, or has qrels and there is no collection.
    """
    name, equals, rest = text.partition("=")
    files = rest.split(",")
    if not (name and equals and all(files) and len(files) <= 3):
        raise ValueError(
            f"Option '--evaluation' has {text!r}; expected NAME=QUERIES[,QRELS[,COLLECTION]] or "
            "NAME=DATASET."
        )
    if len(files) == 1 and not Path(rest).is_file():
        return name, CatalogueDataset(rest, download)
    queries, qrels, own = [*files, None, None][:3]
    texts = own or collection
    if qrels and not texts:
        raise ValueError(
            f"Option '--evaluation' has {text!r} without a collection; expected "
            "NAME=QUERIES,QRELS,COLLECTION, because the lists have no collection either."
        )
    return name, DatasetFiles(texts or "", str(queries), qrels, strict)


def _collection(dataset: Dataset) -> Path:
    return Path(dataset.paths["collection"]).resolve()
