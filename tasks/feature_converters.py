"""The seqio feature converter: lists become padded arrays of one shape."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import seqio
import tensorflow as tf

from t5rank.tasks.preprocessors import RELEVANT_KEYS
from t5rank.text.templates import TextPrompts

FeatureSpec = seqio.FeatureConverter.FeatureSpec
_MODEL_TO_TASK = {"encoder_input_tokens": "inputs", "label": "label", "mask": "mask"}


class RankingFeatureConverter(seqio.FeatureConverter):
    """Pads lists to `[list_size, length]`.

    TASK_FEATURE_LENGTHS gives `inputs` (list size, tokens), `targets` (list size, 1), `label` and
    `mask` (list size,). `targets` is asked for, as T5X's networks know it, and not used.

    Raises:
      ValueError: packing is asked for, or the lengths disagree.
    """

    TASK_FEATURES: ClassVar = {
        "inputs": FeatureSpec(dtype=tf.int32, rank=2, sequence_dim=1),
        "targets": FeatureSpec(dtype=tf.int32, rank=2, sequence_dim=1),
        "label": FeatureSpec(dtype=tf.float32),
        "mask": FeatureSpec(dtype=tf.bool),
    }
    MODEL_FEATURES: ClassVar = {
        "encoder_input_tokens": FeatureSpec(dtype=tf.int32, rank=2, sequence_dim=1),
        "label": FeatureSpec(dtype=tf.float32),
        "mask": FeatureSpec(dtype=tf.bool),
    }
    PACKING_FEATURE_DTYPES = None

    def __init__(self, pack: bool = False, use_custom_packing_ops: bool = False, **kwargs: Any):
        if pack:
            raise ValueError(
                "RankingFeatureConverter 'pack' has True; expected False. Lists are padded."
            )
        # seqio's length check knows one axis only; _pad below checks both.
        kwargs["apply_length_check"] = False
        super().__init__(pack=False, use_custom_packing_ops=use_custom_packing_ops, **kwargs)

    def _convert_features(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, Sequence[int]]
    ) -> tf.data.Dataset:
        lengths = self.get_model_feature_lengths(task_feature_lengths)

        def convert(example: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return {
                feature: _pad(task, example[task], lengths[feature])
                for feature, task in _MODEL_TO_TASK.items()
            }

        return ds.map(convert, num_parallel_calls=tf.data.AUTOTUNE)

    def get_model_feature_lengths(
        self, task_feature_lengths: Mapping[str, Sequence[int]]
    ) -> dict[str, tuple[int, ...]]:
        """The padded shape of every model feature."""
        task_lengths = dict(task_feature_lengths)
        inputs, label = task_lengths["inputs"], task_lengths["label"]
        tokens = inputs[1] if isinstance(inputs, Sequence) and inputs[:1] == (None,) else inputs
        if isinstance(tokens, int):
            # Evaluation leaves the list size open, and seqio fills in that of the longest list.
            task_lengths["inputs"] = (label[0] if isinstance(label, Sequence) else label, tokens)
        lengths = {
            feature: _as_shape(task, task_lengths[task]) for feature, task in _MODEL_TO_TASK.items()
        }
        sizes = {feature: shape[0] for feature, shape in lengths.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(
                f"TASK_FEATURE_LENGTHS has list sizes {sizes}; expected one list size."
            )
        return lengths


def _as_shape(feature: str, length: Any) -> tuple[int, ...]:
    rank = 2 if feature == "inputs" else 1
    shape = (length,) if isinstance(length, int) else tuple(length or ())
    if len(shape) != rank or not all(isinstance(size, int) for size in shape):
        expected = "(list size, tokens)" if rank == 2 else "(list size,)"
        raise ValueError(f"Feature '{feature}' has length {length!r}; expected {expected}.")
    return shape


def _pad(feature: str, value: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    got = tf.shape(value)
    message = [
        tf.strings.format(f"Feature '{feature}' has shape {{}}; expected at most {shape}.", (got,))
    ]
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(got <= shape), message)]):
        padding = [[0, size - got[axis]] for axis, size in enumerate(shape)]
        return tf.ensure_shape(tf.pad(value, padding), shape)


class RetrievalFeatureConverter(RankingFeatureConverter):
    """Pads lists, each after its query: see `t5rank.models.retrieval`.

    TASK_FEATURE_LENGTHS counts the documents alone; batches have one item more.
    """

    MODEL_FEATURES: ClassVar = {
        **RankingFeatureConverter.MODEL_FEATURES,
        "keys": FeatureSpec(dtype=tf.int32),
        "relevant_keys": FeatureSpec(dtype=tf.int32),
    }

    def __call__(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, Sequence[int]]
    ) -> tf.data.Dataset:
        """The batches' features. Lengths of the query and of keys, which seqio measures, go."""
        lengths = {name: task_feature_lengths[name] for name in self.TASK_FEATURES}
        return super().__call__(ds, lengths)

    def _convert_features(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, Sequence[int]]
    ) -> tf.data.Dataset:
        size, length = super().get_model_feature_lengths(task_feature_lengths)[
            "encoder_input_tokens"
        ]

        def convert(example: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            keys = tf.concat([example["query_key"], example["keys"]], 0)
            query = _pad("query_inputs", example["query_inputs"], (length,))
            documents = _pad("inputs", example["inputs"], (size, length))
            return {
                "encoder_input_tokens": tf.concat([query[None], documents], 0),
                "label": _pad("label", tf.pad(example["label"], [[1, 0]]), (1 + size,)),
                "mask": _pad("mask", tf.pad(example["mask"], [[1, 0]]), (1 + size,)),
                "keys": _pad("keys", keys, (1 + size,)),
                "relevant_keys": example["relevant_keys"],
            }

        return ds.map(convert, num_parallel_calls=tf.data.AUTOTUNE)

    def get_model_feature_lengths(
        self, task_feature_lengths: Mapping[str, Sequence[int]]
    ) -> dict[str, tuple[int, ...]]:
        """The padded shape of every model feature."""
        lengths = super().get_model_feature_lengths(task_feature_lengths)
        longer = {name: (1 + size, *rest) for name, (size, *rest) in lengths.items()}
        return longer | {"keys": longer["mask"], "relevant_keys": (RELEVANT_KEYS,)}


def converter_of(prompt: str | TextPrompts) -> type[RankingFeatureConverter]:
    """The converter of the lists of a task with this prompt."""
    is_apart = isinstance(prompt, TextPrompts)
    return RetrievalFeatureConverter if is_apart else RankingFeatureConverter
