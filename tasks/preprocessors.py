"""seqio preprocessors: a list of texts becomes a list of token rows, labels and a mask.

They take the examples of `t5rank.tasks.examples.list_source`: one query's candidates, with the keys
`query_id`, `query`, `doc_ids`, `documents`, `labels`, `is_training` and, where a teacher's scores
are learned, `targets_of_loss`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from t5rank.checks import check_integer
from t5rank.text.prompts import NO_ROOM, Prompt
from t5rank.text.vocabulary import EOS_ID

Example = dict[str, tf.Tensor]
_PER_DOCUMENT = ("doc_ids", "documents", "labels", "targets_of_loss")
UNCUT = 2**30  # tokens: more than any input has


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
def tokenize_pairs(
    example: Example,
    output_features: Mapping[str, seqio.Feature],
    sequence_length: Mapping[str, Any] | None = None,
    *,
    prompt: Prompt,
    target_token_id: int,
    strict: bool = True,
    on_cut: Callable[[str], None] | None = None,
) -> Example:
    """Adds `inputs` `[list, length]`, `targets` `[list, 1]`, `label` and `mask` `[list]`.

    The tokens are those of `t5rank.text.prompts.PairEncoder` (see `t5rank.text.vocabulary` on runs
    of one character): only documents are cut, a query that leaves them no room where it is not
    `strict`, and nothing where there is no length. `on_cut` is called with the id of each query
    that is cut.
    """
    vocabulary = output_features["inputs"].vocabulary
    prefix_text = tf.strings.join([prompt.before_query, example["query"], prompt.before_document])
    prefix = vocabulary.encode_tf(prefix_text)
    suffix = tf.concat([vocabulary.encode_tf(tf.constant(prompt.after_document)), [EOS_ID]], 0)
    length = UNCUT if sequence_length is None else input_length(sequence_length)
    if not strict:
        most = length - tf.size(suffix)
        prefix = _cut_prefix(prefix, example, most, vocabulary, prompt, on_cut)
    room = length - tf.size(prefix) - tf.size(suffix)
    message = tf.strings.join(
        [
            "Query '",
            example["query_id"],
            "' has ",
            tf.strings.as_string(length - room),
            f" tokens with its prompt; expected at most {length - 1}. {NO_ROOM}.",
        ]
    )
    with tf.control_dependencies([tf.debugging.Assert(room >= 1, [message])]):
        documents = vocabulary.encode_tf(example["documents"])[:, :room]
    count = documents.nrows()

    def repeated(tokens: tf.Tensor) -> tf.RaggedTensor:
        return tf.RaggedTensor.from_tensor(tf.tile(tokens[None], [count, 1]))

    inputs = tf.concat([repeated(prefix), documents, repeated(suffix)], axis=1)
    texts = ("query_id", "query", "doc_ids", "documents")
    return {
        **{key: example[key] for key in texts},
        "targets_pretokenized": example["query_id"],  # else seqio decodes the targets
        "inputs": inputs.to_tensor(),
        "targets": tf.fill([tf.cast(count, tf.int32), 1], target_token_id),
        "label": example.get("targets_of_loss", example["labels"]),
        "mask": tf.ones_like(example["labels"], tf.bool),
    }


def _cut_prefix(
    prefix: tf.Tensor,
    example: Example,
    most: tf.Tensor,
    vocabulary: seqio.Vocabulary,
    prompt: Prompt,
    on_cut: Callable[[str], None] | None,
) -> tf.Tensor:
    """The tokens up to the document, the query cut by the rule of
    `t5rank.text.prompts.PairEncoder`.
    """
    before = vocabulary.encode_tf(tf.constant(prompt.before_query))
    after = vocabulary.encode_tf(tf.constant(prompt.before_document))
    left = most - tf.size(before) - tf.size(after)

    def cut() -> tf.Tensor:
        with_query = vocabulary.encode_tf(tf.strings.join([prompt.before_query, example["query"]]))
        kept = tf.concat([with_query[: tf.size(before) + left // 2], after], 0)
        if on_cut is None:
            return kept

        def note(query_id: bytes) -> np.bool_:
            on_cut(query_id.decode())
            return np.True_

        with tf.control_dependencies([tf.numpy_function(note, [example["query_id"]], tf.bool)]):
            return tf.identity(kept)

    return tf.cond((tf.size(prefix) >= most) & (left >= 2), cut, lambda: prefix)
