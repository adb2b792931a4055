"""Exact search finds what a whole sort and faiss find, ties by descending id."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t5rank.data.trec import rank_documents
from t5rank.search import exact


def blocks(vectors, ids, rows):
    for start in range(0, len(ids), rows):
        yield vectors[start : start + rows], ids[start : start + rows]


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 12), st.integers(1, 17))
@settings(max_examples=60, deadline=None)
def test_every_block_size_gives_the_order_of_runs_with_many_ties(seed, count, k, rows):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (count, 3)).astype(np.float32)
    queries = rng.integers(-1, 2, (4, 3)).astype(np.float32)
    ids = rng.permutation([f"d{i}" for i in range(count)])
    hits = exact.search(queries, blocks(vectors, ids.astype(np.bytes_), rows), k)
    for number, query in enumerate(queries):
        scores = vectors @ query
        best = rank_documents(ids.tolist(), scores.tolist())[:k]
        assert hits.run(number) == {ids[i]: scores[i] for i in best}
        assert [*hits.run(number)] == [ids[i] for i in best]


def test_a_block_with_far_more_candidates_than_k_is_cut_rightly(monkeypatch):
    vectors, queries = normal(0, 500, 8), normal(1, 3, 8)
    ids = np.array([f"d{i:03}" for i in range(500)], np.bytes_)
    monkeypatch.setattr(exact, "BLOCK_BYTES", 4 * 250)  # one query at a time
    hits = exact.search(queries, blocks(vectors, ids, 250), 5)
    assert hits.doc_ids.tolist() == ids[np.argsort(-(queries @ vectors.T), axis=1)[:, :5]].tolist()


def test_the_same_as_the_flat_index_of_faiss():
    faiss = pytest.importorskip("faiss")
    vectors, queries = normal(0, 3000, 32), normal(1, 50, 32)
    index = faiss.IndexFlatIP(32)
    index.add(vectors)
    scores, numbers = index.search(queries, 100)
    ids = np.array([f"d{i}" for i in range(3000)], np.bytes_)
    hits = exact.search(queries, blocks(vectors, ids, 512), 100)
    np.testing.assert_allclose(hits.scores, scores, atol=1e-5)
    assert (hits.doc_ids == ids[numbers]).mean() > 0.999  # float32 sums in another order


def test_products_that_float32_does_not_hold_are_refused():
    huge = np.full((1, 2), 1e20, np.float32)
    with pytest.raises(ValueError, match=r"values up to 1e\+20.*expected products that float32"):
        exact.search(huge, [(huge, np.array([b"d"]))], 1)
