"""t5rank's own format of lists: JSON lines, one list a line (this example takes two lines).

{"query_id": "q1", "query": "cost of sales",
 "documents": [{"doc_id": "d1", "text": "The accumulated total of ...", "label": 1.0}, ...]}

A document may have `"judged": false`, which says that nobody judged it. It may have
`"teacher_score": 1.25`; then all documents of its list have one. A text may be blank. Lists without
labels are read on request.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from t5rank.data.errors import DataError
from t5rank.data.files import PathLike, location, open_text_writer, repaired
from t5rank.data.folder import lists_files
from t5rank.data.indexed import IndexedLists
from t5rank.data.interleaving import lines_of
from t5rank.data.line_index import LineIndex, can_be_indexed
from t5rank.data.ranked_list import Item, RankedList, checked_list, filter_lists

_LIST_KEYS = {"query_id": str, "query": str, "documents": list}
_DOCUMENT_KEYS = {"doc_id": str, "text": str, "label": int | float}
_OPTIONAL_KEYS = {"judged": bool, "teacher_score": int | float}
_TYPE_NAMES = {str: "a string", list: "a list", int | float: "a number", bool: "true or false"}


def read_jsonl(
    path: PathLike,
    *,
    strict: bool = True,
    labelled: bool = True,
    keep_without_relevant: bool = True,
    counts: Counter[str] | None = None,
    shuffle: int | None = None,
) -> Iterator[RankedList]:
    """Reads lists in file order from a plain or gzip file, or a folder (`t5rank.data.folder`).

    Args:
      path: the file or folder; see the module's docstring.
      strict: see `checked_list`.
      labelled: whether every document must have a label. With labelled=False a label that is
        missing or null is 0.0, and nobody has judged the document.
      keep_without_relevant: whether lists with no label above 0 are kept.
      counts: see `t5rank.data.ranked_list`.
      shuffle: a seed for the order of a folder's files; see `t5rank.data.interleaving`.

    Raises:
      ValueError: malformed JSON, an unknown or missing key, a value of another type, or what
        `checked_list` refuses; the message names file, line and key. Or a folder is not whole.
    """
    counts = Counter() if counts is None else counts
    lists = (
        parsed_list(line, location(file, number), strict, labelled, counts)
        for file, number, line in lines_of(jsonl_files(path), shuffle)
    )
    return filter_lists(
        lists, source=str(path), keep_without_relevant=keep_without_relevant, counts=counts
    )


def jsonl_files(path: PathLike) -> list[PathLike]:
    """The files that `read_jsonl` reads; raises as it does."""
    return [*lists_files(path)] if os.path.isdir(path) else [path]


def index_jsonl(
    path: PathLike,
    *,
    strict: bool = True,
    labelled: bool = True,
    keep_without_relevant: bool = True,
    counts: Counter[str] | None = None,
) -> IndexedLists | None:
    """The lists of `read_jsonl` in any order; one pass over the files notes their places.

    Returns:
      The lists, or None where a file can only be read from its start: it is compressed, and not as
      `t5rank lists` compresses (`t5rank.data.gzip_lines`).
    """
    files = jsonl_files(path)
    if not all(map(can_be_indexed, files)):
        return None
    lines = LineIndex(*files)
    return IndexedLists(
        str(path),
        len(lines),
        lambda i, counts: parsed_list(lines[i], lines.location(i), strict, labelled, counts),
        keep_without_relevant,
        counts,
    )


def write_jsonl(path: PathLike, lists: Iterable[RankedList]) -> int:
    """Writes lists that `read_jsonl` reads, as gzip if `path` ends in `.gz`; returns how many."""
    written = 0
    with open_text_writer(path) as file:
        for ranked in lists:
            file.write(json_line(ranked))
            written += 1
    return written


def json_line(ranked: RankedList) -> str:
    """A list as one line, with its end."""
    documents: list[dict[str, Any]] = [
        {"doc_id": doc_id, "text": text, "label": float(label)}
        for doc_id, text, label in zip(ranked.doc_ids, ranked.documents, ranked.labels, strict=True)
    ]
    for document, judged in zip(documents, ranked.judged or (), strict=False):
        if not judged:
            document["judged"] = False
    for document, score in zip(documents, ranked.teacher_scores or (), strict=False):
        document["teacher_score"] = float(score)
    as_json = {"query_id": ranked.query_id, "query": ranked.query, "documents": documents}
    return json.dumps(as_json, ensure_ascii=False, allow_nan=False) + "\n"


def parsed_list(
    line: bytes, place: str, strict: bool, labelled: bool, counts: Counter[str]
) -> RankedList:
    """The list of a line at `place`; see `read_jsonl`."""
    try:
        parsed = json.loads(line.decode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise ValueError(f"JSON in {place} is malformed: {error}; expected one object.") from None
    _check_keys(parsed, _LIST_KEYS, f"The list in {place}")
    items = [
        _item(document, f"Document {n} of the list in {place}", labelled)
        for n, document in enumerate(parsed["documents"], start=1)
    ]
    ranked = checked_list(
        parsed["query_id"], parsed["query"], items, place=place, strict=strict, counts=counts
    )
    return _with_optional(ranked, parsed["documents"], place)


def _item(document: Any, name: str, labelled: bool) -> Item:
    if isinstance(document, dict) and document.get("label") is None:
        document = {key: value for key, value in document.items() if key != "label"}
        document |= {} if labelled else {"label": 0.0}
    _check_keys(document, _DOCUMENT_KEYS, name, _OPTIONAL_KEYS)
    return document["doc_id"], document["text"], document["label"]


def _with_optional(ranked: RankedList, documents: list[dict[str, Any]], place: str) -> RankedList:
    """The list with the values of the optional keys; the first of two duplicates gives them."""
    if not any(_OPTIONAL_KEYS.keys() & d.keys() or d.get("label") is None for d in documents):
        return ranked
    first = {repaired(document["doc_id"]): document for document in reversed(documents)}
    kept = [first[doc_id] for doc_id in ranked.doc_ids]
    judged = tuple(d.get("judged", d.get("label") is not None) for d in kept)
    scores = tuple(document.get("teacher_score") for document in kept)
    missing = [doc_id for doc_id, s in zip(ranked.doc_ids, scores, strict=True) if s is None]
    if missing and len(missing) < len(kept):
        raise ValueError(
            f"Document '{missing[0]}' in {place} has no teacher_score, others of its list have; "
            "expected one for each document or for none."
        )
    if not all(score is None or math.isfinite(score) for score in scores):
        raise ValueError(f"The list in {place} has a teacher_score that is not a finite number.")
    return dataclasses.replace(
        ranked,
        judged=None if all(judged) else judged,
        teacher_scores=None if missing else tuple(map(float, scores)),
    )


def _check_keys(
    got: Any, expected: dict[str, Any], name: str, optional: dict[str, Any] | None = None
) -> None:
    if not isinstance(got, dict):
        raise ValueError(f"{name} has type {type(got).__name__}; expected an object.")
    optional = {} if optional is None else optional
    for key in got.keys() - expected.keys() - optional.keys():
        raise ValueError(f"{name} has the key '{key}'; expected only {', '.join(expected)}.")
    for key, kind in {**expected, **optional}.items():
        if key in optional and key not in got:
            continue
        if key not in got:
            fact = f"{name} has no key '{key}'; expected {', '.join(expected)}."
            if key == "label":
                raise DataError(fact, "labelled", "read lists without labels")
            raise ValueError(fact)
        if not isinstance(got[key], kind):
            raise ValueError(
                f"{name} has {got[key]!r:.60} under '{key}'; expected {_TYPE_NAMES[kind]}."
            )
