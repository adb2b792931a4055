import jax
import numpy as np
import pytest

from t5rank.metrics import bpref_metric, opa_metric

INF = float("inf")


def pairs_in_order(scores, labels, weights, topn):
    """OPA by its definition."""
    ranks = np.argsort(np.argsort(-scores, kind="stable")) + 1
    right = total = 0.0
    for i, j in np.ndindex(len(scores), len(scores)):
        if labels[i] > labels[j] and min(ranks[i], ranks[j]) <= (topn or np.inf):
            total += weights[i]
            right += weights[i] * (ranks[i] < ranks[j])
    return right / total if total else 0.0


@pytest.mark.parametrize("topn", [None, 1, 3])
def test_opa_is_the_share_of_pairs_in_order(topn):
    rng = np.random.default_rng(0)
    scores, labels = rng.permutation(10 * 7).reshape(10, 7) / 9, rng.integers(0, 4, (10, 7))
    weights = rng.uniform(0.5, 2.0, (10, 7))
    rows = zip(scores, labels, weights, strict=True)
    expected = [pairs_in_order(*row, topn) for row in rows]
    ours = opa_metric(scores, labels, weights=weights, topn=topn, reduce_fn=None)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("ties", "expected"),
    [("order", 2 / 3), ("average", 1.5 / 3), ("pessimistic", 1 / 3), ("optimistic", 2 / 3)],
)
def test_tied_pairs_of_opa(ties, expected):
    scores, labels = np.array([3.0, 1.0, 1.0]), np.array([1, 2, 0])  # right, tied, wrong
    assert opa_metric(scores, labels, ties=ties) == pytest.approx(expected)


def test_opa_counts_pairs_without_all_pairs_in_memory():
    size = 2000
    labels = np.arange(size) % 3
    compiled = jax.jit(opa_metric).lower(np.zeros(size), labels).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 100 * 4 * size


def test_bpref_counts_judged_irrelevant_documents_above():
    scores = np.array([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    labels = np.array([0, -1, 1, 0, 0, 1])
    assert bpref_metric(scores, labels) == pytest.approx(((1 - 1 / 2) + (1 - 2 / 2)) / 2)


def test_bpref_without_irrelevant_documents_is_the_share_retrieved():
    assert bpref_metric(np.array([2.0, 1.0, -INF]), np.array([1, -1, 1])) == 1 / 2
