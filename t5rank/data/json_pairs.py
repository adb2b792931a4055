"""Pairs and triples of texts as JSON lines: plain pairs, BGE's and sentence-transformers' files."""

from __future__ import annotations

from typing import Any

from t5rank.data.pairs import Document, Judged, Line, fields, optional_id, score, texts


def pair(value: Any, line: Line) -> Judged:
    """`{"query", "positive"[, "negative" or "negatives"]}`, each text or list of texts.

    The query may be called "anchor", as in data sets of sentence-transformers; "query_id" is read.
    """
    query = "anchor" if isinstance(value, dict) and "anchor" in value else "query"
    found = fields(value, (query, "positive"), line.place)
    negatives = [key for key in ("negative", "negatives") if found.get(key) is not None]
    return Judged(
        found[query],
        [Document(text) for text in texts(found["positive"], "positive", line.place)],
        [Document(text) for key in negatives for text in texts(found[key], key, line.place)],
        optional_id(found.get("query_id"), "query_id", line.place),
    )


def query_pos_neg(value: Any, line: Line) -> Judged:
    """`{"query", "pos": [...][, "neg": [...]]}` of FlagEmbedding and sentence-transformers.

    FlagEmbedding's "pos_scores" and "neg_scores" are a teacher's scores
    (https://github.com/FlagOpen/FlagEmbedding/tree/master/examples/finetune/reranker).
    """
    found = fields(value, ("query", "pos"), line.place)
    return Judged(
        found["query"], _scored(found, "pos", line.place), _scored(found, "neg", line.place)
    )


def _scored(found: dict[str, Any], key: str, place: str) -> list[Document]:
    several = texts([] if found.get(key) is None else found[key], key, place)
    named = f"{key}_scores"
    scores = found.get(named)
    if scores is None:
        return [Document(text) for text in several]
    if not isinstance(scores, list) or len(scores) != len(several):
        raise ValueError(
            f"Key '{named}' in {place} has {scores!r:.60}; expected a list of {len(several)} "
            f"scores, as '{key}' has texts."
        )
    return [
        Document(text, score=score(number, named, place))
        for text, number in zip(several, scores, strict=True)
    ]


def several_texts(value: Any, line: Line) -> Judged:
    """`["a", "b"]` or `{"texts": ["a", "b"]}`: a query and its text; negatives may follow.

    The files of sentence-transformers/embedding-training-data, the "1B pairs".
    """
    key = "texts"
    found = fields(value, (key,), line.place)[key] if isinstance(value, dict) else value
    query, positive, *negatives = _at_least_two(found, line.place)
    return Judged(query, [Document(positive)], [Document(text) for text in negatives])


def set_of_texts(value: Any, line: Line) -> Judged:
    """`{"set": ["a", "b", "c"]}`: texts that mean the same. Our reading: the first is the query."""
    query, *others = _at_least_two(fields(value, ("set",), line.place)["set"], line.place)
    return Judged(query, [Document(text) for text in others])


def _at_least_two(value: Any, place: str) -> list[str]:
    found = texts(value, "texts", place) if isinstance(value, list) else []
    if len(found) < 2:
        raise ValueError(f"The value in {place} has {value!r:.60}; expected two texts or more.")
    return found
