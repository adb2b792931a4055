"""Errors of reading come out of a dataset as they were raised, each out of its own."""

import pytest
import tensorflow as tf

from t5rank.data.ranked_list import RankedList
from t5rank.tasks.errors import elements
from t5rank.tasks.examples import list_source

GOOD = RankedList("q", "query", ("d",), ("text",), (1.0,))


def repeated(*readers):
    """The lists of some readers, again and again, as training reads them."""
    sources = [list_source({"train": reader}) for reader in readers]

    def make():
        datasets = [source.get_dataset("train", shuffle=False).repeat() for source in sources]
        return tf.data.Dataset.sample_from_datasets(datasets, seed=0).shuffle(100)

    return make


def test_a_readers_error_comes_at_once_and_it_is_not_asked_again():
    asked = []

    def broken():
        asked.append(1)
        yield GOOD
        raise KeyError("line 2")

    with pytest.raises(KeyError, match="line 2"):
        list(elements(repeated(broken), "here"))
    assert len(asked) == 1


def test_one_broken_task_of_a_mixture_ends_it():
    def broken():
        yield GOOD
        raise ValueError("line 2")

    def endless():
        while True:
            yield GOOD

    with pytest.raises(ValueError, match="line 2"):
        list(elements(repeated(endless, broken), "here"))


def test_errors_of_two_datasets_are_kept_apart():
    def broken():
        yield GOOD
        raise ValueError("the first one's")

    first = elements(repeated(broken), "first")
    second = elements(repeated(lambda: iter([GOOD])), "second")
    with pytest.raises(ValueError, match="the first one's"):
        list(first)
    assert next(second)["query_id"] == b"q"
    second.close()


def test_a_damaged_record_of_a_cache_is_one_sentence(tmp_path):
    file = tmp_path / "cache.tfrecord"
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(b"one" * 100)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError) as error:
        list(elements(lambda: tf.data.TFRecordDataset(str(file)), "task 'x'"))
    said = str(error.value)
    assert said.startswith("Data of task 'x' cannot be read: ") and "record at" in said
    assert "\n" not in said and "node" not in said


def test_a_task_without_a_cache_is_one_sentence():
    def make():
        raise AssertionError("'x' does not exist in any of the task cache directories.")

    with pytest.raises(ValueError, match="Data of task 'x' cannot be read: 'x' does not exist in"):
        next(elements(make, "task 'x'"))


def test_outside_of_them_a_reader_raises_in_tensorflow():
    """T5X takes the elements itself: a dataset that only ended would be half of the data."""

    def broken():
        yield GOOD
        raise ValueError("line 2")

    dataset = list_source({"train": broken}).get_dataset("train", shuffle=False)
    with pytest.raises(tf.errors.OpError, match="line 2"):
        list(dataset.as_numpy_iterator())
