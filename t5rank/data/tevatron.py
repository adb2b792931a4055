"""Tevatron's training lists as JSON lines (https://huggingface.co/Tevatron), and RankGPT's.

{"query_id": "q1", "query": "cost of sales",
 "positive_passages": [{"docid": "d1", "title": "Sales", "text": "The total of ..."}],
 "negative_passages": [...]}

RankGPT's `marco-train-10k.jsonl` has "retrieved_passages", where the relevant ones may be again.
"""

from __future__ import annotations

from typing import Any

from t5rank.data.pairs import Document, Judged, Line, fields, optional_id


def tevatron(value: Any, line: Line) -> Judged:
    """The query, which may be called "query_text", and its passages; a title comes before a text.

    Raises:
      ValueError: a key is missing, or holds something else.
    """
    query = "query_text" if isinstance(value, dict) and "query_text" in value else "query"
    found = fields(value, (query, "positive_passages"), line.place)
    relevant = _passages(found["positive_passages"], "positive_passages", line.place)
    others = _passages(found.get("negative_passages") or [], "negative_passages", line.place)
    known = {document.doc_id for document in relevant}
    retrieved = _passages(found.get("retrieved_passages") or [], "retrieved_passages", line.place)
    return Judged(
        found[query],
        relevant,
        others + [document for document in retrieved if document.doc_id not in known],
        optional_id(found.get("query_id"), "query_id", line.place),
    )


def _passages(value: Any, key: str, place: str) -> list[Document]:
    if not isinstance(value, list):
        raise ValueError(f"Key '{key}' in {place} has {value!r:.60}; expected a list of passages.")
    return [passage(one, f"'{key}' in {place}") for one in value]


def passage(value: Any, place: str) -> Document:
    """A passage with its id, `{"docid", "text"[, "title"]}`.

    Raises:
      ValueError: it is something else.
    """
    found = value if isinstance(value, dict) else {}
    text, title = found.get("text"), found.get("title") or ""
    if not isinstance(text, str) or not isinstance(title, str):
        raise ValueError(f"A passage of {place} has {value!r:.60}; expected docid, title and text.")
    return Document(f"{title} {text}".strip(), optional_id(found.get("docid"), "docid", place))
