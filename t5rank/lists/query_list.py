"""One query's list: which documents it holds, with which texts and labels.

This is the only place where a query, its judgements, the candidates of runs and a collection become
a ranked list. Training, `t5rank lists` and the commands that take a run all call it. Each step
counts what it leaves out, and `checked_list` then checks the list, or repairs it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from t5rank.data.ranked_list import RankedList, checked_list
from t5rank.lists.negatives import NearDuplicates, shuffled
from t5rank.lists.sources import DocumentTexts


class QueryDocuments(NamedTuple):
    """What is known of a query and of its documents, without their texts.

    Attributes:
      query_id: the query's id.
      text: the query's text.
      candidates: the ids of the candidates, best first, each once.
      judged: relevance by document; None where there are no judgements at all.
      place: where the query stands, for errors: "file 'run.txt', query 'q1'".
      teacher_scores: the teacher's score by document; None without a teacher.
    """

    query_id: str
    text: str
    candidates: tuple[str, ...]
    judged: Mapping[str, int] | None
    place: str
    teacher_scores: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Sampling:
    """How negatives are drawn.

    Attributes:
      negatives: how many a list gets.
      near_duplicates: the threshold of `NearDuplicates`.
      seed: the same seed draws the same documents for a query.

    Raises:
      ValueError: the threshold is not from 0 to 1.
    """

    negatives: int
    near_duplicates: float = 0.9
    seed: int = 0

    def __post_init__(self):
        if not 0 <= self.near_duplicates <= 1:
            raise ValueError(
                f"Option '--near_duplicates' has {self.near_duplicates}; expected 0 to 1."
            )


@dataclass(frozen=True)
class ListMaker:
    """Makes the lists of queries.

    Attributes:
      texts: the documents.
      strict: see `checked_list`.
      marks_judged: whether a list says which of its documents somebody judged.
      teacher: the file of the teacher's scores, for errors.

    Raises:
      ValueError: a document has no text, a candidate has no teacher's score, or what `checked_list`
        refuses.
    """

    texts: DocumentTexts
    strict: bool = True
    marks_judged: bool = False
    teacher: str | None = None

    def candidates(
        self, query: QueryDocuments, counts: Counter[str], add_missing_relevant: bool = False
    ) -> RankedList:
        """A list of all candidates in their order.

        Args:
          query: the query.
          counts: gets `missing_relevant_documents`, relevant ones that are no candidates, and
            `missing_relevant_added`.
          add_missing_relevant: whether these come after the candidates.
        """
        present = set(query.candidates)
        missing = [doc_id for doc_id in relevant(query.judged) if doc_id not in present]
        counts["missing_relevant_documents"] += len(missing)
        doc_ids = [*query.candidates]
        if add_missing_relevant:
            counts["missing_relevant_added"] += len(missing)
            doc_ids += missing
        self._check_teacher(query, doc_ids)
        return self._list(query, {d: self._text(query, d, counts) for d in doc_ids}, counts)

    def sampled(
        self, query: QueryDocuments, counts: Counter[str], sampling: Sampling
    ) -> RankedList | None:
        """A list of every relevant document, and of candidates drawn at random as negatives.

        A negative is not judged relevant, is no near-duplicate of a relevant document, and has
        another id than the query. Documents without a teacher's score are left out.

        Returns:
          The list, or None where the teacher scored no relevant document.
        """
        positives = relevant(query.judged)
        negatives = _possible_negatives(query, counts)
        if query.teacher_scores is not None:
            positives = _with_score(positives, query.teacher_scores, counts)
            negatives = _with_score(negatives, query.teacher_scores, counts)
            if not positives:
                counts["lists_without_teacher_score_dropped"] += 1
                return None
        texts = {doc_id: self._text(query, doc_id, counts) for doc_id in positives}
        size = len(texts) + sampling.negatives
        duplicates = NearDuplicates(texts.values(), sampling.near_duplicates)
        for doc_id in shuffled(negatives, sampling.seed, query.query_id):
            if len(texts) == size:
                break
            text = self._text(query, doc_id, counts)
            if text in duplicates:
                counts["near_duplicates_left_out"] += 1
            else:
                texts[doc_id] = text
        counts["lists_with_fewer_negatives"] += len(texts) < size
        return self._list(query, texts, counts)

    def _check_teacher(self, query: QueryDocuments, doc_ids: Iterable[str]) -> None:
        scores = query.teacher_scores
        missing = [] if scores is None else [d for d in doc_ids if d not in scores]
        if missing:
            raise ValueError(
                f"Document '{missing[0]}' of query '{query.query_id}' is not in the teacher's file "
                f"'{self.teacher}'; expected a score of every candidate."
            )

    def _text(self, query: QueryDocuments, doc_id: str, counts: Counter[str]) -> str:
        try:
            return self.texts.text(doc_id, counts)
        except KeyError:
            raise ValueError(
                f"Document '{doc_id}' of {query.place} is not in {self.texts.name}; expected its "
                "text. Do the run, the qrels and the collection belong together?"
            ) from None

    def _list(
        self, query: QueryDocuments, texts: Mapping[str, str], counts: Counter[str]
    ) -> RankedList:
        judged = query.judged or {}
        if query.judged is not None:
            counts["unjudged_documents"] += sum(doc_id not in judged for doc_id in texts)
        items = [(doc_id, text, label_of(judged, doc_id)) for doc_id, text in texts.items()]
        ranked = checked_list(
            query.query_id,
            query.text,
            items,
            place=query.place,
            strict=self.strict,
            counts=counts,
        )
        if self.marks_judged and not all(doc_id in judged for doc_id in ranked.doc_ids):
            marks = tuple(doc_id in judged for doc_id in ranked.doc_ids)
            ranked = dataclasses.replace(ranked, judged=marks)
        if query.teacher_scores is not None:
            scores = tuple(query.teacher_scores[doc_id] for doc_id in ranked.doc_ids)
            ranked = dataclasses.replace(ranked, teacher_scores=scores)
        return ranked


def label_of(judged: Mapping[str, int], doc_id: str) -> float:
    """The label of a document: its grade, or 0 where the grade is below 0 or there is none."""
    return float(max(judged.get(doc_id, 0), 0))


def relevant(judged: Mapping[str, int] | None) -> list[str]:
    """The documents with a grade above 0, in the order of the judgements."""
    return [doc_id for doc_id, grade in (judged or {}).items() if grade > 0]


def _possible_negatives(query: QueryDocuments, counts: Counter[str]) -> list[str]:
    found = [d for d in query.candidates if (query.judged or {}).get(d, 0) <= 0]
    if query.query_id in found:  # in ArguAna and Quora this is the query itself
        found.remove(query.query_id)
        counts["documents_with_the_id_of_the_query_left_out"] += 1
    return found


def _with_score(doc_ids: list[str], scores: Mapping[str, float], counts: Counter[str]) -> list[str]:
    kept = [doc_id for doc_id in doc_ids if doc_id in scores]
    counts["documents_without_teacher_score_left_out"] += len(doc_ids) - len(kept)
    return kept
