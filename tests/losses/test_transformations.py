"""What holds for every transformation of a function of one's own."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_batch import INF, NAN, assert_garbage_changes_nothing

from t5rank.losses.transformations import approx_t12n, bound_t12n, gumbel_t12n, segment_t12n


def rax_like_loss(scores, labels, *, where=None, reduce_fn=jnp.mean):
    """A loss whose gradient is NaN with NaN in masked slots."""
    values = jnp.sum(jnp.where(where, jnp.exp(scores) * labels, 0.0), axis=-1)
    return values if reduce_fn is None else reduce_fn(values, where=jnp.any(where, axis=-1))


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(gumbel_t12n(rax_like_loss), key=jax.random.key(0)),
        functools.partial(segment_t12n(rax_like_loss), segments=np.zeros((4, 6), int)),
    ],
    ids=["gumbel", "segment"],
)
@pytest.mark.parametrize("garbage", [NAN, INF, 1e30])
def test_garbage_reaches_no_function_of_ones_own(function, garbage):
    assert_garbage_changes_nothing(function, garbage)


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
