import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5rank.scoring import PairScorer, length_bucket


class Counted:
    """A score function that tells the shapes it was compiled for."""

    def __init__(self):
        self.shapes = []

    def __call__(self, params, tokens):
        self.shapes.append(tokens.shape)  # while tracing only
        real = tokens != 0
        return params * jnp.sum(jnp.sin(tokens) * real, -1) / jnp.maximum(real.sum(-1), 1)


def make_rows(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 100, length).astype(np.int32) for length in lengths]


def expected_scores(rows):
    return np.array([2 * np.sin(row).mean() for row in rows])


LENGTHS = [5, 200, 33, 1, 64, 5, 130, 90, 31, 17, 48]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 11, 64])
def test_scores_are_in_the_order_of_the_inputs_whatever_the_batch_size(batch_size):
    rows = make_rows(LENGTHS)
    scores = PairScorer(Counted(), batch_size).score(2.0, rows)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected_scores(rows), atol=1e-5, rtol=0)


def test_order_of_the_inputs_changes_no_score():
    rows, scorer = make_rows(LENGTHS), PairScorer(Counted(), 4)
    order = np.random.default_rng(1).permutation(len(rows))
    shuffled = scorer.score(2.0, [rows[i] for i in order])
    np.testing.assert_allclose(shuffled, scorer.score(2.0, rows)[order], atol=1e-5, rtol=0)


def test_no_input_has_no_score():
    assert PairScorer(Counted()).score(2.0, []).shape == (0,)


def test_empty_row_is_scored_as_padding():
    rows = [np.array([7, 8], np.int32), np.array([], np.int32)]
    scores = PairScorer(Counted()).score(2.0, rows)
    np.testing.assert_allclose(scores, [expected_scores(rows[:1])[0], 0.0], atol=1e-6)


def test_programs_are_few_whatever_the_lengths():
    function = Counted()
    scorer = PairScorer(function, 3)
    for seed in range(3):
        scorer.score(2.0, make_rows(range(1, 140), seed))
    assert {shape[0] for shape in function.shapes} == {3}
    # 32, 48, 64, 80, 96, 112, 128 and 144, each compiled once.
    assert sorted(shape[1] for shape in function.shapes) == list(range(32, 145, 16))


def test_longest_inputs_are_first():
    function = Counted()
    PairScorer(function, 1).score(2.0, make_rows([5, 100, 60]))
    assert [shape[1] for shape in function.shapes] == [112, 64, 32]


def test_progress_counts_every_input():
    class Progress:
        done = 0

        def update(self, count):
            self.done += count

    progress = Progress()
    PairScorer(Counted(), 4).score(2.0, make_rows(LENGTHS), progress)
    assert progress.done == len(LENGTHS)


def test_rows_of_the_caller_are_unchanged():
    rows = make_rows(LENGTHS)
    copies = [row.copy() for row in rows]
    PairScorer(Counted()).score(2.0, rows)
    assert all(np.array_equal(row, copy) for row, copy in zip(rows, copies, strict=True))


@given(st.integers(0, 10_000))
def test_bucket_holds_its_length_with_little_padding(length):
    bucket = length_bucket(length)
    assert bucket >= length
    assert bucket - length < max(16, length / 8) or bucket == 32


def test_buckets_are_a_closed_set():
    buckets = [length_bucket(length) for length in range(513)]
    assert all(length_bucket(bucket) == bucket for bucket in buckets)
    assert all(a <= b for a, b in itertools.pairwise(buckets))
    # 32 to 128 by 16, to 256 by 16, to 512 by 32.
    assert len(set(buckets)) == 7 + 8 + 8
