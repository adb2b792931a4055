"""Rows of several inputs: which are put together, and the scores that they get."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5rank.inference.packing import PackedShapes, pack, slots

SHAPES = PackedShapes(tokens=1024)
LENGTHS = st.lists(st.integers(1, 512), max_size=200)


def rows_of_tokens(lengths) -> list[np.ndarray]:
    return [np.full(length, i + 1, np.int32) for i, length in enumerate(lengths)]


def as_matrix(lengths) -> np.ndarray:
    matrix = np.zeros((len(lengths), max(lengths)), np.int32)
    for i, row in enumerate(rows_of_tokens(lengths)):
        matrix[i, : len(row)] = row
    return matrix


@given(LENGTHS)
def test_each_input_is_in_one_batch(lengths):
    inputs = [i for chosen, _ in SHAPES.batches(lengths) for i in chosen]
    assert sorted(inputs) == list(range(len(lengths)))


@given(LENGTHS)
def test_no_batch_is_outside_the_closed_set(lengths):
    for chosen, shape in SHAPES.batches(lengths):
        chosen_lengths = [lengths[i] for i in chosen]
        assert shape == (len(chosen), max(chosen_lengths))
        rows, _, length = pack(as_matrix(chosen_lengths), SHAPES).tokens.shape
        assert (rows, length) in SHAPES.all(512)
        assert SHAPES.size(chosen_lengths, shape) == rows * length


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_every_input_is_whole_and_marked_in_its_place(lengths):
    packed = pack(as_matrix(lengths), SHAPES)
    assert np.count_nonzero(packed.tokens[:, 0]) == sum(lengths)
    for i, (row, slot) in enumerate(packed.places):
        assert slot < slots(packed.tokens.shape[2])
        marked = packed.tokens[row, 0][packed.tokens[row, 1] == slot + 1]
        np.testing.assert_array_equal(marked, np.full(lengths[i], i + 1))


def test_padding_within_an_input_stays_padding():
    packed = pack(np.array([[5, 0, 6, 0]]), SHAPES)
    assert packed.tokens[0, :, :4].tolist() == [[5, 0, 6, 0], [1, 0, 1, 0]]


def test_rows_of_usual_lengths_are_nearly_full():
    lengths = np.random.default_rng(0).normal(98, 35, 1000).astype(int).clip(20, 250)
    sizes = [SHAPES.size(lengths[chosen], shape) for chosen, shape in SHAPES.batches(lengths)]
    assert sum(sizes) < 1.03 * lengths.sum()


@pytest.mark.parametrize("length", [20, 70, 256, 300, 512])
def test_so_many_inputs_as_a_batch_has_fit_in_it(length):
    number = SHAPES.rows(length, rest=1000)
    assert SHAPES.size([length] * number, (number, length)) <= SHAPES.tokens
    assert next(SHAPES.batches([length] * 1000))[1] == (number, length)


def test_few_tokens_are_a_small_batch():
    assert SHAPES.size([40], (1, 40)) == 64
    assert SHAPES.size([40, 40], (2, 40)) == 128
    assert PackedShapes(64).all(200) == [(1, 256), (1, 128), (1, 64)]


def test_a_number_of_tokens_below_1_is_refused():
    with pytest.raises(ValueError, match="'tokens' has 0"):
        PackedShapes(0)
