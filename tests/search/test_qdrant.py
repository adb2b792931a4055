"""Qdrant in its local mode: the same documents, resumable, and no other vectors mixed in."""

import numpy as np
import pytest

from t5rank.search import qdrant
from t5rank.search.engines import ExactEngine
from t5rank.search.qdrant import QdrantEngine

qdrant_client = pytest.importorskip("qdrant_client")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(qdrant, "BATCH", 16)


@pytest.fixture
def engine():
    return QdrantEngine(qdrant_client.QdrantClient(":memory:"), "docs")


def test_it_finds_what_exact_search_finds(vector_folder, engine):
    documents, queries = vector_folder(50), vector_folder(20, "queries", "query", 1).matrix()
    assert engine.upload(documents) == 50
    found, exact = engine.search(queries, 7), ExactEngine(documents).search(queries, 7)
    assert found.doc_ids.tolist() == exact.doc_ids.tolist()
    np.testing.assert_allclose(found.scores, exact.scores, atol=1e-5)


def test_an_interrupted_upload_goes_on_with_the_batch_that_it_was_in(
    vector_folder, engine, monkeypatch
):
    documents = vector_folder(50)
    real, calls = engine._upsert, []

    def half_of_the_third(start, block, ids):
        calls.append(start)
        if len(calls) == 3:
            real(start, block[:5], ids[:5])
            raise KeyboardInterrupt
        real(start, block, ids)

    monkeypatch.setattr(engine, "_upsert", half_of_the_third)
    with pytest.raises(KeyboardInterrupt):
        engine.upload(documents)
    assert engine.upload(documents) == 18 and calls == [0, 16, 32, 32, 48]
    found = engine.search(documents.matrix(), 1)
    assert found.doc_ids[:, 0].tolist() == documents.all_ids.tolist()
    assert engine.upload(documents) == 0


def test_a_collection_of_other_vectors_is_refused(vector_folder, engine):
    engine.upload(vector_folder(20))
    with pytest.raises(ValueError, match=r"has other vectors, of 'm', step 1.*; expected those"):
        engine.upload(vector_folder(20, "other", seed=1))


def test_a_path_keeps_the_collection(vector_folder, tmp_path):
    target = f"path:{tmp_path / 'qdrant'}/docs"
    engine = QdrantEngine.open(target)
    engine.upload(vector_folder(16))
    engine._client.close()
    found = QdrantEngine.open(target).search(np.eye(16, dtype=np.float32)[:1], 3)
    assert len(found.run(0)) == 3


@pytest.mark.parametrize("target", ["docs", "ftp://host/docs", "http://host:1/", "path:docs"])
def test_what_is_no_target_is_refused(target):
    with pytest.raises(ValueError, match=f"'{target}' is none of Qdrant; expected http"):
        QdrantEngine.open(target)


def test_a_server_that_does_not_answer_is_named(vector_folder):
    engine = QdrantEngine.open("http://127.0.0.1:9/docs")
    with pytest.raises(OSError, match=r"Qdrant of 'http://127\.0\.0\.1:9/docs' does not answer"):
        engine.upload(vector_folder(4))
