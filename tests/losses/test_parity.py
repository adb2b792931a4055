"""Losses against other sources: Rax where it is right, formulas of TF-Ranking and of papers.

The formulas are written out with loops or whole matrices, in float64.
"""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rax

from t5rank import losses

RAX = {
    "softmax": (losses.softmax_loss, rax.softmax_loss),
    "poly1": (losses.poly1_softmax_loss, rax.poly1_softmax_loss),
    "unique": (losses.unique_softmax_loss, rax.unique_softmax_loss),
    "sigmoid": (losses.sigmoid_loss, rax.pointwise_sigmoid_loss),
    "mse": (losses.mse_loss, rax.pointwise_mse_loss),
    "hinge": (losses.pairwise_hinge_loss, rax.pairwise_hinge_loss),
    "logistic": (losses.pairwise_logistic_loss, rax.pairwise_logistic_loss),
    "soft": (losses.pairwise_soft_zero_one_loss, rax.pairwise_soft_zero_one_loss),
    "pair mse": (losses.pairwise_mse_loss, rax.pairwise_mse_loss),
    "quantile": (
        partial(losses.pairwise_quantile_loss, tau=0.3, squared=True),
        partial(rax.pairwise_qr_loss, tau=0.3, squared=True),
    ),
}
LAMBDAS = {
    "labeldiff": (losses.labeldiff_lambdaweight(), rax.labeldiff_lambdaweight),
    "dcg": (losses.dcg_lambdaweight(), rax.dcg_lambdaweight),
    "ndcg@3": (
        losses.dcg_lambdaweight(topn=3, normalize=True),
        partial(rax.dcg_lambdaweight, topn=3, normalize=True),
    ),
    "dcg2": (losses.dcg2_lambdaweight(), rax.dcg2_lambdaweight),
    "dcg2@3": (losses.dcg2_lambdaweight(topn=3), partial(rax.dcg2_lambdaweight, topn=3)),
    "light": (
        losses.dcg2_lambdaweight(light_discount=True),
        partial(rax.dcg2_lambdaweight, light_discount=True),
    ),
}


def batch(seed, lists=3, size=7):
    """Every list has a relevant document, because Rax's poly1 adds a constant without one."""
    rng = np.random.default_rng(seed)
    scores = rng.permutation(lists * size).reshape(lists, size) / 7.3 - 1.03
    labels = rng.integers(0, 4, (lists, size))
    labels[:, 0] = 3
    where = np.arange(size) < rng.integers(2, size + 1, (lists, 1))
    weights = rng.uniform(0.5, 2.0, (lists, size))
    arrays = (jnp.asarray(a, jnp.float32) for a in (scores, labels, weights))
    return *arrays, jnp.asarray(where)


def value_and_gradient(function, **options):
    """The compiled value and gradient of `(scores, labels, ...)`."""
    return jax.jit(jax.value_and_grad(partial(function, **options)))


@pytest.mark.parametrize(
    ("name", "reduce_fn"),
    [*((name, jnp.mean) for name in RAX), *((n, jnp.sum) for n in ("softmax", "sigmoid", "hinge"))],
)
def test_value_and_gradient_are_those_of_rax(name, reduce_fn):
    ours, theirs = (value_and_gradient(f, reduce_fn=reduce_fn) for f in RAX[name])
    for seed in range(3):
        scores, labels, weights, where = batch(seed)
        found = ours(scores, labels, where=where, weights=weights)
        expected = theirs(scores, labels, where=where, weights=weights)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LAMBDAS)
def test_lambda_weights_are_those_of_rax(name):
    scores, labels, _, _ = batch(0)  # Rax's weights grow with padding
    ours, theirs = (
        value_and_gradient(losses.pairwise_logistic_loss, lambdaweight_fn=w)(scores, labels)
        for w in LAMBDAS[name]
    )
    raxs = jax.jit(partial(rax.pairwise_logistic_loss, lambdaweight_fn=LAMBDAS[name][1]))
    np.testing.assert_allclose(ours[0], raxs(scores, labels), rtol=1e-5)
    for a, b in zip(ours, theirs, strict=True):  # a loss takes Rax's function, too
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_listmle_without_ties_is_that_of_rax():
    scores = batch(0)[0]
    labels = jnp.asarray(np.random.default_rng(1).permuted(np.arange(21.0).reshape(3, 7), axis=1))
    ours, theirs = (
        value_and_gradient(f)(scores, labels) for f in (losses.listmle_loss, rax.listmle_loss)
    )
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weights", ["mrr", "ap", "precision", "dcg"])
def test_lambda_weights_are_the_change_of_the_metric_by_brute_force(weights):
    from t5rank import metrics

    scores, labels, _, where = batch(4)
    labels = jnp.maximum(labels - 1, 0)
    weight, metric = {
        "mrr": (losses.mrr_lambdaweight(), metrics.mrr_metric),
        "ap": (losses.ap_lambdaweight(), metrics.ap_metric),
        "precision": (
            losses.precision_lambdaweight(topn=3),
            partial(metrics.precision_metric, topn=3, denominator="topn"),
        ),
        "dcg": (losses.dcg_lambdaweight(normalize=True), metrics.ndcg_metric),
    }[weights]
    ours = jax.jit(weight)(scores, labels, where=where)
    general = jax.jit(losses.metric_lambdaweight(metric))(scores, labels, where=where)
    metric = jax.jit(metric)
    scores, labels, where = (np.asarray(array) for array in (scores, labels, where))
    size = jnp.sum(where, axis=-1)[:, None, None] if weights == "dcg" else 1.0
    np.testing.assert_allclose(ours / jnp.maximum(size, 1), general, atol=1e-6)
    for row in range(3):
        for i, j in itertools.combinations(range(7), 2):
            if where[row, i] and where[row, j]:
                swapped = scores[row].copy()
                swapped[[i, j]] = swapped[[j, i]]
                values = [
                    float(metric(s, labels[row], where=where[row])) for s in (scores[row], swapped)
                ]
                assert general[row, i, j] == pytest.approx(abs(values[0] - values[1]), abs=1e-6)


def test_smooth_fraction_is_tf_rankings():
    """TF-Ranking mixes |D(r_i) - D(r_j)| with |D(|r_i - r_j|) - D(|r_i - r_j| + 1)|."""
    scores, labels = jnp.array([3.0, 1.0, 2.0]), jnp.array([0.0, 2.0, 1.0])
    discount = lambda r: 1 / np.log2(1 + r)  # noqa: E731
    ranks, gains = np.array([1, 3, 2]), 2.0 ** np.array([0, 2, 1]) - 1
    weight = losses.dcg_lambdaweight(smooth_fraction=0.25)(scores, labels)
    for i, j in itertools.permutations(range(3), 2):
        distance = abs(ranks[i] - ranks[j])
        smooth = discount(distance) - discount(distance + 1)
        change = 0.75 * abs(discount(ranks[i]) - discount(ranks[j])) + 0.25 * smooth
        assert weight[i, j] == pytest.approx(3 * abs(gains[i] - gains[j]) * change, rel=1e-5)


def neural_sort(scores, temperature):
    """The relaxed permutation, as in Grover et al. 2019, equation 5."""
    n = len(scores)
    distances = np.abs(scores[:, None] - scores[None]).sum(1)
    logits = ((n + 1 - 2 * np.arange(1, n + 1))[:, None] * scores - distances) / temperature
    unnormalized = np.exp(logits - logits.max(1, keepdims=True))
    return unnormalized / unnormalized.sum(1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_neural_sort_is_tf_rankings_cross_entropy(temperature):
    scores, labels, _, where = batch(2)
    call = partial(losses.neural_sort_loss, temperature=temperature, reduce_fn=None)
    ours = jax.jit(call)(scores, labels, where=where)
    for row in range(3):
        s, y = (np.asarray(x, float)[row][np.asarray(where[row])] for x in (scores, labels))
        target, permutation = neural_sort(y, temperature), neural_sort(s, temperature)
        expected = -np.sum(target * np.log(permutation)) / len(s)
        assert ours[row] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("iterations", [0, 1, 30])
def test_neural_ndcg_is_that_of_the_whole_matrix(iterations):
    """Without iterations it is TF-Ranking's PiRank loss."""
    scores, labels, _, where = batch(3)
    call = partial(losses.neural_ndcg_loss, sinkhorn_iterations=iterations, reduce_fn=None)
    ours = jax.jit(call)(scores, labels, where=where)
    for row in range(3):
        s, y = (np.asarray(x, float)[row][np.asarray(where[row])] for x in (scores, labels))
        matrix = neural_sort(s, 1.0)
        for _ in range(iterations):
            matrix = matrix / matrix.sum(0, keepdims=True)
            matrix = matrix / matrix.sum(1, keepdims=True)
        discounts = 1 / np.log2(1 + np.arange(1, len(s) + 1))
        ideal = np.sum(np.sort(2.0**y - 1)[::-1] * discounts)
        expected = -np.sum(discounts * (matrix @ (2.0**y - 1))) / ideal
        assert ours[row] == pytest.approx(expected, rel=1e-4)


def test_circle_loss_is_tf_rankings():
    rng = np.random.default_rng(0)
    scores, labels, weights = rng.uniform(size=6), rng.integers(0, 3, 6), rng.uniform(1, 2, 6)
    total = sum(
        weights[i]
        * np.exp(
            64 * max(0, 1.25 - scores[i]) * (0.75 - scores[i])
            + 64 * max(0, scores[j] + 0.25) * (scores[j] - 0.25)
        )
        for i, j in itertools.product(range(6), repeat=2)
        if labels[i] > labels[j]
    )
    ours = losses.circle_loss(jnp.asarray(scores), jnp.asarray(labels), weights=weights)
    assert ours == pytest.approx(np.log1p(total), rel=1e-5)


def test_ordinal_loss_is_tf_rankings_with_the_logits_of_the_thresholds():
    scores, labels, thresholds = np.array([0.3, -1.0, 2.0]), np.array([2.0, 0.0, 1.5]), [-0.5, 0.7]
    ours = losses.ordinal_loss(
        jnp.asarray(scores), jnp.asarray(labels), thresholds=thresholds, reduce_fn=None
    )
    targets = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 0.5]])  # with the fraction of label 1.5
    logits = scores[:, None] - np.array(thresholds)
    expected = targets * np.log1p(np.exp(-logits)) + (1 - targets) * np.log1p(np.exp(logits))
    np.testing.assert_allclose(ours, expected.sum(1), rtol=1e-5)


def test_calibrated_softmax_has_a_document_of_score_zero():
    scores, labels = jnp.array([1.0, -2.0]), jnp.array([1.0, 0.0])
    ours = losses.softmax_loss(scores, labels, virtual_label=0.5)
    expected = losses.softmax_loss(jnp.array([1.0, -2.0, 0.0]), jnp.array([1.0, 0.0, 0.5]))
    assert ours == pytest.approx(float(expected))


def test_adr_mse_is_the_formula():
    scores, labels = np.array([0.2, 1.5, -0.3]), np.array([3.0, 1.0, 2.0])
    ranks = np.array([1, 3, 2])
    total = 0.0
    for i in range(3):
        step = [1 / (1 + np.exp((scores[i] - scores[j]) / 0.5)) for j in range(3) if j != i]
        total += (1 + sum(step) - ranks[i]) ** 2 / np.log2(1 + ranks[i])
    ours = losses.adr_mse_loss(jnp.asarray(scores), jnp.asarray(labels), temperature=0.5)
    assert ours == pytest.approx(total / 3, rel=1e-5)
