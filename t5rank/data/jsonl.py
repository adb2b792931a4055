"""t5rank's own format for judged lists: JSON lines, one list a line (here over several).

{"query_id": "q1", "query": "cost of sales",
 "documents": [{"doc_id": "d1", "text": "The accumulated total of ...", "label": 1.0}, ...]}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from t5rank.data.files import PathLike, location, open_text_writer, read_lines
from t5rank.data.lists import Item, RankedList, checked_list, filter_lists

_LIST_KEYS = {"query_id": str, "query": str, "documents": list}
_DOCUMENT_KEYS = {"doc_id": str, "text": str, "label": int | float}
_TYPE_NAMES = {str: "a string", list: "a list", int | float: "a number"}


def read_jsonl(
    path: PathLike,
    *,
    strict: bool = True,
    labelled: bool = True,
    keep_without_relevant: bool = True,
    counts: Counter[str] | None = None,
) -> Iterator[RankedList]:
    """Reads lists in file order from a plain or gzip file.

    Args:
      path: the file; see the module's docstring.
      strict: see `checked_list`.
      labelled: whether every document must have a label. With labelled=False a missing one is 0.0.
      keep_without_relevant: whether lists with no label above 0 are kept.
      counts: see `t5rank.data.lists`.

    Raises:
      ValueError: malformed JSON, an unknown or missing key, a value of another type, or what
        `checked_list` refuses; names file, line and key.
    """
    counts = Counter() if counts is None else counts
    lists = (
        _parsed_list(line, location(path, number), strict, labelled, counts)
        for number, line in read_lines(path)
    )
    return filter_lists(
        lists, source=str(path), keep_without_relevant=keep_without_relevant, counts=counts
    )


def write_jsonl(path: PathLike, lists: Iterable[RankedList]) -> int:
    """Writes lists (gzip if `path` ends in `.gz`) and returns how many; `read_jsonl` gives them."""
    written = 0
    with open_text_writer(path) as file:
        for ranked in lists:
            file.write(json.dumps(_as_json(ranked), ensure_ascii=False, allow_nan=False) + "\n")
            written += 1
    return written


def _as_json(ranked: RankedList) -> dict[str, Any]:
    documents = [
        {"doc_id": doc_id, "text": text, "label": float(label)}
        for doc_id, text, label in zip(ranked.doc_ids, ranked.documents, ranked.labels, strict=True)
    ]
    return {"query_id": ranked.query_id, "query": ranked.query, "documents": documents}


def _parsed_list(line: bytes, where: str, strict, labelled, counts) -> RankedList:
    try:
        parsed = json.loads(line.decode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise ValueError(f"JSON in {where} is malformed: {error}; expected one object.") from None
    _check_keys(parsed, _LIST_KEYS, f"The list in {where}")
    items = [
        _item(document, f"Document {n} of the list in {where}", labelled)
        for n, document in enumerate(parsed["documents"], start=1)
    ]
    return checked_list(
        parsed["query_id"], parsed["query"], items, where=where, strict=strict, counts=counts
    )


def _item(document: Any, name: str, labelled: bool) -> Item:
    if isinstance(document, dict) and not labelled:
        document = {"label": 0.0, **document}
    _check_keys(document, _DOCUMENT_KEYS, name)
    return document["doc_id"], document["text"], document["label"]


def _check_keys(got: Any, expected: dict[str, Any], name: str) -> None:
    if not isinstance(got, dict):
        raise ValueError(f"{name} has type {type(got).__name__}; expected an object.")
    for key in got.keys() - expected.keys():
        raise ValueError(f"{name} has the key '{key}'; expected only {', '.join(expected)}.")
    for key, kind in expected.items():
        if key not in got:
            hint = " Pass labelled=False to read lists without labels." if key == "label" else ""
            raise ValueError(f"{name} has no key '{key}'; expected {', '.join(expected)}.{hint}")
        if not isinstance(got[key], kind):
            raise ValueError(
                f"{name} has {got[key]!r:.60} under '{key}'; expected {_TYPE_NAMES[kind]}."
            )
