"""Flat lists for a function that takes padded ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_batch import batch

from t5rank import losses, metrics, ops
from t5rank.losses.transformations import approx_t12n, segment_t12n


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
