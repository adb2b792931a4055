"""Losses, lambda weights and metrics of gains that are more, or less, than a float32 holds.

The expected values come from Python's fractions, which hold every gain.
"""

import functools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import losses, metrics
from t5rank.losses import transformations as t
from t5rank.metrics.gains import exponential_gain, linear_gain

SCORES = np.array([0.3, -0.2, 0.9, 0.1], np.float32)
LARGEST = float(np.finfo(np.float32).max)
LABELS = {
    "125": [0, 125, 126, 1],
    "128": [128, 3, 0, 129],
    "1000": [999, 0, 1000, 900],
    "halves": [200.5, 0, 203.25, 199],
    "largest": [LARGEST, 0, LARGEST, 1e38],
    "small": [1e-8, 0, 3e-8, 2e-8],
    "least": [1e-30, 0, 3e-30, 2e-30],
    "usual": [0, 3, 1, 2],
}


def logistic(lambdaweight):
    def loss(scores, labels, gain_fn=exponential_gain, **kwargs):
        weight = lambdaweight(gain_fn=gain_fn)
        return losses.pairwise_logistic_loss(scores, labels, lambdaweight_fn=weight, **kwargs)

    return loss


def lambdaweight(function, **options):
    return logistic(functools.partial(function, **options))


# A common factor of all gains does not change these.
QUOTIENTS = {
    "ndcg": metrics.ndcg_metric,
    "approx ndcg": t.approx_t12n(metrics.ndcg_metric),
    "bound ndcg@2": t.bound_t12n(functools.partial(metrics.ndcg_metric, topn=2)),
    "gumbel ndcg": functools.partial(
        t.gumbel_t12n(t.approx_t12n(metrics.ndcg_metric), samples=2), key=jax.random.key(0)
    ),
    "neural ndcg": losses.neural_ndcg_loss,
    "dcg": lambdaweight(losses.dcg_lambdaweight, normalize=True),
    "dcg@2": lambdaweight(losses.dcg_lambdaweight, normalize=True, topn=2, smooth_fraction=0.5),
    "dcg2": lambdaweight(losses.dcg2_lambdaweight, normalize=True),
    "ndcg2pp": lambdaweight(losses.ndcg2pp_lambdaweight),
}
# These grow with the gains.
SUMS = {
    "dcg": metrics.dcg_metric,
    "approx dcg": t.approx_t12n(metrics.dcg_metric),
    "unique": losses.unique_softmax_loss,
    "lambda dcg": lambdaweight(losses.dcg_lambdaweight),
    "lambda dcg2": lambdaweight(losses.dcg2_lambdaweight),
}


def gains(labels):
    """2^label - 1 divided by the largest gain, for labels that are multiples of 1/4."""
    top = max(labels)

    def gain(label):
        if max(label, top) < 1e-3:  # 2^x - 1 is nearly x log 2
            return label / top
        whole = {fourth: Fraction(2 ** (fourth / 4)) for fourth in range(4)}
        power = lambda x: whole[int(x * 4) % 4] * Fraction(2) ** max(math.floor(x), -2000)  # noqa: E731
        return float(power(label - top) - power(-top))

    return np.array([gain(label) for label in labels], np.float32)


@functools.cache
def compiled(function, gain_fn=None):
    """The value, summed over pairs if there are any, and its gradient; compiled once."""
    options = {"reduce_fn": jnp.sum} | ({} if gain_fn is None else {"gain_fn": gain_fn})
    return jax.jit(jax.value_and_grad(functools.partial(function, **options)))


def assert_close(ours, expected):
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", QUOTIENTS)
def test_quotients_are_those_of_exact_gains(name, labels):
    exact = gains(LABELS[labels])
    expected = compiled(QUOTIENTS[name], linear_gain)(SCORES, exact)
    assert expected[0] != 0
    ours = compiled(QUOTIENTS[name])(SCORES, np.array(LABELS[labels], np.float32))
    assert_close(ours, expected)


@pytest.mark.parametrize("labels", LABELS)
def test_xendcg_is_cross_entropy_with_exact_gains(labels):
    shares = gains(LABELS[labels]).astype(np.float64)
    shares /= shares.sum()
    softmax = np.exp(SCORES) / np.exp(SCORES).sum()
    ours = compiled(losses.xendcg_loss)(SCORES, np.array(LABELS[labels], np.float32))
    assert_close(ours, (-np.sum(shares * np.log(softmax)), softmax - shares))


@pytest.mark.parametrize(
    ("name", "expected"), [("xendcg", 1.213), ("ndcg2pp", 0.630), ("dcg", 0.282)]
)
def test_values_in_exact_arithmetic(name, expected):
    function = losses.xendcg_loss if name == "xendcg" else QUOTIENTS[name]
    value = jax.jit(function)(SCORES, np.array([0.0, 125, 126, 1]))
    assert float(value) == pytest.approx(expected, abs=5e-4)


ALL = QUOTIENTS | {"xendcg": losses.xendcg_loss}
PLAIN = {name: ALL[name] for name in ("ndcg", "neural ndcg", "dcg2", "xendcg")}


@pytest.mark.parametrize("name", PLAIN)
def test_large_labels_of_other_lists_and_of_no_document_change_nothing(name):
    """Padded and flat."""
    scores = np.stack([SCORES, SCORES])
    labels = np.array([[0, 125, 126, 900], [2, 1, 800, 0]], np.float32)
    where = np.array([[1, 1, 1, 0], [1, 1, 0, 1]])

    @jax.jit
    def values(scores, labels):
        call = functools.partial(PLAIN[name], reduce_fn=jnp.sum)
        flat = {"segments": np.repeat([3, 1], 4), "where": where.reshape(-1)}
        return (
            call(scores, labels, where=where),
            call(scores.reshape(-1), labels.reshape(-1), **flat),
            call(scores[0, :3], labels[0, :3]) + call(*(x[1, [0, 1, 3]] for x in (scores, labels))),
        )

    padded, flat, apart = values(scores, labels)
    np.testing.assert_allclose([padded, flat], [apart, apart], rtol=1e-5)


@pytest.mark.parametrize("name", PLAIN)
def test_weight_0_at_the_largest_label_leaves_the_others(name):
    call = jax.jit(functools.partial(PLAIN[name], weights=np.array([1.0, 1, 0, 1])))
    values = [call(SCORES, np.array([0.0, 2, label, 1])) for label in (3, 500)]
    assert values[1] == pytest.approx(float(values[0])) != 0


@pytest.mark.parametrize("name", SUMS)
def test_sums_that_overflow_are_infinite(name):
    value, _ = compiled(SUMS[name])(SCORES, np.array([0.0, 200, 300, 1]))
    assert abs(value) == np.inf


@pytest.mark.parametrize("name", SUMS)
def test_sums_that_a_float32_holds_are_exact(name):
    large, _ = compiled(SUMS[name])(SCORES, np.array([0.0, 119, 120, 90]))
    small, _ = compiled(SUMS[name])(SCORES, np.array([0.0, 59, 60, 30]))
    np.testing.assert_allclose(large, small * 2.0**60, rtol=1e-5)


def test_gain_beyond_the_cut_does_not_overflow():
    assert metrics.dcg_metric(SCORES, np.array([1.0, 500, 2, 0]), topn=1) == 2**2 - 1


@pytest.mark.parametrize("lambdaweight_fn", [losses.dcg_lambdaweight, losses.dcg2_lambdaweight])
def test_infinite_weights_are_between_different_labels_only(lambdaweight_fn):
    weights = jax.jit(lambdaweight_fn())(SCORES, np.array([300.0, 300, 200, 1]))
    different = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]])
    np.testing.assert_array_equal(weights, np.where(different, np.inf, 0.0))


def test_pair_without_loss_has_none_under_an_infinite_weight():
    loss = functools.partial(losses.pairwise_hinge_loss, lambdaweight_fn=losses.dcg_lambdaweight())
    scores, labels = jnp.array([5.0, 0.0]), jnp.array([200.0, 0.0])
    value, gradient = compiled(loss)(scores, labels)
    assert (float(value), gradient.tolist()) == (0.0, [0.0, 0.0])


@pytest.mark.parametrize("scale", [100.0, 127.0, 200.0, 1e4])
def test_err_of_a_wide_scale(scale):
    labels = np.array([scale, scale - 1.0])
    # Half of the readers stop at the first document, all others at the second.
    value = metrics.err_metric(np.array([1.0, 2.0]), labels, largest_label=scale)
    assert value == pytest.approx(0.5 + 0.5 / 2)


def test_arp_and_shares_of_the_largest_labels():
    labels = np.array([LARGEST, LARGEST, 0.0, LARGEST], np.float32)
    assert metrics.arp_metric(SCORES, labels) == pytest.approx((2 + 4 + 3) / 3)
    shares = losses.normalize_probabilities(labels)
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, 0, 1 / 3], rtol=1e-6)
    poly1 = losses.poly1_softmax_loss(SCORES, labels / 64)
    assert np.isfinite(poly1)  # the sum of the labels would not be


def test_large_gains_of_ones_own():
    labels, own = np.array([0.0, 80, 79, 1]), lambda label: 3.0**label
    expected = (1 / math.log2(2) + 3 / math.log2(5)) / (3 / math.log2(2) + 1 / math.log2(3))
    assert metrics.ndcg_metric(SCORES, labels, gain_fn=own) == pytest.approx(expected)
    assert np.isnan(metrics.ndcg_metric(SCORES, labels + 10, gain_fn=own))


def test_subtopic_labels_that_overflow_in_sum_are_labels():
    labels = np.full((2, 2), LARGEST, np.float32)
    assert metrics.alpha_dcg_metric(np.array([0.0, -np.inf]), labels) == 2.0
