"""Batches of a mixture whose lists come from one task, or from N, in place of freely mixed ones.

In-batch negatives are harder where they are of one data set. With DATASETS_PER_BATCH = 1 a batch is
of one task, as t5x_retrieval trains; with N, N tasks each fill an equal part of it, one part after
the other, as in the 1B-pairs project (flax-sentence-embeddings). Which tasks a batch is of follows
from the seed and the number of the batch alone.

No text stands twice in a batch, as a query or as a relevant document: it would be a false negative.
Such a list waits for a later batch. Every host chooses the lists of whole batches and keeps its
own part, so that the batch is the same for any number of hosts.
"""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from t5rank.tasks import mixtures, registry
from t5rank.tasks.errors import collector, elements
from t5rank.tasks.examples import TRAIN

WAITING = 1000  # lists of a task that wait for a batch without their texts; more are left out
TRIES = 10_000  # lists in a row that do not fit into a batch, before that is an error
Example = Mapping[str, Any]
_ONE_HOST = seqio.ShardInfo(0, 1)
_log = logging.getLogger(__name__)


def batches_by_dataset(
    mixture: str,
    task_feature_lengths: Mapping[str, Any],
    batch_size: int,
    seed: int,
    feature_converter: seqio.FeatureConverter,
    use_cached: bool = False,
    shard: seqio.ShardInfo = _ONE_HOST,
) -> tf.data.Dataset:
    """Endless batches of a mixture that has DATASETS_PER_BATCH, in place of `seqio.get_dataset`.

    Args:
      mixture: of `t5rank.tasks.mixtures`.
      task_feature_lengths: as seqio's.
      batch_size: lists of a batch, of all hosts together.
      seed: of the order of lists, and of the choice of tasks.
      feature_converter: the model's.
      use_cached: read the output of seqio_cache_tasks.
      shard: this host; it gets its consecutive part of every batch.

    Raises:
      ValueError: the batch size cannot be divided by DATASETS_PER_BATCH or by the hosts. While
        reading: a task has no list, or too few different texts for a batch.
    """
    check_batch_size(mixture, batch_size, shard.num_shards)
    number = mixtures.datasets_per_batch(mixture) or 1
    tasks = [seqio.get_mixture_or_task(name) for name in registry.task_names(mixture)]
    data = {
        task: task.get_dataset(
            task_feature_lengths, TRAIN, use_cached, shuffle=True, seed=seed, num_epochs=None
        )
        for task in tasks
        if TRAIN in task.splits
    }
    rates = [mixtures.rate(mixture, task.name) for task in data]
    errors = collector()
    size = batch_size // shard.num_shards
    part = slice(shard.index * size, (shard.index + 1) * size)
    features = [*tasks[0].output_features]

    def examples() -> Iterator[Example]:
        if errors is not None and errors.any:
            return
        try:
            streams = [_Stream(task.name, lists) for task, lists in data.items()]
            for lists in _batches(streams, rates, batch_size, number, seed):
                for example in lists[part]:
                    yield {feature: example[feature] for feature in features}
        except _Ended as ended:
            if errors is None or not errors.any:  # else what ended it is known
                raise ended.error from None
        except Exception as error:
            if errors is None:
                raise
            errors.add(error)

    specification = next(iter(data.values())).element_spec
    chosen = tf.data.Dataset.from_generator(
        examples, output_signature={feature: specification[feature] for feature in features}
    )
    return feature_converter(chosen, task_feature_lengths).batch(size, drop_remainder=True)


def check_batch_size(mixture: str, batch_size: int, hosts: int = 1) -> None:
    """Raises ValueError where a batch cannot be divided; for other mixtures and tasks passes."""
    number = mixtures.datasets_per_batch(mixture)
    if number is None:
        return
    for name, parts in (("DATASETS_PER_BATCH", number), ("the number of hosts", hosts)):
        if batch_size % parts:
            raise ValueError(
                f"BATCH_SIZE has {batch_size} lists; expected a multiple of {name}, {parts}."
            )


def drawn_tasks(rates: Sequence[float], number: int, seed: int, batch: int) -> list[int]:
    """Which tasks a batch is of, by their numbers, drawn at their rates.

    A task stands once in a batch, as long as there are as many: one with a high rate then is
    drawn less often than its rate says.

    >>> drawn_tasks([3.0, 1.0, 1.0], 2, seed=0, batch=7)
    [0, 1]
    """
    chances = np.asarray(rates, np.float64) / np.sum(rates)
    again = number > len(rates)
    return np.random.default_rng([seed, batch]).choice(len(rates), number, again, chances).tolist()


def _batches(
    streams: Sequence["_Stream"], rates: Sequence[float], size: int, number: int, seed: int
) -> Iterator[list[Example]]:
    batch = 0
    while True:
        texts: set[bytes] = set()
        lists: list[Example] = []
        for task in drawn_tasks(rates, number, seed, batch):
            lists += streams[task].take(size // number, texts)
        yield lists
        batch += 1


class _Ended(Exception):
    """An endless dataset ended: it has no list, or its reader failed."""

    def __init__(self, task: str):
        super().__init__(task)
        self.error = ValueError(f"Task '{task}' has no training list; expected at least one.")


class _Stream:
    """The lists of a task, those that wait before the others."""

    def __init__(self, task: str, lists: tf.data.Dataset):
        self._task = task
        self._lists = elements(lambda: lists, f"task '{task}'")
        self._best_is_relevant = registry.is_ours(task) and registry.uses_teacher(task)
        self._waiting: deque[Example] = deque()
        self._left_out = 0

    def take(self, number: int, texts: set[bytes]) -> list[Example]:
        """So many lists with none of these texts; theirs are added."""
        taken: list[Example] = []
        put_back: deque[Example] = deque()
        tries = 0
        while len(taken) < number:
            example = self._waiting.popleft() if self._waiting else self._next()
            own = self._texts(example)
            if texts.isdisjoint(own):
                texts |= own
                taken.append(example)
                continue
            put_back.append(example)
            if len(put_back) > WAITING:
                self._leave_out(put_back.popleft())
            tries += 1
            if tries > TRIES:
                raise ValueError(
                    f"Task '{self._task}' gave {tries:,} lists that have a query or a relevant "
                    f"text of the batch; expected {number:,} lists of a batch without. Lower "
                    "BATCH_SIZE, or mix freely, with DATASETS_PER_BATCH = None."
                )
        self._waiting.extendleft(reversed(put_back))
        return taken

    def _next(self) -> Example:
        try:
            return next(self._lists)
        except StopIteration:
            raise _Ended(self._task) from None

    def _texts(self, example: Example) -> set[bytes]:
        missing = {"query", "documents", "label"} - example.keys()
        if missing:
            raise ValueError(
                f"Task '{self._task}' has no feature '{min(missing)}'; expected a task of "
                "t5rank.tasks for DATASETS_PER_BATCH, as no text may come twice in a batch."
            )
        documents = example["documents"]
        labels = example["label"][-len(documents) :]  # a retriever's first one is of the query
        relevant = labels == labels.max() if self._best_is_relevant else labels > 0
        return {example["query"], *documents[relevant]}

    def _leave_out(self, example: Example) -> None:
        self._left_out += 1
        if self._left_out.bit_count() == 1:
            _log.warning(
                "Task '%s' has left out %d lists: their texts come more often than batches do. "
                "Now query '%s'.",
                *(self._task, self._left_out, example["query"].decode()),
            )
