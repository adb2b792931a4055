"""sentence-transformers' hard negatives of MS MARCO, as ids.

{"qid": 867436, "pos": [5238393], "neg": {"bm25": [...], "msmarco-distilbert-base-tas-b": [...]}}
(https://huggingface.co/datasets/sentence-transformers/msmarco-hard-negatives)

In the file with scores a document is `{"pid": 5238393, "ce-score": 9.2}`.
"""

from __future__ import annotations

from typing import Any

from t5rank.data.pairs import Document, Judged, Line, fields, optional_id, score
from t5rank.data.text_files import TextFiles


def hard_negatives(value: Any, line: Line, texts: TextFiles) -> Judged:
    """The relevant documents, and those of all systems, each once, that are not among them.

    Raises:
      ValueError: a key is missing or holds something else, or an id has no text.
    """
    found = fields(value, ("qid", "pos", "neg"), line.place)
    query_id = optional_id(found["qid"], "qid", line.place)
    if query_id is None or not isinstance(found["neg"], dict):
        raise ValueError(
            f"The object in {line.place} has {found['qid']!r:.20} under 'qid' and "
            f"{found['neg']!r:.40} under 'neg'; expected an id, and ids of each system."
        )
    relevant = dict(_ids_and_scores(found["pos"], "pos", line.place))
    others: dict[str, float | None] = {}
    for system, documents in found["neg"].items():
        for doc_id, number in _ids_and_scores(documents, system, line.place):
            if doc_id not in relevant:
                others.setdefault(doc_id, number)

    def with_texts(ids: dict[str, float | None]) -> list[Document]:
        return [
            texts.document(doc_id, line.place, line.counts, number)
            for doc_id, number in ids.items()
        ]

    query = texts.query(query_id, line.place)
    return Judged(query, with_texts(relevant), with_texts(others), query_id)


def _ids_and_scores(value: Any, key: str, place: str) -> list[tuple[str, float | None]]:
    if not isinstance(value, list):
        raise ValueError(f"Key '{key}' in {place} has {value!r:.60}; expected a list of ids.")
    return [_id_and_score(one, key, place) for one in value]


def _id_and_score(value: Any, key: str, place: str) -> tuple[str, float | None]:
    number = None
    if isinstance(value, dict):
        number = value.get("ce-score")
        value = value.get("pid")
    doc_id = optional_id(value, key, place)
    if doc_id is None:
        raise ValueError(f"Key '{key}' in {place} has a document without 'pid'; expected its id.")
    return doc_id, None if number is None else score(number, "ce-score", place)
