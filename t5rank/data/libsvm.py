"""Learning to rank data: documents as numbers, in libsvm's format with query groups.

    2 qid:10 1:0.03 3:0.5 # docid = GX029

A line is a document: its label, its query and its features, the others being 0. Lines of a query
follow each other. Instead of `qid:` a second file may hold the number of lines of each query
(LightGBM's `.query` files).
"""

from __future__ import annotations

import itertools
import math
import os
from dataclasses import dataclass

import numpy as np

from t5rank.data.files import PathLike, capitalized, location, read_lines

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class FeatureRows:
    """Documents as rows of numbers, query after query.

    Attributes:
      features: float32 `[documents, features]`.
      labels: float32 `[documents]`.
      group_sizes: int64 `[queries]`, the number of documents of each query.
      query_ids: as many as `group_sizes`.

    >>> rows = FeatureRows(np.array([[1.0], [2.0], [3.0]]), np.array([0, 1, 0]), [1, 2], ("a", "b"))
    >>> rows.padded().features[..., 0].tolist()
    [[1.0, 0.0], [2.0, 3.0]]
    >>> rows.select([1]).labels.tolist()
    [1, 0]
    """

    features: np.ndarray
    labels: np.ndarray
    group_sizes: np.ndarray
    query_ids: tuple[str, ...]

    def __post_init__(self):
        sizes = np.asarray(self.group_sizes, np.int64)
        object.__setattr__(self, "group_sizes", sizes)
        counts = (len(self.features), len(self.labels), int(sizes.sum()))
        if len(set(counts)) != 1:
            raise ValueError(
                f"Rows have {counts} features, labels and grouped documents; expected one number."
            )
        if len(sizes) != len(self.query_ids):
            raise ValueError(
                f"Rows have {len(sizes)} group sizes and {len(self.query_ids)} query ids; "
                "expected one of each per query."
            )

    def select(self, queries: np.ndarray | list[int]) -> FeatureRows:
        """The rows of these queries (numbers from 0), in this order."""
        ends = np.cumsum(self.group_sizes)
        ranges = [np.arange(ends[q] - self.group_sizes[q], ends[q]) for q in queries]
        rows = np.concatenate([np.arange(0), *ranges])
        ids = tuple(self.query_ids[q] for q in queries)
        return FeatureRows(self.features[rows], self.labels[rows], self.group_sizes[queries], ids)

    def padded(self, list_size: int | None = None) -> FeatureLists:
        """One list per query, all of `list_size`; by default of the longest query's.

        Raises:
          ValueError: a query has more documents; none is dropped.
        """
        longest = int(self.group_sizes.max(initial=0))
        list_size = longest if list_size is None else list_size
        if list_size < longest:
            query = self.query_ids[int(self.group_sizes.argmax())]
            raise ValueError(
                f"Query '{query}' has {longest} documents; expected at most list_size={list_size}."
            )
        where = np.arange(list_size) < self.group_sizes[:, None]
        features = np.zeros((*where.shape, self.features.shape[-1]), self.features.dtype)
        labels = np.zeros(where.shape, self.labels.dtype)
        features[where], labels[where] = self.features, self.labels
        return FeatureLists(features, labels, where)


@dataclass(frozen=True)
class FeatureLists:
    """Padded lists; masked slots hold zeros.

    Attributes:
      features: `[queries, list, features]`.
      labels: `[queries, list]`.
      where: bool `[queries, list]`, True at documents.
    """

    features: np.ndarray
    labels: np.ndarray
    where: np.ndarray


def read_libsvm(
    path: PathLike,
    *,
    query_path: PathLike | None = None,
    num_features: int | None = None,
    zero_based: bool = False,
) -> FeatureRows:
    """Reads documents, in file order, from a plain or gzip file.

    Args:
      path: the file; see the module's docstring.
      query_path: the file of group sizes. By default `path` with `.query` after it if there is such
        a file and the lines have no `qid:`; its queries are numbered from "1".
      num_features: the number of features; by default the highest one found. Name it for files that
        go together, as a feature may be 0 throughout one of them.
      zero_based: whether the first feature is number 0; libsvm's is 1.

    Raises:
      ValueError: a malformed line, a value that is not finite, a feature outside of `num_features`
        or twice in a line, lines of a query apart from each other, group sizes that do not add up,
        or no groups at all; names file and line.
    """
    lines = [_parsed(line, location(path, number)) for number, line in read_lines(path)]
    if not lines:
        raise ValueError(f"File '{path}' has no document; expected at least one.")
    features = _dense(lines, num_features, 0 if zero_based else 1)
    labels = np.array([line.label for line in lines], np.float32)
    beside = f"{os.fspath(path)}.query"
    if query_path is None and lines[0].query_id is None and os.path.exists(beside):
        query_path = beside
    if query_path is None:
        sizes, query_ids = _groups_by_id(lines)
    else:
        sizes = _groups_of_file(query_path, len(lines), path)
        query_ids = tuple(str(number) for number in range(1, len(sizes) + 1))
    return FeatureRows(features, labels, np.array(sizes), query_ids)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line's contents, and where it stands."""

    where: str
    label: float
    query_id: str | None
    columns: np.ndarray
    values: np.ndarray


def _parsed(line: bytes, where: str) -> _Line:
    label, *tokens = line.partition(b"#")[0].split() or [b""]
    query_id = None
    if tokens and tokens[0].startswith(b"qid:"):
        query_id = tokens.pop(0)[len(b"qid:") :].decode("utf-8", "replace")
    pairs = [token.partition(b":") for token in tokens]
    columns = np.array([_integer(column, where) for column, _, _ in pairs], np.int64)
    values = np.array([_number(value, f"feature {_text(c)}", where) for c, _, value in pairs])
    if len(np.unique(columns)) < len(columns):
        twice = next(c for c in columns if (columns == c).sum() > 1)
        raise ValueError(f"Feature {twice} in {where} is there twice; expected it once.")
    return _Line(where, _number(label, "label", where), query_id, columns, values)


def _integer(token: bytes, where: str) -> int:
    if not token.isdigit():
        raise ValueError(
            f"Feature '{_text(token)}' in {where} has no number before a colon; expected "
            "'number:value', and 'qid:id' only after the label."
        )
    return int(token)


def _number(token: bytes, name: str, where: str) -> float:
    try:
        number = float(token)
    except ValueError:
        number = math.nan
    # A finite number of the file may still be infinite in float32, in which it is kept.
    if not abs(number) <= _LARGEST or b"_" in token:
        raise ValueError(
            f"{name.capitalize()} in {where} has '{_text(token)}'; expected a finite number."
        )
    return number


def _text(token: bytes) -> str:
    return token[:40].decode("utf-8", "replace")


def _dense(lines: list[_Line], count: int | None, first: int) -> np.ndarray:
    if count is None:
        count = max(int(line.columns.max(initial=first - 1)) for line in lines) + 1 - first
    features = np.zeros((len(lines), count), np.float32)
    for row, line in enumerate(lines):
        columns = line.columns - first
        outside = line.columns[(columns < 0) | (columns >= count)]
        if len(outside):
            hint = " Pass zero_based=True if the first feature is 0." if outside[0] == 0 else ""
            raise ValueError(
                f"Feature {outside[0]} in {line.where} is outside; expected {first} to "
                f"{count + first - 1}.{hint}"
            )
        features[row, columns] = line.values
    return features


def _groups_by_id(lines: list[_Line]) -> tuple[list[int], tuple[str, ...]]:
    sizes: dict[str, int] = {}
    for query_id, group in itertools.groupby(lines, lambda line: line.query_id):
        first, *others = group
        if query_id is None:
            raise ValueError(
                f"{capitalized(first.where)} has no 'qid:'; expected one after the label, or group "
                "sizes in query_path."
            )
        if query_id in sizes:
            raise ValueError(
                f"Query '{query_id}' in {first.where} comes again after another one; expected its "
                "lines together. Sort the file by query."
            )
        sizes[query_id] = 1 + len(others)
    return list(sizes.values()), tuple(sizes)


def _groups_of_file(query_path: PathLike, documents: int, path: PathLike) -> list[int]:
    sizes = []
    for number, line in read_lines(query_path):
        token = line.strip()
        if not token.isdigit() or int(token) < 1:
            raise ValueError(
                f"Group size in {location(query_path, number)} has '{_text(token)}'; expected a "
                "number of documents, at least 1."
            )
        sizes.append(int(token))
    if sum(sizes) != documents:
        raise ValueError(
            f"File '{query_path}' has {len(sizes)} groups of {sum(sizes)} documents; expected the "
            f"{documents} documents of file '{path}'."
        )
    return sizes
