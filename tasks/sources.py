"""Where a task's lists come from: a seqio source that shuffles lists whole where it can.

Lists that can be read by number (`t5rank.data.indexed`) come in a new order every epoch, each list
once. These are folders of `t5rank lists`, uncompressed lines, and the queries of an uncompressed
run. The order follows from seqio's seed alone, so that both trainers, all hosts and a resumed run
see the same one. One of several hosts reads only its part. The order is computed place by place
(`t5rank.data.permutation`): it takes no memory for a billion lists, and can begin at any place.

Other data can only be read from their start (gzip of another make, the columnar file of QnA), and
seqio shuffles them in a buffer of SHUFFLE_BUFFER lists. Before that, the files of a folder come in
a new order every epoch, several side by side. Cached tasks are shuffled by seqio: their files, then
in the buffer. A mixture draws from its tasks, each shuffled by itself.
"""

import functools
import inspect
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from t5rank.data.any_lists import index_lists, read_lists
from t5rank.data.indexed import IndexedLists
from t5rank.data.jsonl import index_jsonl, read_jsonl
from t5rank.data.msmarco import index_qna_rows, read_qna_rows
from t5rank.data.permutation import Permutation
from t5rank.data.ranked_list import RankedList
from t5rank.lists.passages import index_passage_lists, read_passage_lists
from t5rank.tasks.errors import ReadErrors, collector

ReadLists = Callable[[], Iterable[RankedList]]
Examples = Callable[[ReadLists, str, ReadErrors | None], Iterator[dict[str, Any]]]
_INDEXED: Mapping[Callable[..., Any], Callable[..., IndexedLists | None]] = {
    read_lists: index_lists,
    read_jsonl: index_jsonl,
    read_qna_rows: index_qna_rows,
    read_passage_lists: index_passage_lists,
}
_log = logging.getLogger(__name__)


def indexed(read: ReadLists) -> IndexedLists | None:
    """The lists of a reader by number, or None where it can only be read from its start.

    Raises:
      ValueError: what the reader refuses of its files.
    """
    if not isinstance(read, functools.partial) or read.func not in _INDEXED:
        return None
    return _INDEXED[read.func](*read.args, **read.keywords)


def started(read: ReadLists, counts: Counter[str]) -> Iterable[RankedList]:
    """The lists of a reader; those of `t5rank.data` say in `counts` what they found."""
    try:
        parameters = inspect.signature(read).parameters.values()
    except ValueError:  # of a builtin
        return read()
    counting = any(p.name == "counts" or p.kind is p.VAR_KEYWORD for p in parameters)
    return read(counts=counts) if counting else read()  # type: ignore[call-arg]


def _is_folder(read: ReadLists) -> bool:
    """Whether a reader's files can come in another order."""
    return (
        isinstance(read, functools.partial)
        and read.func in (read_lists, read_jsonl)
        and os.path.isdir(*read.args)
    )


class ListSource(seqio.DataSource):
    """A seqio source of one example a list.

    Args:
      readers: split to a function that starts reading its lists.
      examples: lists, their split and where errors are put (see `t5rank.tasks.errors`) to examples.
      signature: the examples' specification.
    """

    def __init__(
        self,
        readers: Mapping[str, ReadLists],
        examples: Examples,
        signature: Mapping[str, tf.TensorSpec],
    ):
        super().__init__(splits=tuple(readers))
        self._readers = readers
        self._examples = examples
        self._signature = dict(signature)
        self._indexed: dict[str, IndexedLists | None] = {}

    @property
    def supports_arbitrary_sharding(self) -> bool:
        """True: each host reads its own lists."""
        return True

    def list_shards(self, split: str) -> list[str]:
        """One: the split."""
        return [split]

    def indexed(self, split: str) -> IndexedLists | None:
        """The lists of a split by number, or None; see `indexed`."""
        if split not in self._indexed:
            self._indexed[split] = indexed(self._readers[split])
        return self._indexed[split]

    def lists(self, split: str, counts: Counter[str] | None = None) -> Iterable[RankedList]:
        """Every list of a split, in the order of its files (`counts`: see `checked_list`)."""
        counts = Counter() if counts is None else counts
        lists = self.indexed(split)
        if lists is None:
            return started(self._readers[split], counts)
        return lists.lists(range(len(lists)), counts)

    def get_dataset(
        self,
        split: str = "train",
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
        **_: Any,
    ) -> tf.data.Dataset:
        """The examples of a split; with `shuffle`, what can be is in a new order every epoch."""
        shard = shard_info or seqio.ShardInfo(0, 1)
        errors = collector()
        lists = self.indexed(split) if shuffle else None

        def files_epoch(number: np.uint64) -> Iterator[dict[str, Any]]:
            read = functools.partial(self._readers[split], shuffle=int(number))
            return self._examples(read, split, errors)

        if lists is None and shuffle and _is_folder(self._readers[split]):
            dataset = self._epochs(files_epoch, seed)
            return dataset.shard(shard.num_shards, shard.index)
        if lists is None:
            read = functools.partial(self.lists, split)
            dataset = self._dataset(lambda: self._examples(read, split, errors))
            return dataset.shard(shard.num_shards, shard.index)

        def epoch(number: np.uint64) -> Iterator[dict[str, Any]]:
            order = Permutation(len(lists), int(number))
            part = order.numbers(shard.index, shard.num_shards)
            return self._examples(functools.partial(lists.lists, part), split, errors)

        return self._epochs(epoch, seed)

    def _epochs(self, examples: Callable[..., Any], seed: int | None) -> tf.data.Dataset:
        """One epoch of `examples` of a number that is another each time seqio repeats the data."""

        @tf.autograph.experimental.do_not_convert
        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            return self._dataset(examples, number)

        numbers = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).take(1)
        return numbers.flat_map(epoch)

    def _dataset(self, examples: Callable[..., Any], *arguments: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_generator(
            examples, output_signature=self._signature, args=arguments or None
        )


class ListTask(seqio.Task):
    """A task that leaves out seqio's buffer where its source has shuffled the lists whole."""

    def get_dataset(
        self,
        sequence_length: Mapping[str, Any] | None = None,
        split: str = "train",
        use_cached: bool = False,
        shuffle: bool = True,
        shuffle_buffer_size: int | None = None,
        **settings: Any,
    ) -> tf.data.Dataset:
        """See seqio."""
        if shuffle and not use_cached:
            lists = self.source.indexed(split)
            _log.info("Task '%s': %s.", self.name, self._how(split, lists))
            shuffle_buffer_size = shuffle_buffer_size if lists is None else 1
        return super().get_dataset(
            sequence_length, split, use_cached, shuffle, shuffle_buffer_size, **settings
        )

    def cached_texts(self, split: str) -> tf.data.Dataset:
        """The cached examples of a split in their order, not tokenized."""
        return self._get_cached_source(split).get_dataset(split=split, shuffle=False)

    def _how(self, split: str, lists: IndexedLists | None) -> str:
        if lists is not None:
            return f"the {len(lists):,} lists of '{split}' are shuffled whole, anew every epoch"
        return (
            f"the lists of '{split}' are shuffled in a window of {self.shuffle_buffer_size:,} "
            "(SHUFFLE_BUFFER): they can only be read from their start. Uncompressed lines and "
            "folders of 't5rank lists' are shuffled whole"
        )
