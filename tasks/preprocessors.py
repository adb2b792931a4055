"""seqio preprocessors: a list of texts becomes a list of token rows, labels and a mask.

They take the examples of `t5rank.tasks.examples.list_source`: one query's candidates, with the keys
`query_id`, `query`, `doc_ids`, `documents`, `labels`, `is_training` and, where a teacher's scores
are learned, `targets_of_loss`.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from t5rank.checks import check_integer
from t5rank.data.errors import DataError
from t5rank.inference.batching import padded
from t5rank.text.encoders import Encoder
from t5rank.text.texts import TextEncoder

Example = dict[str, tf.Tensor]
OnCut = Callable[[str], None]
_PER_DOCUMENT = ("doc_ids", "documents", "labels", "targets_of_loss", "keys")
UNCUT = 2**30  # tokens: more than any input has
RELEVANT_KEYS = 8  # of a query; batches know no more of its relevant documents


def list_size(sequence_length: Mapping[str, Any] | None) -> int | None:
    """The list size of TASK_FEATURE_LENGTHS, or None where lists are left whole."""
    length = (sequence_length or {}).get("label")
    return length[0] if isinstance(length, Sequence) else length


def input_length(sequence_length: Mapping[str, Any]) -> int:
    """The tokens per input of TASK_FEATURE_LENGTHS, whose `inputs` is (list size, tokens)."""
    length = sequence_length["inputs"]
    if not isinstance(length, Sequence) or len(length) != 2:
        raise ValueError(
            f"Feature 'inputs' has length {length!r}; expected (list size, tokens). "
            "Set it in TASK_FEATURE_LENGTHS."
        )
    return length[1]


def check_lengths(sequence_length: Mapping[str, Any]) -> None:
    """Raises for TASK_FEATURE_LENGTHS that have no meaning.

    Raises:
      TypeError: a length that is no integer.
      ValueError: one below 1, or features that disagree on the list size.
    """
    size = list_size(sequence_length)
    check_integer("LIST_SIZE", size)
    check_integer("INPUT_LENGTH", input_length(sequence_length))
    sizes = {name: length[0] for name, length in sequence_length.items() if length}
    if set(sizes.values()) != {size}:
        raise ValueError(
            f"TASK_FEATURE_LENGTHS has the list sizes {sizes}; expected one, LIST_SIZE, for all."
        )


def feature_lengths(list_size: int = 10, input_length: int = 256) -> dict[str, tuple[int, ...]]:
    """TASK_FEATURE_LENGTHS: documents of a training list, and tokens of an input.

    >>> feature_lengths(8, 48)
    {'inputs': (8, 48), 'targets': (8, 1), 'label': (8,), 'mask': (8,)}
    """
    per_list = (list_size,)
    return {
        "inputs": (list_size, input_length),
        "targets": (list_size, 1),
        "label": per_list,
        "mask": per_list,
    }


@seqio.map_over_dataset(num_seeds=1)
def sample_documents(
    example: Example,
    seed: tf.Tensor,
    sequence_length: Mapping[str, Any] | None = None,
    *,
    one_positive: bool,
) -> Example:
    """Samples a training list of at most the list size; validation lists stay whole.

    With `one_positive` a list is one relevant document, chosen at random, and sampled irrelevant
    ones, as RankT5 trains (Zhuang et al. 2022, section 5.2). Without it all documents are
    candidates and one relevant document is sure of its place. The order is random either way. As
    seqio repeats the data before this step, every epoch samples anew.
    """
    size = list_size(sequence_length)
    seeds = tf.random.split(seed, 2)
    relevant = example["labels"] > 0
    # Keys in [0, 1) order the documents at random; the chosen relevant one gets 1.
    keys = tf.random.stateless_uniform(tf.shape(relevant), seeds[0])
    chosen = tf.argmax(tf.where(relevant, keys, -1.0))
    is_chosen = relevant & (tf.range(tf.size(keys, tf.int64)) == chosen)
    candidate = is_chosen | ~relevant if one_positive else tf.ones_like(relevant)
    keys = tf.where(candidate, tf.where(is_chosen, 1.0, keys), -1.0)
    order = tf.argsort(keys, direction="DESCENDING")[: tf.reduce_sum(tf.cast(candidate, tf.int32))]
    order = order[:size]
    order = tf.gather(order, tf.argsort(tf.random.stateless_uniform(tf.shape(order), seeds[1])))
    whole = tf.range(tf.size(keys))
    order = tf.cond(example["is_training"] != 0, lambda: order, lambda: whole)
    per_document = [key for key in _PER_DOCUMENT if key in example]
    return {**example, **{key: tf.gather(example[key], order) for key in per_document}}


@seqio.map_over_dataset
def check_list_size(example: Example, sequence_length: Mapping[str, Any] | None = None) -> Example:
    """Raises where a list is longer than the list size: nothing is cut off unseen."""
    size = list_size(sequence_length)
    if size is None:
        return example
    got = tf.size(example["labels"])
    message = tf.strings.join(
        [
            "List '",
            example["query_id"],
            "' has ",
            tf.strings.as_string(got),
            f" documents; expected at most the list size {size}. Raise LIST_SIZE.",
        ]
    )
    with tf.control_dependencies([tf.debugging.Assert(got <= size, [message])]):
        return {**example, "labels": tf.identity(example["labels"])}


@seqio.map_over_dataset
def tokenize_list(
    example: Example,
    sequence_length: Mapping[str, Any] | None = None,
    *,
    encoder: Encoder,
    target_token_id: int,
    on_cut: OnCut = lambda query_id: None,
) -> Example:
    """Adds `inputs` `[list, length]`, `targets` `[list, 1]`, `label` and `mask` `[list]`.

    Where the encoder reads single texts, it also adds `query_inputs` `[length]`. The tokens are
    those of `encoder`, whose `max_length` is that of `sequence_length`: without one nothing is cut.
    TensorFlow calls it for several lists at a time. `on_cut` is called with the id of each query
    that is cut.
    """
    length = UNCUT if sequence_length is None else input_length(sequence_length)
    function = functools.partial(_inputs, dataclasses.replace(encoder, max_length=length), on_cut)
    texts = [example["query_id"], example["query"], example["documents"]]
    inputs, error = tf.numpy_function(function, texts, (tf.int32, tf.string))
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(error, ""), [error])]):
        inputs = tf.ensure_shape(inputs, [None, None])
    query = {}
    if isinstance(encoder, TextEncoder):
        query = {"query_inputs": inputs[0, : tf.math.count_nonzero(inputs[0])]}
        query |= {name: example[name] for name in ("query_key", "keys", "relevant_keys")}
        inputs = inputs[1:]
    return {
        **{key: example[key] for key in ("query_id", "query", "doc_ids", "documents")},
        "targets_pretokenized": example["query_id"],  # else seqio decodes the targets
        "inputs": inputs,
        "targets": tf.fill([tf.size(example["labels"]), 1], target_token_id),
        "label": example.get("targets_of_loss", example["labels"]),
        "mask": tf.ones_like(example["labels"], tf.bool),
        **query,
    }


def _inputs(
    encoder: Encoder, on_cut: OnCut, query_id: bytes, query: bytes, documents: np.ndarray
) -> tuple[np.ndarray, bytes]:
    """The inputs, and what is wrong: TensorFlow logs the traceback of what is raised here."""
    texts = [document.decode() for document in documents]
    try:
        rows = encoder.list_rows(query.decode(), texts, query_id.decode(), on_cut)
    except DataError as error:
        return np.zeros((0, 0), np.int32), str(error).encode()
    return padded(rows, (len(rows), max(map(len, rows), default=0))), b""


@seqio.map_over_dataset
def add_keys(example: Example) -> Example:
    """Adds hashes of the texts: `query_key` `[1]`, `keys` `[list]` and `relevant_keys`.

    The last are those of the query's first relevant documents, `[RELEVANT_KEYS]`, 0 where it has
    fewer. It comes before documents are sampled, so that all that is judged relevant is known.
    """
    names = ("query_key", "keys", "relevant_keys")
    texts = [example["query"], example["documents"], example["labels"]]
    keys = tf.numpy_function(_keys, texts, (tf.int32,) * 3)
    shapes = ([1], [None], [RELEVANT_KEYS])
    return {
        **example,
        **{n: tf.ensure_shape(k, s) for n, k, s in zip(names, keys, shapes, strict=True)},
    }


def _keys(query: bytes, documents: np.ndarray, labels: np.ndarray) -> tuple[Any, ...]:
    keys = np.asarray([text_key(document) for document in documents], np.int32)
    relevant = np.zeros(RELEVANT_KEYS, np.int32)
    known = keys[labels > 0][:RELEVANT_KEYS]
    relevant[: len(known)] = known
    return np.asarray([text_key(query)], np.int32), keys, relevant


def text_key(text: bytes) -> int:
    """A hash of a text, from 1 to 2^31 - 1."""
    return (zlib.crc32(text) & 0x7FFFFFFF) or 1
