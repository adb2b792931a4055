"""What holds for every loss and every metric. The oracle is Rax, where Rax is right."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rax
from hypothesis import given, settings
from hypothesis import strategies as st

from t5rank import losses, metrics, ops

LOSSES = [getattr(losses, name) for name in losses.__all__]
METRICS = [getattr(metrics, name) for name in metrics.__all__]
RAX = {
    "softmax_loss": rax.softmax_loss,
    "sigmoid_loss": rax.pointwise_sigmoid_loss,
    "ndcg_metric": rax.ndcg_metric,
    "mrr_metric": rax.mrr_metric,
}
NAN, INF = float("nan"), float("inf")

every = pytest.mark.parametrize("function", LOSSES + METRICS, ids=lambda f: f.__name__)
every_loss = pytest.mark.parametrize("function", LOSSES, ids=lambda f: f.__name__)
every_garbage = pytest.mark.parametrize("garbage", [NAN, INF, -INF, 1e30, -1e30])
every_reduction = pytest.mark.parametrize("reduce_fn", [None, jnp.mean, jnp.sum, ops.sum_and_count])


def batch(lists=5, size=6, seed=0):
    """Tie-free scores, 0/1 labels, and a mask that leaves lists of different sizes, one empty.

    No score is 0, where the gradient of Rax's pointwise_sigmoid_loss is off by 1.
    """
    rng = np.random.default_rng(seed)
    scores = (rng.permutation(lists * size).reshape(lists, size) - 10.5).astype(np.float32) / 7
    labels = (rng.uniform(size=(lists, size)) < 0.3).astype(np.float32)
    where = np.arange(size) < rng.integers(1, size + 1, (lists, 1))
    where[-1] = False
    return scores, labels, where


def value_and_gradient(function, scores, labels, **kwargs):
    return jax.value_and_grad(lambda s: function(s, labels, **kwargs))(jnp.asarray(scores))


def gradients(function):
    return function.__name__ in losses.__all__


@every
def test_signature_is_that_of_rax(function):
    parameters = list(inspect.signature(function).parameters.values())
    assert [p.name for p in parameters[:2]] == ["scores", "labels"]
    shared = {"where", "segments", "weights", "reduce_fn"}
    shared |= set() if gradients(function) else {"topn", "key"}
    keywords = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert shared <= keywords.keys()
    assert keywords["reduce_fn"] is jnp.mean


@settings(max_examples=10, deadline=None)
@given(data=st.data())
@every
def test_equals_rax(function, data):
    seed, weighted = data.draw(st.integers(0, 10**6)), data.draw(st.booleans())
    reduce_fn = data.draw(st.sampled_from([None, jnp.mean, jnp.sum]))
    scores, labels, where = batch(seed=seed)
    kwargs = {"where": jnp.asarray(where), "reduce_fn": reduce_fn}
    if weighted and function is not metrics.mrr_metric:  # Rax's has no weights
        weights = np.random.default_rng(seed).uniform(0.5, 2, scores.shape)
        kwargs["weights"] = jnp.asarray(weights, jnp.float32)
    expected = RAX[function.__name__](jnp.asarray(scores), jnp.asarray(labels), **kwargs)
    np.testing.assert_allclose(function(scores, labels, **kwargs), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@every_loss
def test_gradient_equals_that_of_rax(function, seed):
    scores, labels, where = (jnp.asarray(array) for array in batch(seed=seed))
    _, ours = value_and_gradient(function, scores, labels, where=where)
    _, expected = value_and_gradient(RAX[function.__name__], scores, labels, where=where)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("topn", [1, 2, 10])
@pytest.mark.parametrize("function", METRICS, ids=lambda f: f.__name__)
def test_cut_metric_equals_that_of_rax(function, topn):
    scores, labels, where = (jnp.asarray(array) for array in batch())
    ours = function(scores, labels, where=where, topn=topn, reduce_fn=None)
    expected = RAX[function.__name__](scores, labels, where=where, topn=topn, reduce_fn=None)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@every_garbage
@every_reduction
@every
def test_garbage_in_masked_slots_changes_no_value(function, reduce_fn, garbage):
    scores, labels, where = batch()
    weights = np.ones_like(scores)
    expected = function(scores, labels, where=where, weights=weights, reduce_fn=reduce_fn)
    spoiled = [np.where(where, array, garbage) for array in (scores, labels, weights)]
    ours = function(*spoiled[:2], where=where, weights=spoiled[2], reduce_fn=reduce_fn)
    np.testing.assert_array_equal(ours, expected)


@every_garbage
@every_loss
def test_garbage_in_masked_slots_changes_no_gradient(function, garbage):
    scores, labels, where = batch()
    _, expected = value_and_gradient(function, scores, labels, where=where)
    spoiled = [np.where(where, array, garbage) for array in (scores, labels)]
    _, ours = value_and_gradient(function, *spoiled, where=where)
    np.testing.assert_array_equal(ours, expected)
    assert not np.any(ours[~where])


@pytest.mark.parametrize("reduce_fn", [None, jnp.mean])
@every
def test_padding_changes_nothing(function, reduce_fn):
    # Compiled, as an eager call compiles every operation for every shape.
    function = jax.jit(functools.partial(function, reduce_fn=reduce_fn))
    scores, labels, where = batch(lists=4, size=3)
    expected = function(scores, labels, where=where)
    for slots in (6, 12):
        padding = ((0, 0), (0, slots - 3))
        padded = [np.pad(array, padding) for array in (scores, labels, where)]
        ours = function(*padded[:2], where=padded[2])
        if ours.ndim == 2:
            ours = ours[:, :3]
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
@every
def test_order_of_the_documents_changes_nothing(function, data):
    scores, labels, where = batch(seed=data.draw(st.integers(0, 10**6)))
    order = np.array(data.draw(st.permutations(range(scores.shape[1]))))
    expected = function(scores, labels, where=where, reduce_fn=None)
    ours = function(scores[:, order], labels[:, order], where=where[:, order], reduce_fn=None)
    if expected.ndim == 2:
        expected = expected[:, order]
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)


@every_loss
def test_gradient_moves_with_the_documents(function):
    scores, labels, where = batch()
    order = np.array([3, 1, 5, 0, 2, 4])
    _, expected = value_and_gradient(function, scores, labels, where=where)
    _, ours = value_and_gradient(
        function, scores[:, order], labels[:, order], where=where[:, order]
    )
    np.testing.assert_allclose(ours, expected[:, order], rtol=1e-5, atol=1e-7)


@every_reduction
@every
def test_compiled_equals_eager(function, reduce_fn):
    scores, labels, where = batch()

    def call(scores, labels, where):
        return function(scores, labels, where=where, reduce_fn=reduce_fn)

    expected, ours = call(scores, labels, where), jax.jit(call)(scores, labels, where)
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)


@every
def test_vmap_equals_a_batch(function):
    scores, labels, where = batch()

    def one(scores, labels, where):
        return function(scores, labels, where=where, reduce_fn=None)

    ours = jax.vmap(one)(scores, labels, where)
    np.testing.assert_allclose(ours, one(scores, labels, where), rtol=1e-6)


@every
def test_list_alone_equals_the_list_in_a_batch(function):
    scores, labels, where = batch()
    together = function(scores, labels, where=where, reduce_fn=None)
    for i in range(len(scores)):
        alone = function(scores[i], labels[i], where=where[i], reduce_fn=None)
        np.testing.assert_allclose(alone, together[i], rtol=1e-6)


@every
def test_more_batch_axes_are_allowed(function):
    scores, labels, where = (array.reshape(2, 3, 6) for array in batch(lists=6))
    flat = [array.reshape(6, 6) for array in (scores, labels, where)]
    assert function(scores, labels, where=where) == function(*flat[:2], where=flat[2])


@every
def test_unreduced_values_sum_to_the_sum(function):
    scores, labels, where = batch()
    values = function(scores, labels, where=where, reduce_fn=None)
    total = function(scores, labels, where=where, reduce_fn=jnp.sum)
    assert jnp.sum(values) == pytest.approx(float(total))


@every
def test_sum_and_count_give_the_mean(function):
    scores, labels, where = batch()
    total, count = function(scores, labels, where=where, reduce_fn=ops.sum_and_count)
    assert total / count == pytest.approx(float(function(scores, labels, where=where)))


@every
def test_sums_over_microbatches_are_those_of_the_batch(function):
    scores, labels, where = batch(lists=6)
    whole = function(scores, labels, where=where, reduce_fn=ops.sum_and_count)
    parts = [
        function(scores[i], labels[i], where=where[i], reduce_fn=ops.sum_and_count)
        for i in (slice(0, 2), slice(2, 4), slice(4, 6))
    ]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "uint8", "float16", "bfloat16"])
@every
def test_label_types_give_the_same_float32(function, dtype):
    scores, labels, where = batch()
    ours = function(scores, jnp.asarray(labels).astype(dtype), where=where, reduce_fn=None)
    assert ours.dtype == jnp.float32
    expected = function(scores, labels, where=where, reduce_fn=None)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("dtype", [int, float, np.uint8])
@every
def test_mask_types_give_the_same(function, dtype):
    scores, labels, where = batch()
    ours = function(scores, labels, where=where.astype(dtype), reduce_fn=None)
    np.testing.assert_array_equal(ours, function(scores, labels, where=where, reduce_fn=None))


@every
def test_bfloat16_scores_are_computed_in_float32(function):
    scores, labels, where = batch()
    rounded = jnp.asarray(scores).astype(jnp.bfloat16)
    ours = function(rounded, labels, where=where)
    assert ours.dtype == jnp.float32
    assert ours == function(rounded.astype(jnp.float32), labels, where=where)


@every
def test_arrays_of_the_caller_are_unchanged(function):
    arrays = (*batch(), np.full((5, 6), 2.0))
    copies = [array.copy() for array in arrays]
    function(*arrays[:2], where=arrays[2], weights=arrays[3])
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    ("scores", "labels"), [((3, 1), (3,)), ((3,), (3, 1)), ((2, 3), (3,)), ((2, 3), (2, 4))]
)
@every
def test_shapes_are_not_broadcast(function, scores, labels):
    with pytest.raises(ValueError, match="'labels' has shape"):
        function(jnp.ones(scores), jnp.ones(labels))


@every
def test_segments_are_refused(function):
    with pytest.raises(ValueError, match="'segments' has an array; expected None"):
        function(jnp.ones(3), jnp.ones(3), segments=jnp.array([0, 0, 1]))


@pytest.mark.parametrize("labels", [[1, 0, 0], [0, 1, 0], [0, 0, 0]])
@every
def test_nan_score_is_not_hidden(function, labels):
    assert jnp.isnan(function(jnp.array([NAN, 1.0, 2.0]), jnp.array(labels)))


@every
def test_nan_score_of_one_list_leaves_the_others_alone(function):
    scores, labels, _ = batch()
    expected = function(scores, labels, reduce_fn=None)
    scores[0, 0] = NAN
    ours = function(scores, labels, reduce_fn=None)
    assert np.any(np.isnan(ours[0]))
    np.testing.assert_array_equal(ours[1:], expected[1:])


@every_loss
def test_nan_label_is_not_hidden(function):
    assert jnp.isnan(function(jnp.array([1.0, 2.0]), jnp.array([NAN, 1.0])))


@every
def test_minus_infinity_at_an_irrelevant_document_is_finite(function):
    scores, labels = jnp.array([1.0, -INF, 2.0]), jnp.array([1.0, 0.0, 0.0])
    value, gradient = value_and_gradient(function, scores, labels)
    assert jnp.isfinite(value)
    assert jnp.all(jnp.isfinite(gradient))


@every
def test_batch_without_a_document_is_zero(function):
    scores, labels, where = batch()
    assert function(scores, labels, where=np.zeros_like(where)) == 0.0


@every_loss
def test_batch_without_a_document_has_no_gradient(function):
    scores, labels, where = batch()
    _, gradient = value_and_gradient(function, scores, labels, where=np.zeros_like(where))
    assert not np.any(gradient)


@every
def test_list_without_a_document_changes_no_mean(function):
    scores, labels, where = batch()  # the last list is empty
    ours = function(scores, labels, where=where)
    assert ours == pytest.approx(float(function(scores[:-1], labels[:-1], where=where[:-1])))
