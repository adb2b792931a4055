"""Readers of MS MARCO QnA v2.1: the raw columnar file, and rows of Hugging Face and TFDS.

MS MARCO gives no passage ids. The id of a passage is `<query_id>-<position>`; its position in the
list of the file counts from 0. Passages of a list with the same text are duplicates.
Source: https://microsoft.github.io/msmarco/ (Bajaj et al., 2016, https://arxiv.org/abs/1611.09268).
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

import numpy as np

from t5rank.data.errors import DataError
from t5rank.data.files import PathLike, location, read_lines
from t5rank.data.indexed import IndexedLists
from t5rank.data.json_columns import read_column
from t5rank.data.jsonl import read_jsonl
from t5rank.data.line_index import LineIndex
from t5rank.data.plain_file import is_plain
from t5rank.data.ranked_list import Item, RankedList, checked_list, filter_lists
from t5rank.process.packages import require

_COLUMNS = ("query_id", "query", "passages")
_PARQUET_ROWS = 1024
_NO_LABEL = -1  # Hugging Face writes it for a missing `is_selected`


def qna_reader(path: str) -> Callable[..., Iterator[RankedList]]:
    """The function that reads a source of QnA's lists.

    Args:
      path: a file of raw columnar JSON (plain or gzip), of `.jsonl` rows or in `.parquet`;
        FOLDER:SPLIT of a dataset that TFDS prepared; or a folder of lists (`t5rank.data.folder`).
    """
    if tfds_info(path):
        return read_qna_tfds
    if os.path.isdir(path):
        return read_jsonl
    if path.endswith(".parquet"):
        return read_qna_parquet
    return read_qna_rows if ".jsonl" in path else read_qna_columnar


def read_qna_columnar(
    path: PathLike,
    *,
    strict: bool = False,
    labelled: bool = True,
    keep_without_relevant: bool = True,
    counts: Counter[str] | None = None,
) -> Iterator[RankedList]:
    """Reads the raw `*_v2.1.json` (plain or gzip) as a stream, one list a row, in file order.

    Memory does not grow with the file: one cursor for each of the three columns goes through it.

    Args:
      path: the file, one JSON object of columns, each keyed by row.
      strict: see `checked_list`. The real file repeats passages, so the default repairs them.
      labelled: whether every passage must have `is_selected`. The eval split has none: with
        labelled=False the passage has label 0.0, and nobody has judged it.
      keep_without_relevant: whether lists with nothing selected (38% of train) are kept.
      counts: see `t5rank.data.ranked_list`.

    Raises:
      ValueError: broken JSON, a missing column, columns that disagree on a row, or a row that
        `checked_list` refuses. The message names the file and the row.
    """
    counts = Counter() if counts is None else counts
    lists = (
        _qna_list(row, f"file '{path}', row '{key}'", strict, labelled, counts)
        for key, row in _columnar_rows(path)
    )
    return filter_lists(
        lists, source=str(path), keep_without_relevant=keep_without_relevant, counts=counts
    )


def read_qna_rows(path: PathLike, **options: Any) -> Iterator[RankedList]:
    """Reads JSON lines (plain or gzip) in the layout of Hugging Face and TFDS, one list a line.

    See `qna_list_rows` for the rows and for the other arguments.
    """
    return qna_list_rows(
        (_row(line, location(path, number)) for number, line in read_lines(path)),
        source=f"file '{path}'",
        **options,
    )


def index_qna_rows(
    path: PathLike,
    *,
    strict: bool = False,
    labelled: bool = True,
    keep_without_relevant: bool = True,
    counts: Counter[str] | None = None,
) -> IndexedLists | None:
    """The lists of `read_qna_rows` in any order; one pass over the file notes their places.

    Returns:
      The lists, or None where the file is compressed.
    """
    if not is_plain(path):
        return None
    lines = LineIndex(path)

    def read(i: int, counts: Counter[str]) -> RankedList:
        row, place = _row(lines[i], lines.location(i)), f"file '{path}', row {i + 1}"
        return _qna_list(_checked_row(row, place), place, strict, labelled, counts)

    return IndexedLists(f"file '{path}'", len(lines), read, keep_without_relevant, counts)


def read_qna_parquet(path: PathLike, **options: Any) -> Iterator[RankedList]:
    """Reads a parquet file of Hugging Face's `ms_marco`, with some rows in memory at a time.

    See `qna_list_rows` for the rows and for the other arguments.
    """
    return qna_list_rows(
        _parquet_rows(path),
        source=f"file '{path}'",
        **options,
    )


def read_qna_tfds(path: str, **options: Any) -> Iterator[RankedList]:
    """Reads a dataset that TFDS prepared, such as its `huggingface:ms_marco/v2.1`.

    See `qna_list_rows` for the rows and for the other arguments.

    Args:
      path: FOLDER:SPLIT; the folder has TFDS's dataset_info.json.

    Raises:
      ValueError: the dataset has no such split.
    """
    tfds = require("train", "tensorflow_datasets")  # only this loads TensorFlow
    folder, _, split = path.rpartition(":")
    builder = tfds.builder_from_directory(folder)
    if split not in builder.info.splits:
        raise ValueError(
            f"Dataset '{folder}' has no split '{split}'; expected one of {[*builder.info.splits]}."
        )
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    return qna_list_rows(
        tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False, read_config=in_order)),
        source=f"dataset '{path}'",
        **options,
    )


def tfds_info(path: str) -> str | None:
    """The file that describes the dataset of FOLDER:SPLIT; None where `path` is no such dataset."""
    info = os.path.join(path.rpartition(":")[0], "dataset_info.json")
    return info if os.path.isfile(info) else None


def qna_list_rows(
    rows: Iterable[Mapping[str, Any]],
    *,
    source: str = "rows",
    strict: bool = False,
    labelled: bool = True,
    keep_without_relevant: bool = True,
    counts: Counter[str] | None = None,
) -> Iterator[RankedList]:
    """Makes a list of each row in the layout of Hugging Face's `ms_marco`.

    A row has `query_id`, `query` and `passages`; `passages` is a dict of parallel lists
    (`is_selected`, `passage_text`, ...) or a list of dicts. Values may be numpy's and texts may be
    bytes, as `tfds.as_numpy` gives them.

    Args:
      rows: the rows.
      source: their name in errors, which count rows from 1.
      strict: see `read_qna_columnar`.
      labelled: whether every passage must have `is_selected`.
      keep_without_relevant: whether lists with nothing selected are kept.
      counts: see `t5rank.data.ranked_list`.

    >>> passages = {"is_selected": [0, 1], "passage_text": ["a", "b"]}
    >>> (ranked,) = qna_list_rows([{"query_id": 7, "query": "q", "passages": passages}])
    >>> ranked.doc_ids, ranked.labels
    (('7-0', '7-1'), (0.0, 1.0))
    """
    counts = Counter() if counts is None else counts
    lists = (
        _qna_list(_checked_row(_plain(row), place), place, strict, labelled, counts)
        for place, row in ((f"{source}, row {n}", row) for n, row in enumerate(rows, start=1))
    )
    return filter_lists(
        lists, source=source, keep_without_relevant=keep_without_relevant, counts=counts
    )


def _columnar_rows(path: PathLike) -> Iterator[tuple[str, dict[str, Any]]]:
    cursors = [read_column(path, column) for column in _COLUMNS]
    previous = None
    for cells in zip_longest(*cursors):
        keys = {column: cell and cell[0] for column, cell in zip(_COLUMNS, cells, strict=True)}
        if len(set(keys.values())) > 1:
            raise _columns_error(path, previous, keys)
        previous = cells[0][0]
        yield previous, {column: cell[1] for column, cell in zip(_COLUMNS, cells, strict=True)}
    if previous is None:
        raise _columns_error(path, previous, dict.fromkeys(_COLUMNS))


def _columns_error(path: PathLike, previous: str | None, keys: dict[str, str | None]) -> ValueError:
    if previous is None and None in keys.values():
        got = f"no rows in column {' or '.join(repr(c) for c, key in keys.items() if key is None)}"
        return ValueError(
            f"File '{path}' has {got}; expected rows in the columns {', '.join(_COLUMNS)}. "
            "Is it the row layout? Then use read_qna_rows."
        )
    found = ", ".join(
        f"'{column}' " + ("has ended" if key is None else f"has row '{key}'")
        for column, key in keys.items()
    )
    after = "at the start" if previous is None else f"after row '{previous}'"
    return ValueError(
        f"File '{path}' has columns that disagree {after} ({found}); "
        "expected the same rows in the same order in each. Is the file complete?"
    )


def _row(line: bytes, place: str) -> Any:
    try:
        return json.loads(line.decode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise ValueError(f"JSON in {place} is malformed: {error}; expected one object.") from None


def _parquet_rows(path: PathLike) -> Iterator[dict[str, Any]]:
    pyarrow = require("parquet", "pyarrow")
    parquet = require("parquet", "pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name in _COLUMNS]
            for batch in file.iter_batches(_PARQUET_ROWS, columns=columns):
                yield from batch.to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"File '{path}' is no whole parquet file: {error}") from None


def _plain(value: Any) -> Any:
    """The value in Python's own types; bytes become texts."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _checked_row(row: Any, place: str) -> dict[str, Any]:
    if not isinstance(row, dict) or not set(_COLUMNS) <= row.keys():
        keys = sorted(row) if isinstance(row, dict) else type(row).__name__
        raise ValueError(
            f"Row in {place} has {keys!s:.200}; expected an object with {', '.join(_COLUMNS)}."
        )
    return row


def _qna_list(row: dict[str, Any], place: str, strict, labelled, counts) -> RankedList:
    query_id = row["query_id"]
    if not isinstance(query_id, int | str):
        raise ValueError(
            f"Column 'query_id' in {place} has type {type(query_id).__name__}; expected an integer "
            "or a string. Is it the columnar layout? Then use read_qna_columnar."
        )
    query_id = str(query_id)
    passages = _passages(row["passages"], place)
    items = [_item(query_id, n, passage, labelled, place) for n, passage in enumerate(passages)]
    ranked = checked_list(
        query_id, row["query"], items, place=place, strict=strict, counts=counts, unique="text"
    )
    known = {item[0] for item, passage in zip(items, passages, strict=True) if _is_judged(passage)}
    judged = tuple(doc_id in known for doc_id in ranked.doc_ids)
    return ranked if all(judged) else dataclasses.replace(ranked, judged=judged)


def _is_judged(passage: dict) -> bool:
    return passage.get("is_selected") not in (None, _NO_LABEL)


def _passages(passages: Any, place: str) -> list[dict[str, Any]]:
    if isinstance(passages, dict) and all(isinstance(part, list) for part in passages.values()):
        lengths = {name: len(part) for name, part in passages.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"The passages in {place} have parallel lists of lengths {lengths}; "
                "expected equal lengths."
            )
        return [
            dict(zip(passages, parts, strict=True))
            for parts in zip(*passages.values(), strict=True)
        ]
    if isinstance(passages, list) and all(isinstance(passage, dict) for passage in passages):
        return passages
    raise ValueError(
        f"The passages in {place} have type {type(passages).__name__}; "
        "expected a dict of lists or a list of dicts."
    )


def _item(query_id: str, position: int, passage: dict, labelled: bool, place: str) -> Item:
    if "passage_text" not in passage:
        raise ValueError(f"Passage {position} in {place} has no 'passage_text'; expected one.")
    label: Any = passage.get("is_selected")
    if not _is_judged(passage):
        if labelled:
            raise DataError(
                f"Passage {position} in {place} has no 'is_selected'; expected 0 or 1.",
                "labelled",
                "read a split without labels",
            )
        label = 0.0
    return f"{query_id}-{position}", passage["passage_text"], label
