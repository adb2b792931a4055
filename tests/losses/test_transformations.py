import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import losses, metrics, ops
from t5rank.losses.transformations import approx_t12n, bound_t12n, gumbel_t12n, segment_t12n
from t5rank.metrics.gains import linear_gain

NAN, INF = float("nan"), float("inf")
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
SMOOTH = [approx_t12n, bound_t12n]


def name(metric):
    if not isinstance(metric, functools.partial):
        return metric.__name__
    return metric.func.__name__ + "".join(f"-{key}" for key in metric.keywords)


every_metric = pytest.mark.parametrize("metric", WITH_RANKS, ids=name)
smooth = pytest.mark.parametrize("transformation", SMOOTH)


def batch(seed=0, lists=4, size=6):
    """Scores without ties, graded labels, and a mask of lists of different sizes, one empty."""
    rng = np.random.default_rng(seed)
    scores = rng.permutation(lists * size).reshape(lists, size).astype(np.float32) / 7
    labels = rng.choice([0, 1, 2, 3], (lists, size), p=[0.5, 0.2, 0.2, 0.1]).astype(np.float32)
    where = np.arange(size) < rng.integers(3, size + 1, (lists, 1))
    where[-1] = False
    return scores, labels, where


def value_and_gradient(function, scores, labels, **kwargs):
    return jax.value_and_grad(lambda s: function(s, labels, **kwargs))(jnp.asarray(scores))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


STEPS = {
    approx_t12n: (sigmoid, sigmoid),
    bound_t12n: (lambda x: np.maximum(x + 1, 0), lambda x: 1 - np.maximum(1 - x, 0)),
}


def smooth_ranks(step, scores):
    """1 plus the sum over all other documents of a step of the score difference."""
    pairs = step(scores[None, :] - scores[:, None])
    return 1 + pairs.sum(1) - np.diag(pairs)


def smooth_cut(step, ranks, topn):
    """A step of the difference to the point halfway between the ranks at topn and topn + 1."""
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


@pytest.mark.parametrize("topn", [2, 4, 100, None])
@pytest.mark.parametrize("metric", FORMULAS, ids=lambda m: m.__name__)
@smooth
def test_equals_the_formula(transformation, metric, topn):
    """Rax has the same formulas, except that it divides precision by the sum of the cutoffs."""
    if topn is None and metric in (metrics.recall_metric, metrics.precision_metric):
        return
    scores, labels, where = batch(lists=6)
    labels[:, 1] = 1.0
    rank_step, cut_step = STEPS[transformation]
    values = transformation(metric)(scores, labels, where=where, topn=topn, reduce_fn=None)
    for i in range(len(scores) - 1):
        s, y = scores[i][where[i]], labels[i][where[i]]
        ranks = smooth_ranks(rank_step, s)
        expected = FORMULAS[metric](y, ranks, smooth_cut(cut_step, ranks, topn), topn)
        assert values[i] == pytest.approx(-expected, rel=1e-5)


@every_metric
@smooth
def test_gradient_is_that_of_finite_differences(transformation, metric):
    scores, labels, where = batch()
    loss_fn = functools.partial(transformation(metric), labels=labels, where=where)
    gradient = jax.grad(lambda s: loss_fn(s))(jnp.asarray(scores))
    if transformation is approx_t12n:  # the bound has corners, and its cut is held fixed
        topn = metric.keywords.get("topn") if isinstance(metric, functools.partial) else None
        if topn is None:
            direction = np.random.default_rng(0).normal(size=scores.shape).astype(np.float32)
            ahead, behind = (float(loss_fn(scores + e * direction)) for e in (3e-3, -3e-3))
            expected = (ahead - behind) / 6e-3
            assert np.sum(gradient * direction) == pytest.approx(expected, rel=2e-3, abs=1e-4)
    assert np.all(np.isfinite(gradient))
    assert np.any(gradient)
    assert not np.any(gradient[~where])


@every_metric
def test_at_a_low_temperature_it_is_the_metric(metric):
    scores, labels, where = batch()
    ours = approx_t12n(metric, 0.01)(scores, labels, where=where, reduce_fn=None)
    expected = metric(scores, labels, where=where, reduce_fn=None)
    np.testing.assert_allclose(-ours, expected, atol=1e-5)


@every_metric
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_bound_is_not_above_the_metric(metric, scale):
    scores, labels, where = batch(lists=30)
    scores *= scale
    scores[:10] = np.round(scores[:10])  # with ties
    bound = -bound_t12n(metric)(scores, labels, where=where, reduce_fn=None)
    assert np.all(bound <= metric(scores, labels, where=where, reduce_fn=None) + 1e-6)


def test_approximate_average_precision_is_not_above_one():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(500, 6)) * 10 ** rng.uniform(-2, 1, (500, 1))
    scores[::2] = np.round(scores[::2])  # with ties
    labels = rng.uniform(size=scores.shape) < 0.7
    values = approx_t12n(metrics.ap_metric)(scores, labels, reduce_fn=None)
    assert -np.min(values) <= 1.0 + 1e-6
    assert approx_t12n(metrics.ap_metric)(np.zeros(5), np.ones(5)) == pytest.approx(-1.0)


@pytest.mark.parametrize("garbage", [NAN, INF, -INF, 1e30, -1e30])
@every_metric
@smooth
def test_garbage_in_masked_slots_changes_nothing(transformation, metric, garbage):
    scores, labels, where = batch()
    spoiled = [np.where(where, array, np.float32(garbage)) for array in (scores, labels)]
    expected = value_and_gradient(transformation(metric), scores, labels, where=where)
    ours = value_and_gradient(transformation(metric), *spoiled, where=where)
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@every_metric
@smooth
def test_flat_lists_give_the_same(transformation, metric):
    scores, labels, where = batch()
    value, gradient = value_and_gradient(transformation(metric), scores, labels, where=where)
    flat = [array.reshape(-1) for array in (scores, labels)]
    kwargs = {"where": where.reshape(-1), "segments": np.repeat([2, 0, 1, 3], 6)}
    ours, flat_gradient = value_and_gradient(transformation(metric), *flat, **kwargs)
    assert ours == pytest.approx(float(value), rel=1e-5)
    np.testing.assert_allclose(flat_gradient.reshape(4, 6), gradient, rtol=1e-4, atol=1e-7)


@every_metric
@smooth
def test_document_that_was_not_retrieved_has_no_rank(transformation, metric):
    scores, labels = np.array([2.0, 3.0, 1.0, -INF]), np.array([1, 0, 2, 3])
    value, gradient = value_and_gradient(transformation(metric), scores, labels)
    shown = [np.append(scores[:3], 0.0), labels, np.array([True, True, True, False])]
    without = value_and_gradient(
        transformation(metrics.dcg_metric), shown[0], labels, where=shown[2]
    )
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    assert gradient[3] == 0.0
    dcg = value_and_gradient(transformation(metrics.dcg_metric), scores, labels)
    for one, other in zip(dcg, without, strict=True):
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
    """A user's metric, which calls the functions as Rax does."""
    ranks = rank_fn(scores, where=where, segments=segments, key=key)
    inside = cutoff_fn(-ranks, segments=segments, n=2)
    values = jnp.sum(labels * inside / ranks, axis=-1)
    return reduce_fn(values, where=jnp.any(where, axis=-1))


@pytest.mark.parametrize("garbage", [NAN, 1e30])
@smooth
def test_metric_of_ones_own(transformation, garbage):
    scores, labels, where = batch()
    where = where & (np.arange(6) < 2) | (np.arange(6) < 3)  # no fewer than the cut
    value, gradient = value_and_gradient(transformation(user_metric), scores, labels, where=where)
    assert np.isfinite(value)
    assert np.any(gradient)
    spoiled = np.where(where, scores, garbage), np.where(where, labels, garbage)
    ours, _ = value_and_gradient(transformation(user_metric), *spoiled, where=where)
    assert ours == value


def rax_like_loss(scores, labels, *, where=None, reduce_fn=jnp.mean):
    """A loss whose gradient is NaN if masked entries are NaN."""
    values = jnp.sum(jnp.where(where, jnp.exp(scores) * labels, 0.0), axis=-1)
    return values if reduce_fn is None else reduce_fn(values, where=jnp.any(where, axis=-1))


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(gumbel_t12n(rax_like_loss), key=jax.random.key(0)),
        functools.partial(segment_t12n(rax_like_loss), segments=np.zeros((4, 6), int)),
    ],
    ids=name,
)
@pytest.mark.parametrize("garbage", [NAN, INF, 1e30])
def test_garbage_reaches_no_function_of_ones_own(function, garbage):
    scores, labels, where = batch()
    spoiled = [np.where(where, array, np.float32(garbage)) for array in (scores, labels)]
    expected = value_and_gradient(function, scores, labels, where=where)
    ours = value_and_gradient(function, *spoiled, where=where)
    for one, other in zip(ours, expected, strict=True):
        assert np.all(np.isfinite(one))
        np.testing.assert_array_equal(one, other)


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


@pytest.mark.parametrize("samples", [1, 3])
def test_gumbel_averages_over_samples(samples):
    scores, labels, where = batch()
    seen = []

    def loss_fn(scores, labels, *, where, reduce_fn=jnp.mean):
        return losses.softmax_loss(scores, labels, where=where, reduce_fn=reduce_fn)

    key = jax.random.key(3)
    for sample in jax.random.split(key, samples):
        noise = jax.random.gumbel(jax.random.split(sample)[0], scores.shape)
        seen.append(loss_fn(scores + 0.5 * noise, labels, where=where))
    gumbel = gumbel_t12n(loss_fn, samples=samples, beta=0.5)
    assert gumbel(scores, labels, where=where, key=key) == pytest.approx(float(np.mean(seen)))


@pytest.mark.parametrize("reduce_fn", [None, jnp.sum, ops.sum_and_count])
def test_gumbel_keeps_the_shape_of_the_result(reduce_fn):
    scores, labels, where = batch()
    loss_fn = gumbel_t12n(losses.softmax_loss, beta=0.0)
    ours = loss_fn(scores, labels, where=where, reduce_fn=reduce_fn, key=jax.random.key(0))
    expected = losses.softmax_loss(scores, labels, where=where, reduce_fn=reduce_fn)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_gumbel_smoothing_is_that_of_tf_ranking():
    scores, labels = np.array([1.0, 0.0, 9.0]), np.array([1.0, 0.0, 0.0])
    where, factor = np.array([True, True, False]), 0.1
    share = np.exp([1.0, 0.0]) / np.sum(np.exp([1.0, 0.0]))
    first, second = np.log(share + factor)
    expected = np.log(1 + np.exp(second - first))
    loss_fn = gumbel_t12n(losses.softmax_loss, beta=0.0, smoothing_factor=factor)
    ours = loss_fn(scores, labels, where=where, key=jax.random.key(0))
    assert ours == pytest.approx(expected, rel=1e-5)


def test_gumbel_gives_a_function_that_takes_a_key_its_own():
    seen = []

    def loss_fn(scores, labels, *, key):
        seen.append(key)
        return jnp.sum(scores * jax.random.uniform(key, scores.shape))

    value = gumbel_t12n(loss_fn)(np.ones(3), np.ones(3), key=jax.random.key(0))
    assert seen
    assert np.isfinite(value)


def test_gumbel_needs_a_key():
    with pytest.raises(ValueError, match="'key' has None; expected a PRNG key"):
        gumbel_t12n(losses.softmax_loss)(np.ones(2), np.ones(2))


def test_gumbel_of_an_approximate_metric_has_a_gradient():
    scores, labels, where = batch()
    loss_fn = gumbel_t12n(approx_t12n(metrics.ndcg_metric))
    for garbage in (0.0, NAN, INF):
        spoiled = np.where(where, scores, garbage)
        _, gradient = value_and_gradient(
            loss_fn, spoiled, labels, where=where, key=jax.random.key(0)
        )
        assert np.all(np.isfinite(gradient))
        assert np.any(gradient)
        assert not np.any(gradient[~where])


def test_gumbel_keeps_one_sample_in_memory():
    def temporary(samples):
        loss_fn = gumbel_t12n(approx_t12n(metrics.ndcg_metric), samples=samples)
        step = jax.jit(jax.value_and_grad(lambda s: loss_fn(s, labels, key=jax.random.key(0))))
        return step.lower(labels).compile().memory_analysis().temp_size_in_bytes

    labels = jnp.arange(1000.0) % 3
    assert temporary(64) < 1.5 * temporary(2)


def test_function_that_takes_segments_is_returned_as_it_is():
    assert segment_t12n(losses.softmax_loss) is losses.softmax_loss
    approx = approx_t12n(metrics.ndcg_metric)
    assert segment_t12n(approx) is approx


def per_list(scores, labels, *, where=None, reduce_fn=jnp.mean):
    return losses.softmax_loss(scores, labels, where=where, reduce_fn=reduce_fn)


def per_document(scores, labels, *, where=None, reduce_fn=jnp.mean):
    return losses.sigmoid_loss(scores, labels, where=where, reduce_fn=reduce_fn)


@pytest.mark.parametrize("reduce_fn", [None, jnp.mean, jnp.sum, ops.sum_and_count])
@pytest.mark.parametrize(
    ("function", "segmented"),
    [(per_list, losses.softmax_loss), (per_document, losses.sigmoid_loss)],
)
def test_segments_of_a_function_without(function, segmented, reduce_fn):
    scores, labels, where = batch()
    segments = np.array([[4, 4, 1, 1, 1, 4]] * 4)
    ours = segment_t12n(function)(
        scores, labels, where=where, segments=segments, reduce_fn=reduce_fn
    )
    expected = segmented(scores, labels, where=where, segments=segments, reduce_fn=reduce_fn)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    without = segment_t12n(function)(scores, labels, where=where, reduce_fn=reduce_fn)
    np.testing.assert_array_equal(
        without, function(scores, labels, where=where, reduce_fn=reduce_fn)
    )


def test_segments_gradient_and_memory_of_a_function_without():
    size = 2000
    scores, labels = jnp.linspace(0, 1, size), jnp.arange(size) % 7 == 0
    segments = jnp.arange(size) // 10

    def loss(function):
        return jax.jit(jax.grad(lambda s: function(s, labels, segments=segments)))

    ours, expected = loss(segment_t12n(per_list)), loss(losses.softmax_loss)
    np.testing.assert_allclose(ours(scores), expected(scores), atol=1e-7)
    temporary = ours.lower(scores).compile().memory_analysis().temp_size_in_bytes
    assert temporary < 4 * size**2 / 10


def test_segments_of_pairs_are_an_error():
    def pairs(scores, labels, *, where, reduce_fn):
        return scores[..., None] - scores[..., None, :]

    with pytest.raises(ValueError, match=r"values have shape \(2, 2\); expected a value per list"):
        segment_t12n(pairs)(np.ones(2), np.ones(2), segments=np.zeros(2, int))


@pytest.mark.parametrize(
    ("transformation", "keyword"),
    [(approx_t12n, None), (bound_t12n, None), (gumbel_t12n, "key"), (segment_t12n, "segments")],
)
def test_signature_and_name_are_those_of_the_function(transformation, keyword):
    def my_metric(scores, labels, *, where=None, reduce_fn=jnp.mean, rank_fn=None):
        return 0.0

    made = transformation(my_metric)
    names = list(inspect.signature(my_metric).parameters) + ([keyword] if keyword else [])
    assert list(inspect.signature(made).parameters) == names
    assert made.__name__ == f"{transformation.__name__.removesuffix('_t12n')}_my_metric"
