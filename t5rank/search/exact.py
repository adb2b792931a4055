"""Exact search: the k best documents of each query, block by block.

Documents are ranked as `t5rank.data.trec.rank_documents` does: float32 scores, higher first, and
equal scores by document id, descending. Memory is that of a block and of the queries' k best.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

BLOCK_BYTES = 1 << 26  # of a block of vectors, and of the scores of some queries
_MANY = 4  # times k candidates are cut to k before they are sorted


class Hits(NamedTuple):
    """The best documents of each query, best first.

    Attributes:
      scores: float32 `[queries, k]`; -inf where there is no document.
      doc_ids: bytes `[queries, k]`; empty where there is no document.
    """

    scores: np.ndarray
    doc_ids: np.ndarray

    def run(self, number: int) -> dict[str, float]:
        """Score by document of a query."""
        count = int(np.isfinite(self.scores[number]).sum())
        ids = (doc_id.decode() for doc_id in self.doc_ids[number, :count].tolist())
        return dict(zip(ids, self.scores[number, :count].tolist(), strict=True))


def block_rows(dim: int) -> int:
    """How many vectors a block has."""
    return max(1, BLOCK_BYTES // (4 * dim))


def search(
    queries: np.ndarray,
    blocks: Iterable[tuple[np.ndarray, np.ndarray]],
    k: int,
    progress: tqdm | None = None,
) -> Hits:
    """The k documents with the largest dot products.

    Args:
      queries: float32 `[queries, dim]`, finite.
      blocks: float32 vectors `[rows, dim]` and ids as bytes `[rows]`, such as
        `t5rank.search.vectors.VectorFolder.blocks` gives; finite.
      k: how many; fewer documents are all returned.
      progress: told of each document.

    Raises:
      ValueError: products are too large for float32, or a vector is not finite.

    >>> blocks = [(np.eye(3, dtype=np.float32), np.array([b"a", b"b", b"c"]))]
    >>> search(np.array([[0, 2, 0]], np.float32), blocks, 2).run(0)
    {'b': 2.0, 'c': 0.0}
    """
    largest = _largest(queries) * queries.shape[1]
    scores = np.full((len(queries), k), -np.inf, np.float32)
    doc_ids = np.zeros((len(queries), k), "S1")
    memory = np.empty(0, np.float32)
    for vectors, ids in blocks:
        if not largest * _largest(vectors) < float(np.finfo(np.float32).max):
            raise ValueError(
                f"Vectors have values up to {_largest(vectors):g}, of queries up to "
                f"{_largest(queries):g}; expected products that float32 holds."
            )
        chunk = max(1, min(len(queries), BLOCK_BYTES // (4 * len(ids))))
        if memory.size < chunk * len(ids):
            memory = np.empty(chunk * len(ids), np.float32)
        if ids.dtype.itemsize > doc_ids.dtype.itemsize:
            doc_ids = doc_ids.astype(ids.dtype)
        for start in range(0, len(queries), chunk):
            part = slice(start, start + chunk)
            few = queries[part]
            products = memory[: len(few) * len(ids)].reshape(len(few), len(ids))
            np.matmul(few, vectors.T, out=products)
            _merge(scores[part], doc_ids[part], products, ids)
        if progress is not None:
            progress.update(len(ids))
    return Hits(scores, doc_ids)


def _largest(vectors: np.ndarray) -> float:
    return float(max(vectors.max(), -vectors.min()))


def _merge(scores: np.ndarray, doc_ids: np.ndarray, products: np.ndarray, ids: np.ndarray) -> None:
    """Puts what belongs to the k best of a block among them, in place.

    Args:
      scores: `[queries, k]`, as `Hits` has them.
      doc_ids: likewise.
      products: the block's scores `[queries, rows]`.
      ids: the block's ids `[rows]`.
    """
    k = scores.shape[1]
    reached = products >= scores[:, -1:]
    if np.count_nonzero(reached, axis=1).max() > _MANY * k:
        bar = np.partition(products, -k, axis=1)[:, -k]
        reached = products >= np.maximum(bar, scores[:, -1])[:, None]
    counts = np.count_nonzero(reached, axis=1)
    places = np.flatnonzero(reached)
    rows, columns = np.divmod(places, products.shape[1])
    at = k + np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
    both = np.full((len(scores), k + int(counts.max())), -np.inf, np.float32)
    names = np.zeros(both.shape, doc_ids.dtype)
    both[:, :k], names[:, :k] = scores, doc_ids
    both[rows, at], names[rows, at] = products.reshape(-1)[places] + 0.0, ids[columns]  # no -0.0
    order = np.argsort(-both, axis=1)
    both, names = np.take_along_axis(both, order, 1), np.take_along_axis(names, order, 1)
    _settle_ties(both, names)
    scores[:], doc_ids[:] = both[:, :k], names[:, :k]


def _settle_ties(scores: np.ndarray, doc_ids: np.ndarray) -> None:
    """Sorts the ids of equal scores, which stand together, in descending order, in place."""
    same = (scores[:, 1:] == scores[:, :-1]) & np.isfinite(scores[:, 1:])
    for row in np.flatnonzero(same.any(axis=1)):
        edges = np.flatnonzero(np.diff(same[row], prepend=False, append=False))
        for first, last in edges.reshape(-1, 2):
            doc_ids[row, first : last + 1] = np.sort(doc_ids[row, first : last + 1])[::-1]
