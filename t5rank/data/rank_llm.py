"""Rankings of rank_llm as JSON lines (https://github.com/castorini/rank_llm): lists without labels.

{"query": {"text": "cost of sales", "qid": "q1"},
 "candidates": [{"docid": "d1", "score": 2.5, "doc": {"title": "Sales", "contents": "..."}}]}

The scores are a teacher's.
"""

from __future__ import annotations

from typing import Any

from t5rank.data.pairs import Document, Judged, Line, fields, optional_id, score

_TEXTS = ("text", "segment", "contents", "content", "body", "passage")


def ranking(value: Any, line: Line) -> Judged:
    """The candidates in their order, not judged; a title comes before a text.

    Raises:
      ValueError: a key is missing, or holds something else.
    """
    found = fields(value, ("query", "candidates"), line.place)
    query = fields(found["query"], ("text",), f"'query' of {line.place}")
    if not isinstance(found["candidates"], list):
        raise ValueError(
            f"Key 'candidates' in {line.place} has {found['candidates']!r:.60}; expected a list."
        )
    place = f"'candidates' of {line.place}"
    documents = [_candidate(candidate, place) for candidate in found["candidates"]]
    query_id = optional_id(query.get("qid"), "qid", line.place)
    return Judged(query["text"], (), documents, query_id, is_judged=False)


def _candidate(value: Any, place: str) -> Document:
    found = fields(value, ("docid", "doc"), place)
    doc = found["doc"] if isinstance(found["doc"], dict) else {"text": found["doc"]}
    text = next((doc[key] for key in _TEXTS if isinstance(doc.get(key), str)), None)
    if text is None:
        raise ValueError(
            f"A document of {place} has {found['doc']!r:.60}; expected its text under one of "
            f"{', '.join(_TEXTS)}."
        )
    title = doc.get("title")
    whole = f"{title} {text}" if isinstance(title, str) and title else text
    number = found.get("score")
    doc_id = optional_id(found["docid"], "docid", place)
    return Document(whole, doc_id, None if number is None else score(number, "score", place))
