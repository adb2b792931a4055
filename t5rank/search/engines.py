"""What finds the documents of queries, and how much an approximate one finds of what is there."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from tqdm import tqdm

from t5rank.search import exact
from t5rank.search.exact import Hits
from t5rank.search.vectors import VectorFolder

RECALL_QUERIES = 100
_RECALL_CUTOFF = 10


class Engine(Protocol):
    """Finds documents by vectors."""

    @property
    def name(self) -> str:
        """As the log names it."""
        ...

    @property
    def approximate(self) -> bool:
        """Whether it may miss some of the best."""
        ...

    def search(self, queries: np.ndarray, k: int) -> Hits:
        """The k best documents of each query.

        Args:
          queries: float32 `[queries, dim]`.
          k: how many.
        """
        ...


class ExactEngine:
    """Exact search in a folder of vectors, which is read once from the first to the last."""

    name = "exact search"
    approximate = False

    def __init__(self, vectors: VectorFolder):
        self.vectors = vectors

    def search(self, queries: np.ndarray, k: int) -> Hits:
        """See `Engine`."""
        manifest = self.vectors.manifest
        blocks = self.vectors.blocks(exact.block_rows(manifest.dim))
        with tqdm(
            desc=self.name, unit=" documents", total=manifest.count, disable=None
        ) as progress:
            return exact.search(queries, blocks, min(k, manifest.count), progress)


def recall(
    queries: np.ndarray, hits: Hits, vectors: VectorFolder, k: int, seed: int = 0
) -> dict[int, float]:
    """The share of the exactly best documents that are among the hits, at 10 and at k.

    Args:
      queries: float32 `[queries, dim]`; at most `RECALL_QUERIES` of them are searched exactly.
      hits: what was found for them.
      vectors: where it was found.
      k: how many were asked for.
      seed: which queries.

    Returns:
      The mean over the queries by cutoff.
    """
    count = min(len(queries), RECALL_QUERIES)
    chosen = np.sort(np.random.default_rng(seed).choice(len(queries), count, replace=False))
    best = ExactEngine(vectors).search(queries[chosen], k).doc_ids
    found = hits.doc_ids[chosen]
    return {n: _overlap(best[:, :n], found[:, :n]) for n in sorted({min(_RECALL_CUTOFF, k), k})}


def _overlap(best: np.ndarray, found: np.ndarray) -> float:
    return float(np.mean([np.isin(b, f).mean() for b, f in zip(best, found, strict=True)]))
