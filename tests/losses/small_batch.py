"""A batch of four small lists, and functions that are compiled once for it."""

import functools

import jax
import numpy as np

NAN, INF = float("nan"), float("inf")


def batch(seed=0, lists=4, size=6):
    """Tie-free scores, graded labels and a mask that leaves lists of different sizes, one empty."""
    rng = np.random.default_rng(seed)
    scores = rng.permutation(lists * size).reshape(lists, size).astype(np.float32) / 7
    labels = rng.choice([0, 1, 2, 3], (lists, size), p=[0.5, 0.2, 0.2, 0.1]).astype(np.float32)
    where = np.arange(size) < rng.integers(3, size + 1, (lists, 1))
    where[-1] = False
    return scores, labels, where


@functools.cache
def compiled(function):
    """`(value, gradient)` of a function for scores, labels and a mask."""

    @jax.jit
    def call(scores, labels, where):
        return jax.value_and_grad(lambda s: function(s, labels, where=where))(scores)

    return call


def assert_garbage_changes_nothing(function, garbage):
    """Whatever stands in masked slots, the value and the gradient are the same to the last bit."""
    scores, labels, where = batch()
    expected = compiled(function)(scores, labels, where)
    spoiled = [np.where(where, array, np.float32(garbage)) for array in (scores, labels)]
    for one, other in zip(compiled(function)(*spoiled, where), expected, strict=True):
        assert np.all(np.isfinite(one))
        np.testing.assert_array_equal(one, other)
