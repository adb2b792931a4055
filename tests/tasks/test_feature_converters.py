import numpy as np
import pytest
import tensorflow as tf

from t5rank.tasks.errors import clear_errors
from t5rank.tasks.feature_converters import RankingFeatureConverter

LENGTHS = {"inputs": (4, 6), "targets": (4, 1), "label": (4,), "mask": (4,)}
EXAMPLE = {
    "inputs": np.array([[5, 6, 1], [7, 1, 0]], np.int32),
    "targets": np.array([[9], [9]], np.int32),
    "label": np.array([1.0, 0.0], np.float32),
    "mask": np.array([True, True]),
}


def converted(lengths=LENGTHS, example=EXAMPLE):
    data = tf.data.Dataset.from_generator(
        lambda: iter([example]),
        output_signature={
            key: tf.TensorSpec([None] * value.ndim, tf.as_dtype(value.dtype))
            for key, value in example.items()
        },
    )
    with clear_errors():
        data = RankingFeatureConverter()(data, lengths)
        return data.element_spec, next(data.as_numpy_iterator())


def test_values_are_padded_with_zeros():
    _, batch = converted()
    assert batch["encoder_input_tokens"].tolist() == [
        [5, 6, 1, 0, 0, 0],
        [7, 1, 0, 0, 0, 0],
        [0] * 6,
        [0] * 6,
    ]
    assert batch["label"].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert batch["mask"].tolist() == [True, True, False, False]


def test_shapes_and_types_are_known_before_the_data_is_read():
    spec, _ = converted()
    assert {key: (tuple(s.shape), s.dtype) for key, s in spec.items()} == {
        "encoder_input_tokens": ((4, 6), tf.int32),
        "label": ((4,), tf.float32),
        "mask": ((4,), tf.bool),
    }


def test_list_that_fills_its_shape_is_unchanged():
    lengths = {"inputs": (2, 3), "targets": (2, 1), "label": (2,), "mask": (2,)}
    _, batch = converted(lengths)
    np.testing.assert_array_equal(batch["encoder_input_tokens"], EXAMPLE["inputs"])


def test_one_number_is_a_list_size():
    _, batch = converted(LENGTHS | {"label": 4, "mask": 4})
    assert batch["label"].shape == (4,)


def test_model_feature_lengths_are_the_shapes_of_a_batch():
    lengths = RankingFeatureConverter().get_model_feature_lengths(LENGTHS)
    assert lengths == {"encoder_input_tokens": (4, 6), "label": (4,), "mask": (4,)}


def test_packing_is_refused():
    with pytest.raises(ValueError, match="'pack' has True; expected False"):
        RankingFeatureConverter(pack=True)


def test_calls_of_t5x_are_accepted():
    assert not RankingFeatureConverter(pack=False, use_custom_packing_ops=False).pack
    assert not RankingFeatureConverter(pack=False).pack


def test_list_too_long_is_an_error_with_both_shapes():
    lengths = {"inputs": (1, 6), "targets": (1, 1), "label": (1,), "mask": (1,)}
    with pytest.raises(ValueError, match=r"has shape \[?2.*; expected at most \(1"):
        converted(lengths)


def test_input_too_long_is_an_error_with_both_shapes():
    with pytest.raises(
        ValueError, match=r"'inputs' has shape \[2 3\]; expected at most \(4, 2\)\.$"
    ):
        converted(LENGTHS | {"inputs": (4, 2)})


def test_different_list_sizes_are_an_error():
    with pytest.raises(ValueError, match=r"has list sizes .*; expected one list size"):
        converted(LENGTHS | {"label": (3,)})


@pytest.mark.parametrize("length", [(4,), (4, 6, 1), None])
def test_inputs_need_a_list_size_and_tokens(length):
    with pytest.raises(ValueError, match=r"'inputs' has length .*; expected \(list size, tokens\)"):
        RankingFeatureConverter().get_model_feature_lengths(LENGTHS | {"inputs": length})


@pytest.mark.parametrize("inputs", [6, (None, 6)])
@pytest.mark.parametrize("size", [4, (4,)])
def test_an_open_list_size_is_that_of_the_labels(inputs, size):
    """What seqio's evaluator measures: the longest list, and the longest input if not given."""
    lengths = {"inputs": inputs, "targets": 1, "label": size, "mask": size}
    found = RankingFeatureConverter().get_model_feature_lengths(lengths)
    assert found == {"encoder_input_tokens": (4, 6), "label": (4,), "mask": (4,)}


@pytest.mark.parametrize("feature", ["label", "mask"])
@pytest.mark.parametrize("length", [None, (4, 1), ()])
def test_labels_and_mask_need_a_list_size(feature, length):
    with pytest.raises(ValueError, match=rf"'{feature}' has length .*; expected \(list size,\)"):
        RankingFeatureConverter().get_model_feature_lengths(LENGTHS | {feature: length})


@pytest.mark.parametrize("feature", LENGTHS)
def test_missing_length_is_an_error(feature):
    with pytest.raises(ValueError, match=feature):
        converted({key: value for key, value in LENGTHS.items() if key != feature})


def test_labels_of_another_rank_are_an_error():
    with pytest.raises(ValueError, match="rank"):
        converted(example=EXAMPLE | {"label": np.zeros((2, 1), np.float32)})
