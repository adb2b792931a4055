"""Searches for queries, and writes what was found as a TREC run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple, TextIO

import numpy as np

from t5rank.data import trec
from t5rank.search.embedding import TextEmbedder, model_checksum
from t5rank.search.encoding import Texts
from t5rank.search.engines import Engine, recall
from t5rank.search.exact import Hits
from t5rank.search.vectors import VectorFolder

_log = logging.getLogger(__name__)


class QueryVectors(NamedTuple):
    """The queries of a search.

    Attributes:
      ids: as many as vectors.
      vectors: float32 `[queries, dim]`.
    """

    ids: list[str]
    vectors: np.ndarray


def encoded_queries(embedder: TextEmbedder, texts: Texts, documents: VectorFolder) -> QueryVectors:
    """The vectors of queries by the model that made those of the documents.

    Raises:
      ValueError: it is another model.
    """
    checksum, manifest = model_checksum(embedder), documents.manifest
    if checksum != manifest.model_checksum:
        raise ValueError(
            f"Model '{embedder.folder}' (sha256 {checksum[:8]}) is another one than that of "
            f"'{documents.path}', {manifest.model_name}; expected the same parameters, "
            "configuration and vocabulary. Is it another --step?"
        )
    items = [*texts.read()]
    vectors = embedder.encode_queries([text for _, text in items])
    return QueryVectors([query_id for query_id, _ in items], np.asarray(vectors, np.float32))


def stored_queries(queries: VectorFolder, documents: VectorFolder) -> QueryVectors:
    """The vectors of queries that were encoded before.

    Raises:
      ValueError: they are of another model than the documents', or no queries'.
    """
    had, wanted = queries.manifest, documents.manifest
    if had.text != "query":
        raise ValueError(
            f"Folder '{queries.path}' has vectors of documents; expected queries, which "
            "'t5rank encode --queries' encodes."
        )
    if (had.model_checksum, had.dim) != (wanted.model_checksum, wanted.dim):
        raise ValueError(
            f"Folder '{queries.path}' has vectors of {had.model_name}; expected the model of "
            f"'{documents.path}', {wanted.model_name}."
        )
    return QueryVectors([name.decode() for name in queries.all_ids.tolist()], queries.matrix())


def search(engine: Engine, queries: QueryVectors, documents: VectorFolder, k: int) -> Hits:
    """The k best documents of each query; logs what an approximate engine misses.

    A document that has the id of its query is kept, as evaluation keeps it unless it is told not
    to, and counted in the log.
    """
    hits = engine.search(queries.vectors, k)
    if engine.approximate:
        found = recall(queries.vectors, hits, documents, min(k, documents.manifest.count))
        said = ", ".join(f"recall@{n} {value:.4f}" for n, value in found.items())
        _log.info("%s against exact search of the same vectors: %s.", engine.name, said)
    ids = np.array([query_id.encode() for query_id in queries.ids])
    own = int((hits.doc_ids == ids[:, None]).any(axis=1).sum())
    if own:
        _log.info(
            "%s of %s queries found a document with their own id. It stays in the run; "
            "'t5rank evaluate --ignore_identical_ids' leaves it out, as BEIR does.",
            f"{own:,}",
            f"{len(ids):,}",
        )
    return hits


def write_run(file: TextIO, query_ids: Sequence[str], hits: Hits, tag: str) -> int:
    """Writes a TREC run; returns how many documents."""
    written = 0
    for number, query_id in enumerate(query_ids):
        scored = hits.run(number)
        file.writelines(trec.run_lines({query_id: scored}, tag))
        written += len(scored)
    return written
