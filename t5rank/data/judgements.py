"""The judgements for an evaluation, from a file of qrels or from lists."""

from __future__ import annotations

import os
from collections import Counter

from t5rank.data.errors import DataError
from t5rank.data.files import PathLike, open_binary
from t5rank.data.folder import MANIFEST, QRELS, read_manifest
from t5rank.data.jsonl import read_jsonl
from t5rank.data.ranked_list import RankedList
from t5rank.data.trec import Qrels, read_qrels


def read_judgements(
    path: PathLike, *, strict: bool = True, counts: Counter[str] | None = None
) -> Qrels:
    """Reads judgements from a file of qrels, a file of lists, or a folder (`t5rank.data.folder`).

    A folder that `t5rank lists` wrote has its own qrels, which also hold what the lists lack. The
    labels of other lists become grades; a document that nobody judged is left out.

    Args:
      path: the file or folder. A file whose first character is a brace holds lists.
      strict: see `t5rank.data.trec.read_qrels`. Two lists of a query that give a document different
        labels are an error, too.
      counts: see `t5rank.data.ranked_list`.

    Raises:
      ValueError: what the readers refuse, a label that is no whole number, two different labels of
        one document, or no judgement at all.
    """
    counts = Counter() if counts is None else counts
    if not _are_lists(path):
        return read_qrels(path, strict=strict, counts=counts)
    if _has_qrels(path):
        return read_qrels(os.path.join(path, QRELS), strict=strict, counts=counts)
    qrels: Qrels = {}
    for ranked in read_jsonl(path, strict=strict, counts=counts):
        judged = qrels.setdefault(ranked.query_id, {})
        for doc_id, grade in grades(ranked).items():
            _add(judged, ranked.query_id, doc_id, grade, strict, counts)
    if not any(qrels.values()):
        raise ValueError(f"Lists '{path}' have no judged document; expected labels, or qrels.")
    return qrels


def grades(ranked: RankedList) -> dict[str, int]:
    """The labels of a list's judged documents as grades.

    Raises:
      ValueError: a label is no whole number: measures take grades, and rounding would change them.
    """
    judged = ranked.judged or (True,) * len(ranked)
    labels = zip(ranked.doc_ids, ranked.labels, judged, strict=True)
    known = {doc_id: label for doc_id, label, is_judged in labels if is_judged}
    for doc_id, label in known.items():
        if not label.is_integer():
            raise ValueError(
                f"Document '{doc_id}' of query '{ranked.query_id}' has the label {label:g}; "
                "expected a whole number, because measures count grades. Evaluate against qrels."
            )
    return {doc_id: int(label) for doc_id, label in known.items()}


def _add(
    judged: dict[str, int], query_id: str, doc_id: str, grade: int, strict: bool, counts: Counter
) -> None:
    before = judged.setdefault(doc_id, grade)
    if before == grade:
        return
    if strict:
        raise DataError(
            f"Document '{doc_id}' of query '{query_id}' has the labels {before} and {grade} in two "
            "lists; expected one judgement.",
            "strict",
            "keep the larger",
        )
    judged[doc_id] = max(before, grade)
    counts["conflicting_judgements_merged"] += 1


def _has_qrels(path: PathLike) -> bool:
    made = os.path.isfile(os.path.join(path, MANIFEST))
    return made and QRELS in read_manifest(path).get("trec", ())


def _are_lists(path: PathLike) -> bool:
    if os.path.isdir(path) or os.fspath(path).endswith((".jsonl", ".jsonl.gz")):
        return True
    if not os.path.isfile(path):
        return False  # a pipe can be read only once
    with open_binary(path) as file:
        return file.peek(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"
