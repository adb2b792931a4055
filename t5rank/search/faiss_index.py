"""Approximate search by faiss: any index that a factory string describes, such as `IVF4096,PQ64`.

The index is kept beside the vectors, in `indexes/`, and used again as long as they are the same.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from t5rank.formats.json_files import read_object_if_any, write_json
from t5rank.process.packages import require
from t5rank.search.exact import Hits, block_rows
from t5rank.search.vectors import VectorFolder

LEAST_POINTS = 39  # vectors a centroid, below which faiss warns that its clustering is poor
TRAINING_POINTS = 64  # vectors a centroid that it is trained on, if there are so many
_LEAST_TRAINING = 10_000  # of indexes that have no centroids, but a transformation to learn
_log = logging.getLogger(__name__)


class FaissEngine:
    """See `t5rank.search.engines.Engine`.

    Args:
      vectors: the folder.
      factory: what `faiss.index_factory` takes. The metric is the inner product, which for
        normalized vectors is the cosine.
      parameters: of searching, by faiss' own names: "nprobe=16", "efSearch=64,nprobe=8".

    Raises:
      ValueError: faiss does not know the factory or a parameter, or there are too few vectors for
        so many centroids.
      MissingExtra: faiss is not installed.
    """

    approximate = True

    def __init__(self, vectors: VectorFolder, factory: str, parameters: str | None = None):
        self._faiss = require("faiss", "faiss")
        self.name = f"faiss '{factory}'" + (f" with {parameters}" if parameters else "")
        self._vectors = vectors
        self._index = _kept_index(self._faiss, vectors, factory)
        if parameters:
            try:
                self._faiss.ParameterSpace().set_index_parameters(self._index, parameters)
            except RuntimeError as error:
                raise ValueError(
                    f"Index '{factory}' has no parameter {parameters!r} for faiss "
                    f"({_reason(error)}); expected NAME=NUMBER,... such as nprobe=16."
                ) from None

    def search(self, queries: np.ndarray, k: int) -> Hits:
        """See `t5rank.search.engines.Engine`; scores are those that the index computes."""
        k = min(k, self._vectors.manifest.count)
        scores, numbers = self._index.search(np.ascontiguousarray(queries, np.float32), k)
        found = numbers >= 0
        doc_ids = np.where(found, self._vectors.all_ids[np.maximum(numbers, 0)], b"")
        short = int((~found).any(axis=1).sum())
        if short:
            _log.warning(
                "%s found fewer than %d documents for %d of %d queries.",
                self.name,
                k,
                short,
                len(queries),
            )
        return Hits(np.where(found, scores, -np.inf).astype(np.float32), doc_ids)


def _kept_index(faiss: Any, vectors: VectorFolder, factory: str) -> Any:
    file = vectors.path / "indexes" / f"{re.sub(r'[^A-Za-z0-9]+', '_', factory)}.faiss"
    record = file.with_suffix(".json")
    manifest = {"factory": factory, "vectors": vectors.checksum, "faiss": faiss.__version__}
    if file.is_file() and read_object_if_any(record) == manifest:
        return faiss.read_index(str(file))
    index = _built(faiss, vectors, factory)
    file.parent.mkdir(exist_ok=True)
    record.unlink(missing_ok=True)
    partial = Path(f"{file}.{uuid.uuid4().hex}")
    faiss.write_index(index, str(partial))
    os.replace(partial, file)
    write_json(record, manifest)
    return index


def _built(faiss: Any, vectors: VectorFolder, factory: str) -> Any:
    count, dim = vectors.manifest.count, vectors.manifest.dim
    try:
        index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ValueError(
            f"Index '{factory}' is none of faiss for {dim} dimensions ({_reason(error)}); expected "
            "a factory string, such as 'IVF4096,PQ64', 'HNSW32' or 'Flat'."
        ) from None
    centroids = _check_centroids(faiss, index, factory, count)
    if not index.is_trained:
        wanted = min(count, max(TRAINING_POINTS * centroids, _LEAST_TRAINING))
        _log.info("Training '%s' on %s of %s vectors.", factory, f"{wanted:,}", f"{count:,}")
        chosen = np.random.default_rng(0).choice(count, wanted, replace=False)
        index.train(vectors.rows(np.sort(chosen)))
    with tqdm(desc="indexing", unit=" documents", total=count, disable=None) as progress:
        for block, ids in vectors.blocks(block_rows(dim)):
            index.add(block)
            progress.update(len(ids))
    return index


def _check_centroids(faiss: Any, index: Any, factory: str, count: int) -> int:
    """The most centroids that are learnt at once.

    Raises:
      ValueError: too many for so many vectors.
    """
    lists, codes = _centroids(faiss, index)
    fits = count // LEAST_POINTS
    if lists > fits:
        advice = f"IVF{fits} or fewer lists" if fits else "'Flat', or exact search"
        raise _too_many(factory, lists, count, advice)
    if codes > fits:
        bits = int(math.log2(fits)) if fits > 1 else 0
        advice = f"codes of {bits} bits, as PQ8x{bits} has" if bits else "no product quantizer"
        raise _too_many(factory, codes, count, advice)
    return max(lists, codes)


def _centroids(faiss: Any, index: Any) -> tuple[int, int]:
    """Inverted lists, and codes of a product quantizer; 0 where the index has none."""
    index = faiss.downcast_index(index)
    while hasattr(index, "chain") or type(index).__name__.startswith("IndexIDMap"):
        index = faiss.downcast_index(index.index)
    quantizer = getattr(index, "pq", None)
    return getattr(index, "nlist", 0), 0 if quantizer is None else quantizer.ksub


def _too_many(factory: str, centroids: int, count: int, advice: str) -> ValueError:
    return ValueError(
        f"Index '{factory}' learns {centroids:,} centroids of {count:,} vectors; expected "
        f"{LEAST_POINTS} vectors a centroid, {LEAST_POINTS * centroids:,}. Take {advice}."
    )


def _reason(error: RuntimeError) -> str:
    """What faiss says, without the place in its source."""
    return json.dumps(str(error).rpartition(": ")[2])[1:-1]
