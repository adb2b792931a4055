"""A query with texts that are relevant to it and others that are not, as a list.

Retrievers are trained on pairs and triples. Their formats differ in names only: each has a reader
that says what a line holds as `Judged`, and `judged_list` makes the list.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from t5rank.data.files import is_broken, repaired
from t5rank.data.ranked_list import RankedList, checked_list


class Document(NamedTuple):
    """A text, with its id and a teacher's score where the format has them."""

    text: str
    doc_id: str | None = None
    score: float | None = None


class Judged(NamedTuple):
    """What a line says.

    Attributes:
      query: the query's text.
      relevant: documents of label 1.
      others: documents of label 0, such as hard negatives.
      query_id: the query's id, where the format has one.
      is_judged: whether the documents were judged; False for rankings.
    """

    query: str
    relevant: Sequence[Document]
    others: Sequence[Document] = ()
    query_id: str | None = None
    is_judged: bool = True


class Line(NamedTuple):
    """A line of a file, and how it is read.

    Attributes:
      raw: its bytes.
      place: "file 'x', line 12".
      name: the id of a query that has none: the line's number, in a folder after the file's.
      strict: see `t5rank.data.ranked_list.checked_list`.
      counts: see `t5rank.data.ranked_list`.
      labelled: see `t5rank.data.jsonl.read_jsonl`.
    """

    raw: bytes
    place: str
    name: str
    strict: bool
    counts: Counter[str]
    labelled: bool = True


def judged_list(judged: Judged, line: Line) -> RankedList:
    """The list of a line: the relevant documents, then the others.

    A document without an id gets `text_id`.

    Raises:
      ValueError: what `checked_list` refuses, or scores of a part of the documents.
    """
    documents = [*judged.relevant, *judged.others]
    ids = [text_id(d.text) if d.doc_id is None else d.doc_id for d in documents]
    labels = [1.0] * len(judged.relevant) + [0.0] * len(judged.others)
    ranked = checked_list(
        line.name if judged.query_id is None else judged.query_id,
        judged.query,
        zip(ids, (d.text for d in documents), labels, strict=True),
        place=line.place,
        strict=line.strict,
        counts=line.counts,
        unique="text" if all(d.doc_id is None for d in documents) else "doc_id",
    )
    if not judged.is_judged:
        ranked = dataclasses.replace(ranked, judged=(False,) * len(ranked))
    scores = {
        repaired(doc_id): d.score
        for doc_id, d in zip(reversed(ids), reversed(documents), strict=True)
        if d.score is not None
    }
    return _with_scores(ranked, scores, line.place) if scores else ranked


def _with_scores(ranked: RankedList, scores: dict[str, float], place: str) -> RankedList:
    missing = [doc_id for doc_id in ranked.doc_ids if doc_id not in scores]
    if missing:
        raise ValueError(
            f"Document '{missing[0]}' in {place} has no score, others of its list have; expected "
            "one for each document or for none."
        )
    return dataclasses.replace(
        ranked, teacher_scores=tuple(scores[doc_id] for doc_id in ranked.doc_ids)
    )


def text_id(text: str) -> str:
    """The id of a text without one: the same for the same text.

    >>> text_id("Paris is the capital of France.")
    'f1d9f74cf7ea69bd'
    """
    whole = repaired(text) if is_broken(text) else text
    return hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()


def parsed_json(line: Line) -> Any:
    """The JSON value of a line.

    Raises:
      ValueError: it is malformed.
    """
    try:
        return json.loads(line.raw.decode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise ValueError(
            f"JSON in {line.place} is malformed: {error}; expected one value a line."
        ) from None


def fields(value: Any, wanted: Sequence[str], place: str) -> dict[str, Any]:
    """The object of a line, which has these keys.

    Raises:
      ValueError: it is no object, or lacks one.
    """
    if not isinstance(value, dict):
        raise ValueError(
            f"The value in {place} has type {type(value).__name__}; expected an object with "
            f"{', '.join(wanted)}, as the file's first line is."
        )
    for key in wanted:
        if key not in value:
            raise ValueError(
                f"The object in {place} has no key '{key}'; expected {', '.join(wanted)}, as in "
                "the file's first line."
            )
    return value


def texts(value: Any, key: str, place: str) -> list[str]:
    """One text or several, as a list.

    Raises:
      ValueError: something else.
    """
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ValueError(
            f"Key '{key}' in {place} has {value!r:.60}; expected a text or a list of texts."
        )
    return found


def optional_id(value: Any, key: str, place: str) -> str | None:
    """An id, a string or an integer, as a string; None where there is none.

    Raises:
      ValueError: something else.
    """
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return None if value is None else str(value)
    raise ValueError(f"Key '{key}' in {place} has {value!r:.60}; expected an id.")


def score(value: Any, key: str, place: str) -> float:
    """A finite number.

    Raises:
      ValueError: something else.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ValueError(f"Key '{key}' in {place} has {value!r:.60}; expected a finite number.")
    return float(value)
