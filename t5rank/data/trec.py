"""The files of queries, qrels and runs, and the one order in which scored documents are ranked.

The types are ir_measures' dicts of dicts. `Qrels` is relevance by document by query. `Run` is score
by document by query, with the documents of a query best first. Files are plain or gzip:

  queries   qid TAB text
  qrels     qid 0 docid relevance             TREC and MS MARCO, tabs or spaces
            query-id corpus-id score          BEIR; its first line has these words
  run       qid Q0 docid rank score tag       TREC; the rank column is not read, as in trec_eval
            qid docid rank                    MS MARCO

Numbers are written as in C, whose `atol` and `atof` read trec_eval's relevance and scores: ASCII
digits with a sign; a score may also have a fraction and an exponent, or be hexadecimal. C reads the
number that a word begins with: 1 from `1_000`, or from the relevance `1e5`. Here such a word is an
error, and so is a score that is not finite. Errors are ValueErrors that name the file and the line.
A reader that is not `strict` repairs what `t5rank.data.ranked_list` names, and counts it in
`counts`.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from t5rank.data.errors import DataError
from t5rank.data.files import (
    PathLike,
    decode_line,
    location,
    open_text_writer,
    read_lines,
)

Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]

_BEIR_COLUMNS = ["query-id", "corpus-id", "score"]
_QRELS_COLUMNS = {4: "qid 0 docid relevance", 3: " ".join(_BEIR_COLUMNS)}
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_HEXADECIMAL = re.compile(
    r"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)([pP][+-]?[0-9]+)?"
)
RUN_COLUMNS = {6: "qid Q0 docid rank score tag", 3: "qid docid rank"}


def rank_documents(doc_ids: Sequence[str], scores: Sequence[float]) -> list[int]:
    """Positions of the documents, best first, in the one order that every part of t5rank uses.

    Scores are compared as float32, and the higher one comes first. Equal scores are ordered by
    doc_id, descending as strings. This is trec_eval's order, so that figures equal trec_eval's on
    anyone's file. It does not depend on relevance or on the order of the input, so that a constant
    scorer gains nothing from lists that begin with the relevant documents.

    Raises:
      ValueError: a score is not a finite float32, or the documents do not have one score each.

    >>> rank_documents(["a", "b", "c"], [1.0, 2.0, 1.0])
    [1, 2, 0]
    """
    with np.errstate(over="ignore"):
        values = np.asarray(scores, np.float32)
    if values.shape != (len(doc_ids),):
        raise ValueError(f"Scores have the shape {values.shape}; expected {(len(doc_ids),)}.")
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(
            f"Document '{doc_ids[bad]}' has the score {scores[bad]}; expected a finite float32."
        )
    keys = values.tolist()
    by_id = sorted(range(len(doc_ids)), key=doc_ids.__getitem__, reverse=True)
    return sorted(by_id, key=keys.__getitem__, reverse=True)  # stable, also when reversed


def sort_run(run: Mapping[str, Mapping[str, float]]) -> Run:
    """The run with scores as float32 and documents best first (see `rank_documents`).

    >>> sort_run({"q1": {"d1": 0.5, "d2": 0.5, "d3": 2}})
    {'q1': {'d3': 2.0, 'd2': 0.5, 'd1': 0.5}}
    """
    return {query_id: _sorted_documents(query_id, scores) for query_id, scores in run.items()}


def _sorted_documents(query_id: str, scored: Mapping[str, float]) -> dict[str, float]:
    doc_ids, scores = list(scored), list(scored.values())
    try:
        order = rank_documents(doc_ids, scores)
    except ValueError as error:
        raise ValueError(f"Query '{query_id}' of the run: {error}") from None
    return {doc_ids[i]: float(np.float32(scores[i])) for i in order}


def read_queries(
    path: PathLike, *, strict: bool = True, counts: Counter[str] | None = None
) -> dict[str, str]:
    """Reads `qid TAB text` into text by query id, in file order.

    Broken UTF-8 and an id that comes twice are errors if `strict`. Otherwise U+FFFD replaces what
    is broken, and the first text of an id is kept.
    """
    counts = Counter() if counts is None else counts
    queries: dict[str, str] = {}
    for number, raw in read_lines(path):
        place = location(path, number)
        line = decode_line(raw, place=place, strict=strict, counts=counts)
        columns = line.split("\t")
        if len(columns) != 2:
            raise _columns_error(path, number, len(columns), "2 (qid TAB text)")
        query_id, text = columns
        if not is_id(query_id) or not text.strip():
            raise ValueError(
                f"Line {number} of file '{path}' has the query id {query_id!r} and the text "
                f"{text!r:.60}; expected an id without white space, and a text."
            )
        if query_id not in queries:
            queries[query_id] = text
        elif strict:
            fact = f"Query '{query_id}' is again in {place}; expected each id once."
            raise DataError(fact, "strict", "keep the first")
        else:
            counts["duplicate_queries_dropped"] += 1
    return queries


def read_qrels(path: PathLike, *, strict: bool = True, counts: Counter[str] | None = None) -> Qrels:
    """Reads TREC, MS MARCO or BEIR qrels: integer relevance by document by query, in file order.

    A judgement that comes twice is read once. Two different judgements of a document and broken
    UTF-8 are errors if `strict`. Otherwise the larger judgement is kept, and U+FFFD replaces what
    is broken.
    """
    counts = Counter() if counts is None else counts
    qrels: Qrels = {}
    rows = _columns_of(path, read_lines(path), _QRELS_COLUMNS, strict, counts)
    for row, (number, columns) in enumerate(rows):
        if row == 0 and len(columns) == 3:
            _check_beir_columns(path, number, columns)
            continue
        query_id, *_, doc_id, grade = columns
        relevance = int(grade) if _INTEGER.fullmatch(grade) else None
        if relevance is None or not -(2**63) <= relevance < 2**63:
            raise _value_error(path, number, "relevance", grade, "an integer of 64 bits")
        judged = qrels.setdefault(query_id, {})
        if judged.setdefault(doc_id, relevance) != relevance:
            if strict:
                raise DataError(
                    f"Document '{doc_id}' of query '{query_id}' has relevance {judged[doc_id]} "
                    f"and, in {location(path, number)}, {relevance}; expected one judgement.",
                    "strict",
                    "keep the larger",
                )
            judged[doc_id] = max(judged[doc_id], relevance)
            counts["conflicting_judgements_merged"] += 1
    return qrels


def read_run(path: PathLike, *, strict: bool = True, counts: Counter[str] | None = None) -> Run:
    """Reads a TREC or MS MARCO run; the columns of the first line tell which.

    Queries are in file order, and documents in the order of `rank_documents`. In the MS MARCO
    format the score is minus the rank. The ranks of a query must be 1 to n: the official evaluation
    counts them, and a gap would change its figures. A document that comes twice for a query and
    broken UTF-8 are errors if `strict`. Otherwise the better score is kept, and U+FFFD replaces
    what is broken.
    """
    return parse_run(path, read_lines(path), strict=strict, counts=counts)


def parse_run(
    path: PathLike,
    lines: Iterable[tuple[int, bytes]],
    layouts: Mapping[int, str] = RUN_COLUMNS,
    *,
    strict: bool = True,
    counts: Counter[str] | None = None,
) -> Run:
    """What `read_run` reads from some lines of a file.

    Args:
      path: the file, for errors.
      lines: the number and the text of each line.
      layouts: the layouts that the lines may have: their names by their number of columns.
      strict: see `read_run`.
      counts: see `t5rank.data.ranked_list`.
    """
    counts = Counter() if counts is None else counts
    return _run_of(path, _columns_of(path, lines, layouts, strict, counts), strict, counts)


def iterate_run(
    path: PathLike, *, strict: bool = True, counts: Counter[str] | None = None
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yields the queries of `read_run` in their order, with one query in memory at a time.

    The whole run is in memory where the lines of a query do not stand together, or the file is a
    pipe.
    """
    counts = Counter() if counts is None else counts
    if not os.path.isfile(path) or not _is_grouped(path):
        yield from read_run(path, strict=strict, counts=counts).items()
        return
    columns = _columns_of(path, read_lines(path), RUN_COLUMNS, strict, counts)
    for _, rows in itertools.groupby(columns, key=lambda row: row[1][0]):
        yield from _run_of(path, rows, strict, counts).items()


def count_documents(path: PathLike) -> Counter[str]:
    """How many lines a run has for each query, without a check; an empty counter for a pipe."""
    if not os.path.isfile(path):
        return Counter()
    ids = (raw.split(maxsplit=1)[0] for _, raw in read_lines(path))
    return Counter(query_id.decode(errors="replace") for query_id in ids)


def _is_grouped(path: PathLike) -> bool:
    seen: set[bytes] = set()
    for query_id, _ in itertools.groupby(raw.split(maxsplit=1)[0] for _, raw in read_lines(path)):
        if query_id in seen:
            return False
        seen.add(query_id)
    return True


def _run_of(
    path: PathLike, rows: Iterable[tuple[int, list[str]]], strict: bool, counts: Counter[str]
) -> Run:
    """The run in some rows: line numbers and columns, as `_columns_of` gives them."""
    run: Run = {}
    columns: list[str] = []
    merged: set[str] = set()
    for number, columns in rows:
        query_id, doc_id, score = _scored_document(path, number, columns)
        scored = run.setdefault(query_id, {})
        if doc_id in scored:
            if strict:
                raise DataError(
                    f"Document '{doc_id}' of query '{query_id}' is again in "
                    f"{location(path, number)}; expected each document once a query.",
                    "strict",
                    "keep the better score",
                )
            merged.add(query_id)
            counts["duplicate_documents_merged"] += 1
        scored[doc_id] = max(score, scored.get(doc_id, score))
    run = sort_run(run)
    if len(columns) == 3:
        for query_id in merged:  # merging has left gaps in their ranks
            run[query_id] = {doc_id: -float(n) for n, doc_id in enumerate(run[query_id], start=1)}
        _check_ranks(path, run)
    return run


def write_queries(path: PathLike, queries: Mapping[str, str]) -> None:
    """Writes `qid TAB text`; gzip if `path` ends in `.gz`."""
    with open_text_writer(path) as file:
        for query_id, text in queries.items():
            if not text.strip() or set(text) & set("\t\r\n"):
                raise ValueError(
                    f"Query '{query_id}' has the text {text!r:.60}; "
                    "expected a text without tabs and line ends."
                )
            file.write(f"{_writable(query_id)}\t{text}\n")


def write_qrels(path: PathLike, qrels: Mapping[str, Mapping[str, int]]) -> None:
    """Writes TREC qrels; gzip if `path` ends in `.gz`."""
    with open_text_writer(path) as file:
        file.writelines(qrels_lines(qrels))


def qrels_lines(qrels: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """The lines that `write_qrels` writes."""
    for query_id, judged in qrels.items():
        for doc_id, relevance in judged.items():
            yield f"{_writable(query_id)} 0 {_writable(doc_id)} {int(relevance)}\n"


def write_run(path: PathLike, run: Mapping[str, Mapping[str, float]], tag: str = "t5rank") -> None:
    """Writes a TREC run in the order of `rank_documents`; gzip if `path` ends in `.gz`.

    Ranks count from 1. A score is the shortest decimal that reads back to the same float32, so that
    the scores give the same order as the ranks.
    """
    with open_text_writer(path) as file:
        file.writelines(run_lines(run, tag))


def run_lines(run: Mapping[str, Mapping[str, float]], tag: str = "t5rank") -> Iterator[str]:
    """The lines that `write_run` writes."""
    for query_id, scored in sort_run(run).items():
        for rank, (doc_id, score) in enumerate(scored.items(), start=1):
            yield (
                f"{_writable(query_id)} Q0 {_writable(doc_id)} {rank} {np.float32(score)!s} "
                f"{_writable(tag)}\n"
            )


def merged_runs(
    paths: Sequence[PathLike], *, strict: bool = True, counts: Counter[str] | None = None
) -> Run:
    """One run out of several, which have different queries.

    Raises:
      ValueError: a query is in two of them, or what `read_run` refuses.
    """
    run: Run = {}
    source: dict[str, PathLike] = {}
    for path in paths:
        for query_id, scored in read_run(path, strict=strict, counts=counts).items():
            if query_id in run:
                raise ValueError(
                    f"Query '{query_id}' is in file '{source[query_id]}' and in file '{path}'; "
                    "expected different queries."
                )
            run[query_id], source[query_id] = scored, path
    return run


def write_msmarco_run(path: PathLike, run: Mapping[str, Mapping[str, float]]) -> None:
    """Writes an MS MARCO run, `qid TAB docid TAB rank`, in the order of `rank_documents`."""
    with open_text_writer(path) as file:
        for query_id, scored in sort_run(run).items():
            for rank, doc_id in enumerate(scored, start=1):
                file.write(f"{_writable(query_id)}\t{_writable(doc_id)}\t{rank}\n")


def _columns_of(
    path: PathLike,
    lines: Iterable[tuple[int, bytes]],
    layouts: Mapping[int, str],
    strict: bool,
    counts: Counter[str],
) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, columns); the layout of the first line is that of all others."""
    for number, raw in lines:
        # Bytes are split, because a string would also split at Unicode spaces, which ids may hold.
        joined = b"\t".join(raw.split())
        place = location(path, number)
        columns = decode_line(joined, place=place, strict=strict, counts=counts).split("\t")
        if len(columns) not in layouts:
            expected = " or ".join(f"{count} ({names})" for count, names in layouts.items())
            raise _columns_error(path, number, len(columns), expected)
        layouts = {len(columns): layouts[len(columns)]}
        yield number, columns


def _scored_document(path: PathLike, number: int, columns: list[str]) -> tuple[str, str, float]:
    if len(columns) == 3:
        query_id, doc_id, rank = columns
        if not _INTEGER.fullmatch(rank) or int(rank) < 1:
            raise _value_error(path, number, "rank", rank, "an integer from 1")
        return query_id, doc_id, -float(rank)
    query_id, _, doc_id, _, text, _ = columns
    score = _float32(text)
    if not np.isfinite(score):
        raise _value_error(path, number, "score", text, "a finite float32")
    return query_id, doc_id, score


def _float32(text: str) -> float:
    """The value of a number that is written as in C; NaN for any other text."""
    try:
        if _DECIMAL.fullmatch(text):
            value = float(text)
        else:
            value = float.fromhex(text) if _HEXADECIMAL.fullmatch(text) else float("nan")
    except OverflowError:
        return float("inf")
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def _check_beir_columns(path: PathLike, number: int, columns: list[str]) -> None:
    if columns != _BEIR_COLUMNS:
        raise ValueError(
            f"Line {number} of file '{path}' has 3 columns, {' '.join(columns)!r:.60}; expected 4 "
            f"(qid 0 docid relevance), or BEIR's first line, {' '.join(_BEIR_COLUMNS)!r}. "
            "Is it a run?"
        )


def _check_ranks(path: PathLike, run: Run) -> None:
    for query_id, scored in run.items():
        for expected, score in enumerate(scored.values(), start=1):
            if -score != expected:
                raise ValueError(
                    f"Query '{query_id}' in file '{path}' has the rank {-score:.0f} where "
                    f"{expected} is due; expected the ranks 1 to {len(scored)}, each once."
                )


def is_id(text: str) -> bool:
    """Whether a text can be an id in these files: one word, without ASCII white space."""
    raw = text.encode("utf-8", "surrogatepass")
    return raw.split() == [raw]


def _writable(name: str) -> str:
    if not is_id(name):
        raise ValueError(f"The id {name!r} has white space or is empty; expected one word.")
    return name


def _columns_error(path: PathLike, number: int, got: int, expected: str) -> ValueError:
    return ValueError(
        f"Line {number} of file '{path}' has {got} columns; expected {expected}. "
        "Do ids hold spaces, or is it another kind of file?"
    )


def _value_error(path: PathLike, number: int, name: str, got: str, expected: str) -> ValueError:
    return ValueError(
        f"Line {number} of file '{path}' has the {name} {got!r:.60}; expected {expected}."
    )
