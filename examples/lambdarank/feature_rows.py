"""Documents as numbers: reads libsvm's format, and pads one list per query.

    2 1:0.03 3:0.5

A line is a document: its label and its features, the others being 0. A file beside it, with
`.query` after its name, holds the number of lines of each query, as LightGBM's examples have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


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


def read_rows(path: Path, num_features: int | None = None) -> FeatureRows:
    """Reads documents in the order of the file; its features are numbered from 1.

    Args:
      path: the file; the group sizes are in the one beside it.
      num_features: by default the highest number found. Name it for files that go together, as a
        feature may be 0 throughout one of them.

    Raises:
      ValueError: the group sizes do not add up to the documents, or a line is malformed.
    """
    lines = [line.split() for line in path.read_text().splitlines()]
    cells = [(row, *token.split(":")) for row, (_, *tokens) in enumerate(lines) for token in tokens]
    rows, columns = np.array([(row, int(column) - 1) for row, column, _ in cells]).T
    features = np.zeros((len(lines), num_features or columns.max() + 1), np.float32)
    features[rows, columns] = [float(value) for _, _, value in cells]
    sizes = np.loadtxt(f"{path}.query", dtype=np.int64, ndmin=1)
    labels = np.array([float(line[0]) for line in lines], np.float32)
    return FeatureRows(features, labels, sizes, tuple(map(str, range(1, len(sizes) + 1))))
