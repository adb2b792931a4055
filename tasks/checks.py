"""A look at a task's lists before a run that will read them, so that what is wrong is said first.

Every list of a split is read where its files are small (`CHECKED_BYTES`), else the first
`CHECKED_LISTS`: a folder of lists, or a collection and its run, opens in full either way.
"""

import collections
import dataclasses
import itertools
import logging
import os
from collections.abc import Iterator

import numpy as np
import seqio
import tensorflow as tf
from tqdm import tqdm

from t5rank.data.errors import DataError
from t5rank.data.msmarco import tfds_info
from t5rank.data.ranked_list import RankedList
from t5rank.tasks import registry
from t5rank.tasks.examples import teacher_scores
from t5rank.text.encoders import Encoder

CHECKED_BYTES = 64 << 20
CHECKED_LISTS = 1000
_COMPRESSION = 5  # texts are about so much longer than their gzip
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CheckedLists:
    """What was found.

    Attributes:
      task: the task.
      split: its split.
      is_whole: whether all lists were read.
      labels: what the loss gets, of each list.
      query_ids: of the lists.
      relevant: how many lists have a label above 0.
    """

    task: str
    split: str
    is_whole: bool
    labels: list[np.ndarray]
    query_ids: set[str]
    relevant: int

    @property
    def which(self) -> str:
        """The lists in words."""
        return f"the {'' if self.is_whole else 'first '}{len(self.labels):,} lists of '{self.task}'"


def check_lists(
    task: str, split: str, encoder: Encoder, use_cached: bool = False
) -> CheckedLists | None:
    """Reads lists of a split as a run will.

    Args:
      task: a task of ours, no mixture.
      split: its split.
      encoder: the model's tokenization; a query must leave its prompt room.
      use_cached: look at the output of seqio_cache_tasks instead, which was checked as it was made.

    Raises:
      ValueError: what the reader refuses (it names file and line), a query that is too long, a list
        without teacher's scores where these are learned, or no list at all.
    """
    if use_cached:
        _check_cache(task, split)
        return None
    encoder = dataclasses.replace(encoder, strict=registry.is_strict(task))
    is_whole = _bytes(task, split) <= CHECKED_BYTES
    teacher = registry.uses_teacher(task) and split == registry.TRAIN
    labels, query_ids, relevant = [], set(), 0
    for ranked in _read(task, split, None if is_whole else CHECKED_LISTS):
        _check_query(ranked, encoder)
        of_loss = teacher_scores(ranked) if teacher else ranked.labels
        labels.append(np.asarray(of_loss, np.float32))
        query_ids.add(ranked.query_id)
        relevant += ranked.has_relevant
    if not labels:
        what = "training list" if split == registry.TRAIN else f"list in '{split}'"
        raise ValueError(
            f"Task '{task}' has no {what}; expected at least one. Are the files empty, or do "
            "KEEP_WITHOUT_RELEVANT = False and the qrels leave none?"
        )
    found = CheckedLists(task, split, is_whole, labels, query_ids, relevant)
    rest = "" if is_whole else f"; of files beyond {CHECKED_BYTES >> 20} MiB no more are read now"
    _log.info("Checked %s, split '%s'%s.", found.which, split, rest)
    return found


def _read(task: str, split: str, number: int | None) -> Iterator[RankedList]:
    source = seqio.get_mixture_or_task(task).source
    with tqdm(
        desc=f"checking '{split}'", unit=" lists", leave=False, disable=None, delay=2
    ) as progress:
        for ranked in itertools.islice(source.lists(split), number):
            progress.update()
            yield ranked


def _bytes(task: str, split: str) -> int:
    """Of the split's files, as text."""
    named = registry.split_files(task)[split].values()
    files = [path.rpartition(":")[0] if tfds_info(path) else path for path in named]
    paths = [
        os.path.join(path, name)
        for path in files
        for name in (os.listdir(path) if os.path.isdir(path) else [""])
    ]
    paths = [path.rstrip("/") for path in paths]
    return sum(
        os.path.getsize(path) * (_COMPRESSION if path.endswith((".gz", ".parquet")) else 1)
        for path in paths
        if os.path.isfile(path)
    )


def _check_query(ranked: RankedList, encoder: Encoder) -> None:
    try:
        encoder.check_query(ranked.query)
    except DataError as error:
        raise error.placed(
            f"It is query '{ranked.query_id}'; the input length is INPUT_LENGTH."
        ) from None


def _check_cache(task: str, split: str) -> None:
    data = seqio.get_mixture_or_task(task)
    try:
        data.assert_cached()
        number = data.get_cached_stats(split)["examples"]
    except (AssertionError, ValueError, KeyError, OSError, tf.errors.OpError) as error:
        raise ValueError(
            f"Task '{task}' has no cached '{split}' ({str(error)[:100]}); expected the output of "
            "seqio_cache_tasks in --seqio_additional_cache_dirs, or USE_CACHED_TASKS = False."
        ) from None
    if not number:
        raise ValueError(f"Task '{task}' has no list in the cached '{split}'; expected some.")


def label_warning(checked: CheckedLists) -> str | None:
    """What the labels cannot teach, whatever the loss; None where nothing speaks against them."""
    if all(len(labels) == 1 for labels in checked.labels):
        return "have one document each: there is no order to learn"
    values = collections.Counter(v for labels in checked.labels for v in np.unique(labels).tolist())
    if values.keys() == {0.0}:
        return "have no label above 0: nothing in them is relevant"
    if len(values) == 1:
        return f"have the label {next(iter(values))} everywhere: nothing tells documents apart"
    if all(len(np.unique(labels)) == 1 for labels in checked.labels):
        return "each have one label throughout: nothing tells the documents of a list apart"
    return None
