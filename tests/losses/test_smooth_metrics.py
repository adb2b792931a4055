"""Metrics with smooth ranks and cutoffs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_batch import INF, NAN, assert_garbage_changes_nothing, batch, compiled

from t5rank import metrics
from t5rank.losses.transformations import approx_t12n, bound_t12n, gumbel_t12n
from t5rank.metrics.gains import linear_gain

CUT_ONLY = [
    functools.partial(metric, topn=2)
    for metric in (
        metrics.precision_metric,
        metrics.recall_metric,
        metrics.hits_metric,
    )
]
WITH_RANKS = [
    metrics.ndcg_metric,
    functools.partial(metrics.ndcg_metric, topn=3),
    functools.partial(metrics.dcg_metric, gain_fn=linear_gain),
    metrics.mrr_metric,
    functools.partial(metrics.mrr_metric, topn=2),
    metrics.ap_metric,
    functools.partial(metrics.ap_metric, topn=2, denominator="capped"),
    metrics.err_metric,
    *CUT_ONLY,
]
WITHOUT_CUT = [metric for metric in WITH_RANKS if "topn" not in getattr(metric, "keywords", {})]
SMOOTH = [approx_t12n, bound_t12n]


def name(metric):
    if not isinstance(metric, functools.partial):
        return metric.__name__
    return metric.func.__name__ + "".join(f"-{key}" for key in metric.keywords)


every_metric = pytest.mark.parametrize("metric", WITH_RANKS, ids=name)
smooth = pytest.mark.parametrize("transformation", SMOOTH)


@functools.cache
def smoothed(transformation, metric):
    """One object for each, so that it is compiled once."""
    return transformation(metric)


@functools.cache
def values(function, **options):
    """The value of each list, compiled."""
    return jax.jit(functools.partial(function, reduce_fn=None, **options))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


STEPS = {
    approx_t12n: (sigmoid, sigmoid),
    bound_t12n: (lambda x: np.maximum(x + 1, 0), lambda x: 1 - np.maximum(1 - x, 0)),
}


def smooth_ranks(step, scores):
    """1 + the sum over all others of the step of their difference."""
    pairs = step(scores[None, :] - scores[:, None])
    return 1 + pairs.sum(1) - np.diag(pairs)


def smooth_cut(step, ranks, topn):
    """The step of the difference to halfway between the ranks at topn and topn + 1."""
    if topn is None or topn >= len(ranks):
        return np.ones(len(ranks))
    ordered = np.sort(ranks)
    return step((ordered[topn - 1] + ordered[topn]) / 2 - ranks)


FORMULAS = {
    metrics.ndcg_metric: lambda y, r, cut, k: (
        np.sum((2**y - 1) / np.log2(1 + r) * cut)
        / np.sum(np.sort(2**y - 1)[::-1][:k] / np.log2(np.arange(len(y[:k])) + 2))
    ),
    metrics.mrr_metric: lambda y, r, cut, k: max(0, np.max((y >= 1) * cut / r)),
    metrics.recall_metric: lambda y, r, cut, k: np.sum((y >= 1) * cut) / np.sum(y >= 1),
    metrics.precision_metric: lambda y, r, cut, k: np.sum((y >= 1) * cut) / min(k, len(y)),
    metrics.ap_metric: lambda y, r, cut, k: (
        sum((y[i] >= 1) * cut[i] * np.sum(y[r <= r[i]] >= 1) / r[i] for i in range(len(y)))
        / np.sum(y >= 1)
    ),
}


@pytest.mark.parametrize("topn", [2, 4, None])  # 4 is more than some lists have
@pytest.mark.parametrize("metric", FORMULAS, ids=lambda m: m.__name__)
@smooth
def test_equals_the_formula(transformation, metric, topn):
    """These are Rax's formulas, but for precision, which Rax divides by the sum of the cutoffs."""
    if topn is None and metric in (metrics.recall_metric, metrics.precision_metric):
        return
    scores, labels, where = batch(lists=6)
    labels[:, 1] = 1.0
    rank_step, cut_step = STEPS[transformation]
    found = values(smoothed(transformation, metric), topn=topn)(scores, labels, where=where)
    for i in range(len(scores) - 1):
        s, y = scores[i][where[i]], labels[i][where[i]]
        ranks = smooth_ranks(rank_step, s)
        expected = FORMULAS[metric](y, ranks, smooth_cut(cut_step, ranks, topn), topn)
        assert found[i] == pytest.approx(-expected, rel=1e-5)


@every_metric
@smooth
def test_gradient_is_that_of_finite_differences(transformation, metric):
    scores, labels, where = batch()
    function = compiled(smoothed(transformation, metric))
    _, gradient = function(scores, labels, where)
    is_cut = metric not in WITHOUT_CUT
    if transformation is approx_t12n and not is_cut:  # the bound has corners, a cut is held fixed
        direction = np.random.default_rng(0).normal(size=scores.shape).astype(np.float32)
        ahead, behind = (
            float(function(scores + np.float32(e) * direction, labels, where)[0])
            for e in (3e-3, -3e-3)
        )
        expected = (ahead - behind) / 6e-3
        assert np.sum(gradient * direction) == pytest.approx(expected, rel=2e-3, abs=1e-4)
    assert np.all(np.isfinite(gradient))
    assert np.any(gradient)
    assert not np.any(gradient[~where])


@every_metric
def test_at_a_low_temperature_it_is_the_metric(metric):
    scores, labels, where = batch()
    ours = values(approx_t12n(metric, 0.01))(scores, labels, where=where)
    expected = values(metric)(scores, labels, where=where)
    np.testing.assert_allclose(-ours, expected, atol=1e-5)


@every_metric
def test_bound_is_not_above_the_metric(metric):
    for scale in (0.3, 3.0):
        scores, labels, where = batch(lists=30)
        scores *= np.float32(scale)
        scores[:10] = np.round(scores[:10])  # with ties
        bound = -values(smoothed(bound_t12n, metric))(scores, labels, where=where)
        assert np.all(bound <= values(metric)(scores, labels, where=where) + 1e-6)


def test_approximate_average_precision_is_not_above_one():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(500, 6)) * 10 ** rng.uniform(-2, 1, (500, 1))
    scores[::2] = np.round(scores[::2])  # with ties
    labels = rng.uniform(size=scores.shape) < 0.7
    values = approx_t12n(metrics.ap_metric)(scores, labels, reduce_fn=None)
    assert -np.min(values) <= 1.0 + 1e-6
    assert approx_t12n(metrics.ap_metric)(np.zeros(5), np.ones(5)) == pytest.approx(-1.0)


@every_metric
@smooth
def test_garbage_in_masked_slots_changes_nothing(transformation, metric):
    for garbage in (NAN, INF, -INF, 1e30, -1e30):
        assert_garbage_changes_nothing(smoothed(transformation, metric), garbage)


# Those with a cut are in tests/test_losses_and_metrics.py.
@pytest.mark.parametrize("metric", WITHOUT_CUT, ids=name)
@smooth
def test_flat_lists_give_the_same(transformation, metric):
    scores, labels, where = batch()
    value, gradient = compiled(smoothed(transformation, metric))(scores, labels, where)
    segments = np.repeat([2, 0, 1, 3], 6)
    flat = functools.partial(smoothed(transformation, metric), segments=segments)
    ours, flat_gradient = compiled(flat)(*(array.reshape(-1) for array in (scores, labels, where)))
    assert ours == pytest.approx(float(value), rel=1e-5)
    np.testing.assert_allclose(flat_gradient.reshape(4, 6), gradient, rtol=1e-4, atol=1e-7)


def with_a_document_that_was_not_retrieved():
    """In the slot 3 of the first list."""
    scores, labels, where = batch()
    scores[0, :4], labels[0, :4] = [2.0, 3.0, 1.0, -INF], [1, 0, 2, 3]
    where[0] = np.arange(6) < 4
    return scores, labels, where


@every_metric
@smooth
def test_document_that_was_not_retrieved_has_no_rank(transformation, metric):
    arrays = with_a_document_that_was_not_retrieved()
    value, gradient = compiled(smoothed(transformation, metric))(*arrays)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    assert gradient[0, 3] == 0.0


@smooth
def test_document_that_was_not_retrieved_gains_nothing(transformation):
    scores, labels, where = with_a_document_that_was_not_retrieved()
    dcg = compiled(smoothed(transformation, metrics.dcg_metric))
    without = where.copy()
    without[0, 3] = False
    for one, other in zip(dcg(scores, labels, where), dcg(scores, labels, without), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@smooth
def test_nan_score_is_not_hidden(transformation):
    assert np.isnan(transformation(metrics.ndcg_metric)(np.array([NAN, 1.0]), np.array([0, 1])))


@smooth
@pytest.mark.parametrize("metric", [metrics.opa_metric, metrics.bpref_metric, metrics.arp_metric])
def test_metric_without_a_gradient_is_an_error(transformation, metric):
    with pytest.raises(ValueError, match=f"'{metric.__name__}' takes neither 'rank_fn' nor"):
        transformation(metric)


@smooth
@pytest.mark.parametrize("metric", [partial.func for partial in CUT_ONLY], ids=name)
def test_cut_metric_without_a_cut_is_an_error(transformation, metric):
    with pytest.raises(ValueError, match="'topn' has None; expected a number"):
        transformation(metric)(np.ones(2), np.ones(2))


def test_temperature_and_samples_are_positive():
    with pytest.raises(ValueError, match="'temperature' has 0; expected a number above 0"):
        approx_t12n(metrics.ndcg_metric, 0)
    with pytest.raises(ValueError, match="'samples' has 0; expected a number of at least 1"):
        gumbel_t12n(metrics.ndcg_metric, samples=0)


def user_metric(
    scores, labels, *, where=None, segments=None, key=None, reduce_fn=jnp.mean, rank_fn, cutoff_fn
):
    """A metric of one's own, with the functions called as Rax calls them."""
    ranks = rank_fn(scores, where=where, segments=segments, key=key)
    inside = cutoff_fn(-ranks, segments=segments, n=2)
    values = jnp.sum(labels * inside / ranks, axis=-1)
    return reduce_fn(values, where=jnp.any(where, axis=-1))


@pytest.mark.parametrize("garbage", [NAN, 1e30])
@smooth
def test_metric_of_ones_own(transformation, garbage):
    scores, labels, where = batch()
    where = where & (np.arange(6) < 2) | (np.arange(6) < 3)  # no fewer than the cut
    function = compiled(smoothed(transformation, user_metric))
    value, gradient = function(scores, labels, where)
    assert np.isfinite(value)
    assert np.any(gradient)
    spoiled = [np.where(where, array, np.float32(garbage)) for array in (scores, labels)]
    assert function(*spoiled, where)[0] == value


def test_metric_without_a_mask():
    def metric(scores, labels, *, rank_fn):
        return jnp.sum(labels / rank_fn(scores))

    assert approx_t12n(metric)(np.zeros(2), np.array([1, 0])) == pytest.approx(-1 / 1.5)


def test_mask_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match=r"'labels' has shape \(3,\); expected that of 'where'"):
        approx_t12n(user_metric)(np.ones(2), np.ones(3), where=np.ones(2))


def test_rank_function_of_ones_own():
    def doubled(scores, *, where, segments, key):
        return 2.0 * smooth_ranks_of(scores)

    def smooth_ranks_of(scores):
        return 1.0 + jnp.sum(scores[..., None, :] > scores[..., :, None], axis=-1)

    scores, labels = np.array([1.0, 3.0, 2.0]), np.array([1, 0, 0])
    assert metrics.mrr_metric(scores, labels, rank_fn=doubled) == pytest.approx(1 / 6)


def test_memory_does_not_hold_all_pairs():
    size = 4096
    scores, labels = jnp.zeros(size), jnp.arange(size) % 5
    loss_fn = jax.jit(jax.value_and_grad(approx_t12n(metrics.ndcg_metric)))
    temporary = loss_fn.lower(scores, labels).compile().memory_analysis().temp_size_in_bytes
    assert temporary < 4 * size**2 / 2
