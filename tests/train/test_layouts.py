import collections
import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from t5rank.train import layouts


def batch_of(lengths, input_length=None):
    """A padded batch; every document has tokens of its own, and a label that is its first one."""
    size = max(map(len, lengths))
    input_length = input_length or max(max(row) for row in lengths)
    tokens = np.zeros((len(lengths), size, input_length), np.int32)
    numbers = itertools.count(1)
    for i, row in enumerate(lengths):
        for j, length in enumerate(row):
            tokens[i, j, :length] = next(numbers)
    mask = np.array([[j < len(row) for j in range(size)] for row in lengths])
    return {
        "encoder_input_tokens": tokens,
        "label": tokens[:, :, 0].astype(np.float32),
        "mask": mask,
    }


def documents_of(packed):
    """`{(list id, tokens): label}` of a packed batch, and that every token belongs to one."""
    found = collections.defaultdict(list)
    places = np.argwhere(packed["mask"])
    for group, row, slot in places:
        mine = packed["encoder_segment_ids"][group, row] == slot + 1
        tokens = packed["encoder_input_tokens"][group, row][mine]
        label = packed["label"][group, row, slot]
        found[group, packed["list_ids"][group, row, slot]].append((tokens.tolist(), float(label)))
    return sorted(sorted(documents, key=lambda item: item[1]) for documents in found.values())


lists_of_lengths = st.lists(
    st.lists(st.integers(1, 24), min_size=1, max_size=7), min_size=4, max_size=12
)


@hypothesis.given(lists_of_lengths, st.sampled_from([1, 2, 4]), st.integers(1, 5))
@hypothesis.settings(max_examples=30, deadline=None)
def test_a_packed_batch_holds_every_list_whole_and_in_one_group(lengths, groups, slots):
    packed = layouts.pack(batch_of(lengths), groups, row_length=24, slots=slots)
    numbers = itertools.count(1)
    expected = [
        [([n] * length, float(n)) for length, n in zip(row, numbers, strict=False)]
        for row in lengths
    ]
    assert documents_of(packed) == sorted(expected)
    assert np.sum(packed["encoder_segment_ids"] > 0) == sum(map(sum, lengths))


def test_documents_fill_the_rows():
    """Best fit of 9 and 15, 20 and 4, 12 and 12 in rows of 24."""
    packed = layouts.pack(batch_of([[9, 20, 12], [12, 4, 15]]), 1, row_length=24, slots=4)
    assert packed["encoder_input_tokens"].shape == (1, 3, 24)
    assert np.all(packed["encoder_input_tokens"] > 0)


def test_rows_come_in_few_numbers():
    shapes = {layouts.size_bucket(n) for n in range(1, 1000)}
    assert len(shapes) <= 128
    assert all(n <= layouts.size_bucket(n) <= n * 17 / 16 for n in range(1, 1000))


@pytest.mark.parametrize(("lengths", "row_length"), [([32, 20], 32), ([32, 10], 256)])
def test_rows_are_as_long_as_inputs_that_are_full_already(lengths, row_length):
    """52 and 42 of 64 tokens; the first batch decides, for a resumed run as well."""
    batches = [batch_of([lengths], 32), batch_of([[1, 1]], 32), batch_of([[32, 32]], 32)]
    for start in (0, 1):
        for packed in layouts.packed(batches, 1, start):
            assert packed["encoder_input_tokens"].shape[-1] == row_length


def test_slots_are_half_as_many_again_as_documents_on_average():
    """Rows of 64 tokens, documents of 16: four a row."""
    packed = layouts.pack(batch_of([[16] * 8, [16] * 8]), 1, row_length=64)
    assert packed["mask"].shape == (1, 4, 6)


@pytest.mark.parametrize(("row_length", "slots"), [(23, 4), (24, 0)])
def test_a_row_too_small_is_an_error(row_length, slots):
    with pytest.raises(ValueError, match="expected at least the 24 tokens of the longest document"):
        layouts.pack(batch_of([[24, 3]]), 1, row_length, slots)


def test_buckets_hold_lists_of_about_one_length_and_all_of_them():
    rng = np.random.default_rng(0)
    lengths = [[int(n)] * 2 for n in rng.integers(1, 64, 400)]
    batches = [batch_of(lengths[i : i + 4], 64) for i in range(0, 400, 4)]
    found = list(layouts.bucketed(batches))
    for batch in found:
        width = batch["encoder_input_tokens"].shape[-1]
        longest = layouts.document_lengths(batch["encoder_input_tokens"]).max(-1)
        assert np.all(((width - 8 < longest) | (width == 32)) & (longest <= width))
        assert len(batch["label"]) == 4
    labels = {float(x) for batch in found for x in batch["label"].ravel()}
    assert len(found) >= 90  # at most 3 lists of each of 8 lengths still wait
    assert labels <= {float(x) for batch in batches for x in batch["label"].ravel()}


@pytest.mark.parametrize("function", [layouts.padded, layouts.bucketed, layouts.packed])
def test_starting_late_leaves_out_the_first_batches(function):
    batches = [batch_of([[n, n], [n, 1]], 300) for n in (9, 17, 9, 31, 9, 9)]
    whole, late = list(function(batches, 1)), list(function(batches, 1, 2))
    assert len(late) == len(whole) - 2
    for a, b in zip(whole[2:], late, strict=True):
        np.testing.assert_array_equal(a["encoder_input_tokens"], b["encoder_input_tokens"])
