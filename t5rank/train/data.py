"""Training batches and validation lists of a seqio task, as numpy arrays."""

import dataclasses
import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from t5rank.feature_converters import RankingFeatureConverter
from t5rank.prompts import PairEncoder
from t5rank.tasks import lists


@dataclasses.dataclass(frozen=True)
class ValidationList:
    """One query's tokenized candidates.

    Attributes:
      query_id: the query.
      doc_ids: the documents.
      rows: one int32 array of tokens per document.
      labels: float32 `[list]`.
    """

    query_id: str
    doc_ids: tuple[str, ...]
    rows: tuple[np.ndarray, ...]
    labels: np.ndarray


def train_batches(
    task: str,
    task_feature_lengths: Mapping[str, Sequence[int]],
    batch_size: int,
    seed: int,
    use_cached: bool = False,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches `[lists, list_size, ...]`, the same ones for the same seed.

    The dataset is the one that T5X makes of the same settings.

    Raises:
      ValueError: the data are malformed, or hold no list.
    """
    with lists.clear_errors():
        data = seqio.get_dataset(
            task,
            task_feature_lengths=task_feature_lengths,
            dataset_split=lists.TRAIN,
            shuffle=True,
            num_epochs=None,
            feature_converter=RankingFeatureConverter(),
            seed=seed,
            use_cached=use_cached,
            batch_size=batch_size,
            verbose=False,
        )
        count = 0
        for batch in data.prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
            count += 1
            yield batch
    if not count:
        raise ValueError(f"Task '{task}' has no training list; expected at least one.")


def validation_lists(
    task: str,
    encoder: PairEncoder,
    split: str = "validation",
    use_cached: bool = False,
) -> Iterator[ValidationList]:
    """Every list of a split, whole and in order; those of a mixture task by task.

    The texts are the task's, the tokens `encoder`'s: those that `Reranker` scores.
    """
    whole = {"inputs": (None, encoder.max_length), "targets": None, "label": None, "mask": None}
    provider = seqio.get_mixture_or_task(task)
    # A mixture's own dataset is endless and has no ids.
    tasks = provider.tasks if isinstance(provider, seqio.Mixture) else [provider]
    parts = [
        part.get_dataset(whole, split=split, shuffle=False, use_cached=use_cached)
        for part in tasks
        if split in part.splits
    ]
    with lists.clear_errors():
        for example in itertools.chain.from_iterable(d.as_numpy_iterator() for d in parts):
            documents = [document.decode() for document in example["documents"]]
            pairs = encoder.encode(example["query"].decode(), documents)
            yield ValidationList(
                query_id=example["query_id"].decode(),
                doc_ids=tuple(doc_id.decode() for doc_id in example["doc_ids"]),
                rows=tuple(pair.tokens for pair in pairs),
                labels=example["label"],
            )


def has_split(task: str, split: str) -> bool:
    """Whether a task (or every task of a mixture) has a split."""
    return split in seqio.get_mixture_or_task(task).splits


def close(batches: Iterator[Any]) -> None:
    """Stops reading."""
    if isinstance(batches, Generator):
        batches.close()
