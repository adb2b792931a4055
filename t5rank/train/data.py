"""Training batches and validation lists of a seqio task, as numpy arrays."""

import dataclasses
import functools
from collections.abc import Container, Iterator, Mapping, Sequence

import numpy as np
import seqio
import tensorflow as tf

from t5rank.data.errors import DataError
from t5rank.data.ranked_list import RankedList
from t5rank.tasks import irregular, mixtures, registry
from t5rank.tasks.batches import batches_by_dataset
from t5rank.tasks.errors import elements, placed
from t5rank.tasks.examples import read_lists
from t5rank.tasks.feature_converters import converter_of
from t5rank.text.encoders import Encoder
from t5rank.train.ahead import read_ahead

AHEAD = 64  # validation lists


@dataclasses.dataclass(frozen=True)
class ValidationList:
    """One query's tokenized candidates.

    Attributes:
      query_id: the query.
      doc_ids: the documents.
      rows: int32 arrays of tokens: one of each document, after that of the query where they are
        read apart.
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

    def make() -> tf.data.Dataset:
        converter = converter_of(registry.text_settings(task)[1])()
        if mixtures.datasets_per_batch(task) is not None:
            data = batches_by_dataset(
                task, task_feature_lengths, batch_size, seed, converter, use_cached
            )
        else:
            data = seqio.get_dataset(
                task,
                task_feature_lengths=task_feature_lengths,
                dataset_split=registry.TRAIN,
                shuffle=True,
                num_epochs=None,
                feature_converter=converter,
                seed=seed,
                use_cached=use_cached,
                batch_size=batch_size,
                verbose=False,
            )
        return data.prefetch(tf.data.AUTOTUNE)

    count = 0
    for batch in elements(make, _where(task, registry.TRAIN, use_cached)):
        count += 1
        yield batch
    if not count:
        raise ValueError(f"Task '{task}' has no training list; expected at least one.")


def validation_lists(
    task: str,
    encoder: Encoder,
    split: str = "validation",
    use_cached: bool = False,
    queries: Container[str] | None = None,
    topn: int | None = None,
) -> Iterator[ValidationList]:
    """Every list of a task's split, in order, read and tokenized ahead by another thread.

    Args:
      task: one task, no mixture.
      encoder: the model's tokenization.
      split: the split.
      use_cached: read the output of seqio_cache_tasks.
      queries: of which queries; None takes all. Only their lists are tokenized.
      topn: so many documents of each list, the first ones; None takes all.
    """
    encoder = dataclasses.replace(encoder, strict=registry.is_strict(task))
    on_cut = functools.partial(irregular.note_cut, task)

    def tokenized(ranked: RankedList) -> ValidationList:
        texts = ranked.documents[:topn]
        try:
            rows = encoder.list_rows(ranked.query, texts, ranked.query_id, on_cut)
        except DataError as error:
            raise placed(error, _where(task, split, use_cached)) from None
        labels = np.asarray(ranked.labels[:topn], np.float32)
        return ValidationList(ranked.query_id, ranked.doc_ids[:topn], tuple(rows), labels)

    found = read_lists(task, split, use_cached)
    chosen = (ranked for ranked in found if queries is None or ranked.query_id in queries)
    return read_ahead(map(tokenized, chosen), AHEAD)


def _where(mixture_or_task: str, split: str, use_cached: bool) -> str:
    """The tasks that are read, with their files, or where they are cached."""
    said = []
    for name in registry.task_names(mixture_or_task):
        files = registry.split_files(name).get(split, {}).values()
        cache = seqio.get_mixture_or_task(name).cache_dir if use_cached else None
        cached = [f"cached in {cache}" if cache else "not cached"] if use_cached else []
        said.append(f"task '{name}' ({', '.join(cached or files)})")
    return ", ".join(said)


def tasks_with(mixture_or_task: str, split: str) -> list[str]:
    """The tasks of a mixture that have a split; a task is its own only one."""
    names = registry.task_names(mixture_or_task)
    return [name for name in names if split in seqio.get_mixture_or_task(name).splits]
