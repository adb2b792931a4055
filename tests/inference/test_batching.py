import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5rank.inference import batching
from t5rank.inference.batching import BatchShapes

CPU, ACCELERATOR = BatchShapes(1024), BatchShapes(16384, step=16)
some_shapes = st.builds(
    BatchShapes, st.integers(1, 5000), st.sampled_from([8, 32]), st.integers(1, 3)
)


@given(some_shapes, st.lists(st.integers(0, 300), max_size=200))
def test_every_input_is_in_one_batch_that_holds_it(shapes, lengths):
    seen = []
    for inputs, (rows, length) in shapes.batches(lengths):
        assert 0 < len(inputs) <= rows and rows % shapes.multiple == 0
        assert max(lengths[i] for i in inputs) <= length
        seen.extend(inputs)
    assert sorted(seen) == list(range(len(lengths)))


@given(some_shapes, st.lists(st.integers(0, 300), max_size=200))
def test_no_batch_is_outside_the_closed_set(shapes, lengths):
    assert {shape for _, shape in shapes.batches(lengths)} <= set(shapes.all(300))


@pytest.mark.parametrize("shapes", [CPU, ACCELERATOR])
def test_tokens_of_a_batch_are_bounded(shapes):
    assert all(rows * length <= shapes.tokens for rows, length in shapes.all(512))


def test_shapes_are_few():
    # CPU: lengths 32 to 128 by 8, to 256 by 16, to 512 by 32, and few rows of 32 to 64 by 8, to 128
    # by 16, to 256 by 32, to 512 by 64.
    assert len(CPU.all(512)) == (13 + 8 + 8) + (5 + 4 + 4 + 4)
    # 32 to 256 by 16, to 512 by 32, and few rows of 32 to 128 by 16, to 256 by 32, to 512 by 64.
    assert len(ACCELERATOR.all(512)) == (15 + 8) + (7 + 4 + 4)


@given(st.integers(1, 10_000))
def test_a_length_is_padded_by_an_eighth_at_most(length):
    padded = CPU.length(length)
    assert length <= padded
    assert padded - length < max(8, length / 8) or padded == 32
    assert CPU.length(padded) == padded


def test_longest_inputs_are_first():
    lengths = [length for _, (_, length) in CPU.batches([5, 500, 60, 300] * 9)]
    assert lengths == sorted(lengths, reverse=True) and len(set(lengths)) > 2


def test_few_inputs_take_few_rows():
    # 8 rows of 96 tokens make a batch, or 2.
    assert [CPU.rows(96, rest) for rest in (1, 2, 4, 5, 8, 9)] == [2, 2, 2, 8, 8, 8]


def test_few_inputs_have_every_other_length():
    batches = [next(CPU.batches([length] * few))[1] for length, few in ((72, 1), (72, 8), (260, 1))]
    assert batches == [(2, 80), (8, 72), (1, 320)]


def test_inputs_much_longer_than_the_others_are_by_themselves():
    shapes = [shape for _, shape in CPU.batches([96, 96, *[40] * 16])]
    assert shapes == [(2, 96), (16, 40)]


def test_open_shapes_have_no_padding_rows_and_only_the_padding_to_the_longest():
    lengths = [50, 49, 47, 9, 0]
    shapes = [shape for _, shape in BatchShapes(100, closed=False).batches(lengths)]
    assert shapes == [(2, 50), (1, 47), (2, 9)]


def test_open_shapes_cannot_be_listed():
    with pytest.raises(ValueError, match="'closed' has False"):
        BatchShapes(100, closed=False).all(10)


def test_a_batch_of_no_tokens_is_refused():
    with pytest.raises(ValueError, match="'tokens' has 0"):
        BatchShapes(0)


def test_accelerators_get_large_batches():
    assert batching.default_shapes("cpu") == CPU
    assert batching.default_shapes("gpu") == ACCELERATOR
    assert batching.default_shapes("gpu", parts=4).rows(128, 10_000) == 512
    assert batching.default_shapes("gpu", 4096).tokens == 4096


def test_lengths_have_eight_steps_to_a_doubling():
    lengths = sorted({CPU.length(n) for n in range(129, 1025)})
    steps = [b - a for a, b in itertools.pairwise(lengths)]
    assert steps == [16] * 7 + [32] * 8 + [64] * 8


def test_rows_of_the_caller_are_copied():
    row = np.array([3, 4], np.int32)
    tokens = batching.padded([row], (2, 3))
    assert tokens.dtype == np.int32 and tokens.tolist() == [[3, 4, 0], [0, 0, 0]]
    tokens[0, 0] = 9
    assert row[0] == 3
