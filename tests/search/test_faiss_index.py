"""Indexes of faiss: kept, refused where they do not fit, and their recall said truly."""

import logging
import shutil

import numpy as np
import pytest

from t5rank.search.engines import ExactEngine, recall
from t5rank.search.faiss_index import FaissEngine
from t5rank.search.runs import search, stored_queries

faiss = pytest.importorskip("faiss")


@pytest.fixture
def documents(vector_folder):
    return vector_folder(400)


@pytest.fixture
def queries(vector_folder):
    return vector_folder(30, "queries", "query", seed=1)


def test_a_flat_index_finds_what_exact_search_finds(documents, queries):
    exact = ExactEngine(documents).search(queries.matrix(), 20)
    found = FaissEngine(documents, "Flat").search(queries.matrix(), 20)
    assert found.doc_ids.tolist() == exact.doc_ids.tolist()
    np.testing.assert_allclose(found.scores, exact.scores, atol=1e-6)


def test_the_recall_that_is_said_is_that_of_all_lists(documents, queries, caplog):
    engine = FaissEngine(documents, "IVF8,Flat", "nprobe=1")
    with caplog.at_level(logging.INFO, "t5rank"):
        hits = search(engine, stored_queries(queries, documents), documents, 20)
    best = ExactEngine(documents).search(queries.matrix(), 20)
    shares = {
        n: np.mean([len({*hits.doc_ids[i, :n]} & {*best.doc_ids[i, :n]}) / n for i in range(30)])
        for n in (10, 20)
    }
    assert 0.1 < shares[20] < 0.9
    said = f"recall@10 {shares[10]:.4f}, recall@20 {shares[20]:.4f}"
    assert f"faiss 'IVF8,Flat' with nprobe=1 against exact search of the same vectors: {said}" in (
        caplog.text
    )
    every = FaissEngine(documents, "IVF8,Flat", "nprobe=8").search(queries.matrix(), 20)
    assert recall(queries.matrix(), every, documents, 20) == {10: 1, 20: 1}


def test_an_index_is_kept_for_as_long_as_the_vectors_are_the_same(documents, vector_folder):
    FaissEngine(documents, "HNSW8")
    file = documents.path / "indexes/HNSW8.faiss"
    before = file.stat().st_mtime_ns
    FaissEngine(documents, "HNSW8", "efSearch=32")
    assert file.stat().st_mtime_ns == before
    other = vector_folder(400, "other", seed=2)
    for new in other.path.glob("*-of-*"):
        shutil.copy(new, documents.path)
    engine = FaissEngine(documents, "HNSW8")
    assert file.stat().st_mtime_ns != before
    np.testing.assert_allclose(
        engine.search(other.matrix()[:3], 1).scores, np.ones((3, 1)), atol=1e-5
    )


REFUSED = {
    "IVF32,Flat": "32 centroids of 400 vectors; expected 39 .*, 1,248. Take IVF10 or fewer lists",
    "OPQ4,IVF4,PQ4": "256 centroids of 400 vectors; .*Take codes of 3 bits, as PQ8x3 has",
    "IVF,PQQ": "is none of faiss for 16 dimensions .*; expected a factory string",
}


@pytest.mark.parametrize("factory", REFUSED)
def test_an_index_that_cannot_be_is_refused_with_one_that_can(documents, factory):
    with pytest.raises(ValueError, match=REFUSED[factory]):
        FaissEngine(documents, factory)


def test_an_unknown_parameter_is_named(documents):
    with pytest.raises(ValueError, match=r"no parameter 'nprobes=3' for faiss .*; expected NAME"):
        FaissEngine(documents, "IVF8,Flat", "nprobes=3")


def test_lists_with_too_few_documents_leave_no_document_without_an_id(documents, queries, caplog):
    with caplog.at_level(logging.WARNING, "t5rank"):
        hits = FaissEngine(documents, "IVF8,Flat").search(queries.matrix(), 300)
    assert "found fewer than 300 documents for 30 of 30 queries" in caplog.text
    assert all(doc_id and np.isfinite(score) for doc_id, score in hits.run(0).items())
