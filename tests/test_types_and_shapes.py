"""What every loss, metric and transformation takes and gives: arguments, types, shapes."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from function_cases import (
    CASES,
    COMBINED,
    KINDS,
    LOSSES,
    METRICS,
    NOT_SMOOTH,
    SIZE,
    SUBTOPICS,
    assert_close,
    batch,
    compiled,
    every,
    subtopics,
)

from t5rank import losses
from t5rank.losses import transformations as t


@pytest.mark.parametrize("transformation", [t.approx_t12n, t.bound_t12n])
@every(NOT_SMOOTH)
def test_transformation_without_a_gradient_is_an_error(name, transformation):
    with pytest.raises(ValueError, match=f"Metric '{name}' takes neither"):
        transformation(METRICS[name])


@every(LOSSES | METRICS)
def test_signature_is_that_of_rax(name):
    parameters = list(inspect.signature(CASES[name]).parameters.values())
    assert [p.name for p in parameters[:2]] == ["scores", "labels"]
    keywords = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    shared = {"where", "segments", "weights", "reduce_fn"} | (
        {"topn", "key"} if name in METRICS else set()
    )
    assert shared <= keywords.keys()
    assert keywords["reduce_fn"] is jnp.mean


@every(KINDS)
def test_eager_equals_compiled_and_leaves_the_callers_arrays_alone(name):
    arrays = batch(name)
    copies = [array.copy() for array in arrays]
    scores, labels, where = arrays
    value = CASES[name](scores, labels, where=where)
    assert_close(value, compiled(name)(*arrays)[0])
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@every(KINDS)
def test_small_types_of_labels_change_nothing(name):
    scores, labels, where = batch(name)
    value = jax.jit(lambda labels: CASES[name](scores, labels, where=where))
    binary = np.minimum(labels, 1.0)
    assert_close(value(labels.astype(np.uint8)), compiled(name)(scores, labels, where)[0])
    assert_close(value(binary.astype(bool)), compiled(name)(scores, binary, where)[0])


@every(LOSSES | METRICS)
def test_every_function_takes_segments_itself(name):
    assert t.segment_t12n(CASES[name]) is CASES[name]


@every(CASES)
@pytest.mark.parametrize("labels", [(3, 1, 1), (2, 4), (4,)])
def test_shapes_are_not_broadcast(name, labels):
    with pytest.raises(ValueError, match=r"'labels' has (shape|rank)"):
        CASES[name](jnp.ones((2, 3)), jnp.ones(labels))


def floats(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


@every(LOSSES | METRICS | COMBINED | {"approx ndcg_metric": None})
def test_results_are_float32_under_x64(name):
    """Traced, not computed: what JAX_ENABLE_X64 makes float64 shows in the types."""
    scores, labels, where = batch(name)
    segments = np.arange(scores.size) // SIZE

    def values(scores):
        call = functools.partial(CASES[name], labels=labels.astype(np.float64), where=where)
        flat = CASES[name](
            scores.reshape(-1),
            labels.reshape(-1, *labels.shape[2:]),
            where=where.reshape(-1),
            segments=segments,
            reduce_fn=None,
        )
        return call(scores), flat, jax.grad(call)(scores.astype(jnp.float32))

    with jax.enable_x64(True):
        result = jax.eval_shape(values, jax.ShapeDtypeStruct(scores.shape, jnp.float64))
        assert floats(result) == {jnp.dtype("float32")}


@every(LOSSES | METRICS)
def test_lists_of_size_zero_are_lists(name):
    subtopic = (SUBTOPICS,) if subtopics(name) else ()

    def value_and_gradient(scores, segments=None):
        call = lambda s: CASES[name](s, jnp.zeros(s.shape + subtopic), segments=segments)  # noqa: E731
        return jax.value_and_grad(call)(scores)

    for shape, segments in (((0,), jnp.zeros(0, jnp.int32)), ((2, 0), None)):
        value, gradient = jax.eval_shape(value_and_gradient, jnp.zeros(shape), segments)
        assert (value.shape, gradient.shape) == ((), shape)


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
@pytest.mark.parametrize(
    "name", ["softmax_loss", "pairwise_logistic_loss", "adr_mse_loss", "ap_metric"]
)
def test_lists_of_size_zero_have_the_value_0(name, shape):
    assert jax.jit(CASES[name])(jnp.zeros(shape), jnp.zeros(shape)) == 0.0


def test_temperature_divides_in_float32():
    scores = np.array([3.0, 60_000.0, 2.0], np.float16)
    loss = losses.with_temperature(losses.softmax_loss, 0.01)
    expected = loss(scores.astype(np.float32), np.array([1, 0, 0]))
    assert float(loss(scores, np.array([1, 0, 0]))) == float(expected) == pytest.approx(5_999_700)
