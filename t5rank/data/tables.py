"""Tables with named columns, parquet or CSV, as lines of JSON: a row is an object."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator

from t5rank.data.files import (
    UTF8_BOM,
    PathLike,
    capitalized,
    location,
    open_binary,
    read_lines,
)
from t5rank.process.packages import require

_PARQUET = b"PAR1"
_ROWS = 1000  # of a parquet file that are in memory
_FIELD_CHARACTERS = 1 << 30
_QUERIES = ("query", "anchor")


def rows_or_lines(path: PathLike) -> Iterator[tuple[int, bytes]]:
    """The rows of a table as JSON, or the lines of another file, each with its number from 1.

    A row of a CSV file has the number of the line where it begins.

    Raises:
      ValueError: a table is malformed.
      MissingExtra: pyarrow is needed, and not installed.
    """
    if not os.path.isfile(path):  # a pipe, which is read only once
        return read_lines(path)
    if _is_parquet(path):
        return _parquet_rows(path)
    delimiter = _delimiter(path)
    return read_lines(path) if delimiter is None else _csv_rows(path, delimiter)


def is_table(path: PathLike) -> bool:
    """Whether a file is a parquet file, or its first line names the columns of pairs."""
    return _is_parquet(path) or _delimiter(path) is not None


def _is_parquet(path: PathLike) -> bool:
    with open_binary(path) as file:
        return file.peek(4)[:4] == _PARQUET


def _delimiter(path: PathLike) -> str | None:
    """What separates the names of a table's columns, one of which is "positive"."""
    with open_binary(path) as file:
        first = file.readline().removeprefix(UTF8_BOM).decode("utf-8", "replace")
    if "positive" not in first or first.lstrip()[:1] in ("{", "["):
        return None
    for delimiter in (",", "\t"):
        names = next(csv.reader([first.rstrip("\r\n")], delimiter=delimiter), [])
        if "positive" in names and any(name in names for name in _QUERIES):
            return delimiter
    return None


def _csv_rows(path: PathLike, delimiter: str) -> Iterator[tuple[int, bytes]]:
    csv.field_size_limit(_FIELD_CHARACTERS)
    with io.TextIOWrapper(open_binary(path), "utf-8-sig", "surrogateescape", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter)
        names = next(rows)
        number = rows.line_num + 1
        for row in rows:
            if row and len(row) != len(names):
                raise ValueError(
                    f"{capitalized(location(path, number))} has {len(row)} columns; expected "
                    f"{len(names)}: {', '.join(names)}."
                )
            if row:
                yield number, _as_json(dict(zip(names, row, strict=True)))
            number = rows.line_num + 1


def _parquet_rows(path: PathLike) -> Iterator[tuple[int, bytes]]:
    pyarrow = require("parquet", "pyarrow")
    parquet = require("parquet", "pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield number, _as_json(row)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"File '{path}' is no whole parquet file: {error}") from None


def _as_json(row: dict[str, object]) -> bytes:
    return json.dumps(row, default=str).encode()
