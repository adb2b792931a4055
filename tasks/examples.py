"""Lists as examples of seqio, one of each list, and the lists of a task as they are."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from t5rank.data.ranked_list import RankedList
from t5rank.tasks import irregular
from t5rank.tasks.errors import ReadErrors, elements
from t5rank.tasks.sources import ListSource, ReadLists, started

TRAIN = "train"


def list_source(
    readers: Mapping[str, ReadLists], teacher: bool = False, name: str = "lists"
) -> ListSource:
    """A seqio source of one example per list; the train split is marked as training data.

    With `teacher`, examples have `targets_of_loss`, which in training are the teacher's scores.
    What is irregular in the data is noted under `name`, the task's.
    """
    of_loss = {"targets_of_loss": tf.TensorSpec([None], tf.float32)} if teacher else {}

    def examples(
        read: ReadLists, split: str, errors: ReadErrors | None
    ) -> Iterator[dict[str, Any]]:
        return _examples(read, split == TRAIN, teacher, f"{name}/{split}", errors)

    signature = {
        "query_id": tf.TensorSpec([], tf.string),
        "query": tf.TensorSpec([], tf.string),
        "doc_ids": tf.TensorSpec([None], tf.string),
        "documents": tf.TensorSpec([None], tf.string),
        "labels": tf.TensorSpec([None], tf.float32),
        "is_training": tf.TensorSpec([], tf.int32),  # a cache holds no bool
        **of_loss,
    }
    return ListSource(readers, examples, signature)


def _examples(
    read: ReadLists, is_training: bool, teacher: bool, source: str, errors: ReadErrors | None
) -> Iterator[dict[str, Any]]:
    if errors is not None and errors.any:
        return
    counts: Counter[str] = Counter()
    try:
        for ranked_list in started(read, counts):
            irregular.note(source, counts)
            example = {
                "query_id": ranked_list.query_id,
                "query": ranked_list.query,
                "doc_ids": list(ranked_list.doc_ids),
                "documents": list(ranked_list.documents),
                "labels": np.asarray(ranked_list.labels, np.float32),
                "is_training": int(is_training),
            }
            if teacher:
                of_loss = teacher_scores(ranked_list) if is_training else ranked_list.labels
                example["targets_of_loss"] = np.asarray(of_loss, np.float32)
            yield example
    except Exception as error:
        if errors is None:
            raise
        errors.add(error)


def read_lists(name: str, split: str, use_cached: bool = False) -> Iterator[RankedList]:
    """Every list of a split of a task of ours, whole and in order.

    Args:
      name: the task's name.
      split: its split.
      use_cached: read the output of seqio_cache_tasks.

    Raises:
      ValueError: what the reader refuses, or the cache cannot be read.
    """
    task = seqio.get_mixture_or_task(name)
    if use_cached:
        cached = elements(lambda: task.cached_texts(split), f"task '{name}'")
        yield from map(_cached_list, cached)
        return
    counts: Counter[str] = Counter()
    for ranked in task.source.lists(split, counts):
        irregular.note(f"{name}/{split}", counts)
        yield ranked


def _cached_list(example: Mapping[str, Any]) -> RankedList:
    return RankedList(
        example["query_id"].decode(),
        example["query"].decode(),
        tuple(doc_id.decode() for doc_id in example["doc_ids"]),
        tuple(document.decode() for document in example["documents"]),
        tuple(example["labels"].tolist()),
    )


def teacher_scores(ranked_list: RankedList) -> tuple[float, ...]:
    """The teacher's scores of a list.

    Raises:
      ValueError: it has none.
    """
    if ranked_list.teacher_scores is None:
        raise ValueError(
            f"List '{ranked_list.query_id}' has no teacher_score; expected one of each document. "
            "Build the lists with 't5rank lists --teacher RUN'."
        )
    return ranked_list.teacher_scores
