"""Registers seqio tasks over ranked lists.

A task function (`jsonl_task` here, others in `t5rank.tasks.msmarco`) registers its task and returns
the task's name, so that gin can say `MIXTURE_OR_TASK_NAME = @lists.jsonl_task()`. Calling it again
with the same settings changes nothing.
"""

import functools
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from t5rank.checks import check_boolean, check_choice, check_integer, check_number
from t5rank.data.jsonl import read_jsonl
from t5rank.data.ranked_list import RankedList, irregular
from t5rank.metrics.means import MeanMetrics, ScoredList
from t5rank.models.ranking import DEFAULT_METRIC_FNS
from t5rank.tasks import preprocessors
from t5rank.tasks.errors import ReadErrors, elements
from t5rank.tasks.seqio_vocabulary import TextVocabulary
from t5rank.tasks.sources import ListSource, ListTask, ReadLists, started
from t5rank.text.prompts import RANKT5, PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary

TRAIN = "train"
LABELS = ("label", "teacher_score")
SHUFFLE_BUFFER = 1000  # lists, where they cannot be shuffled whole; filled before the first batch
_registered: dict[str, Any] = {}
_mixtures: dict[str, Any] = {}
_irregular: dict[str, Counter[str]] = {}
_cut: dict[str, set[str]] = {}
_log = logging.getLogger(__name__)


def seqio_vocabulary(vocabulary_file: str) -> seqio.SentencePieceVocabulary:
    """The vocabulary for seqio and T5X; tokenizes as `t5rank.text.vocabulary.Vocabulary` does."""
    return TextVocabulary(vocabulary_file)


def jsonl_task(
    data_dir: str,
    splits: Mapping[str, str],
    vocabulary_file: str,
    prompt: str = RANKT5,
    name: str = "ranked_lists",
    one_positive: bool = False,
    keep_without_relevant: bool = True,
    labelled: bool = True,
    label: str = "label",
    strict: bool = True,
    shuffle_buffer: int = SHUFFLE_BUFFER,
) -> str:
    """Registers a task over JSON lines files (see `t5rank.data.jsonl`) and returns its name.

    Args:
      data_dir: the folder of the files.
      splits: split to file name, such as `{"train": "train.jsonl", "validation": "dev.jsonl"}`, or
        to the name of a folder of lists (see `t5rank.data.folder`).
      vocabulary_file: a SentencePiece model.
      prompt: see `t5rank.text.prompts`.
      name: the task's name.
      one_positive: see `t5rank.tasks.preprocessors.sample_documents`.
      keep_without_relevant: whether lists without a relevant document stay.
      labelled: whether every document must have a label; without, only scores make sense.
      label: see `register_task`.
      strict: see `register_task`; also of the reader.
      shuffle_buffer: see `register_task`.
    """
    readers = {
        split: functools.partial(
            read_jsonl,
            os.path.join(data_dir, file),
            keep_without_relevant=keep_without_relevant,
            labelled=labelled,
            strict=strict,
        )
        for split, file in splits.items()
    }
    return register_task(
        name,
        readers,
        vocabulary_file,
        prompt,
        one_positive,
        label=label,
        strict=strict,
        shuffle_buffer=shuffle_buffer,
    )


def mixture(
    tasks: Sequence[str], rates: Sequence[float] | None = None, name: str = "mixture"
) -> str:
    """Registers a mixture of tasks, drawn from at `rates`, and returns its name.

    Args:
      tasks: names of tasks, of one vocabulary and one prompt.
      rates: how often each task is drawn from, relative to the others; None, all alike.
      name: the mixture's name.

    Raises:
      ValueError: another number of rates than of tasks, a task twice, a rate that is not above 0,
        or a mixture of this name with other settings.
    """
    for rate in rates or ():
        check_number("RATES", rate, above=0)
    rates = [1.0] * len(tasks) if rates is None else [*map(float, rates)]
    if len(rates) != len(tasks) or len(set(tasks)) != len(tasks) or not tasks:
        raise ValueError(
            f"Mixture '{name}' has the tasks {[*tasks]} and {len(rates)} rates; expected different "
            "tasks (give each its own 'name'), and a rate of each."
        )
    settings = list(zip(tasks, rates, strict=True))
    if name not in seqio.MixtureRegistry.names():
        seqio.MixtureRegistry.add(name, settings)
        _mixtures[name] = settings
    if _mixtures.get(name) != settings:
        raise ValueError(
            f"Mixture '{name}' has other settings already; expected one registration a name. "
            "Give it another name."
        )
    text_settings(name)  # one vocabulary, one prompt
    return name


def register_task(
    name: str,
    readers: Mapping[str, ReadLists],
    vocabulary_file: str,
    prompt: str = RANKT5,
    one_positive: bool = False,
    target_token: str = "<extra_id_10>",
    label: str = "label",
    strict: bool = True,
    shuffle_buffer: int = SHUFFLE_BUFFER,
) -> str:
    """Registers a task over any readers of `RankedList` and returns its name.

    Args:
      name: the task's name.
      readers: split to a function that starts reading its lists.
      vocabulary_file: a SentencePiece model.
      prompt: see `t5rank.text.prompts`.
      one_positive: see `t5rank.tasks.preprocessors.sample_documents`.
      target_token: the token of the `targets` feature.
      label: what a loss gets as labels in training: "label", or "teacher_score" for distillation.
        Validation keeps the labels, and so does what `one_positive` calls relevant.
      strict: whether a query that leaves its documents no room is an error; if not, it is cut (see
        `t5rank.text.prompts.PairEncoder`) and counted, see `irregular_data`.
      shuffle_buffer: lists in memory that the next is drawn from, where lists can only be read from
        their start; the others are shuffled whole (`t5rank.tasks.sources`).

    Raises:
      ValueError: a task of this name is registered with other settings.
    """
    check_choice("LABEL", label, LABELS)
    check_boolean("ONE_POSITIVE", one_positive)
    check_integer("SHUFFLE_BUFFER", shuffle_buffer)
    settings = (
        *(_reader_settings(readers), vocabulary_file, prompt),
        *(one_positive, target_token, label, shuffle_buffer, strict),
    )
    if name in _registered:
        if _registered[name] != settings:
            raise ValueError(
                f"Task '{name}' has other settings already; expected one registration a name. "
                "Give it another name."
            )
        return name
    vocabulary = seqio_vocabulary(vocabulary_file)
    encoder = PairEncoder(
        Vocabulary(vocabulary_file), Prompt(prompt), preprocessors.UNCUT, strict=strict
    )
    seqio.TaskRegistry.add(
        name,
        source=list_source(readers, teacher=label == "teacher_score", name=name),
        preprocessors=[
            seqio.CacheDatasetPlaceholder(),
            functools.partial(preprocessors.sample_documents, one_positive=one_positive),
            preprocessors.check_list_size,
            functools.partial(
                preprocessors.tokenize_pairs,
                encoder=encoder,
                target_token_id=encoder.vocabulary.token_id(target_token),
                on_cut=functools.partial(note_cut, name),
            ),
        ],
        output_features={
            "inputs": seqio.Feature(vocabulary, rank=2, add_eos=False),
            "targets": seqio.Feature(vocabulary, rank=2, add_eos=False),
            "label": seqio.Feature(seqio.PassThroughVocabulary(0), dtype=tf.float32, add_eos=False),
            "mask": seqio.Feature(seqio.PassThroughVocabulary(0), dtype=tf.bool, add_eos=False),
        },
        postprocess_fn=judged_list,
        metric_fns=[ranking_metrics],
        shuffle_buffer_size=shuffle_buffer,
        task_cls=ListTask,
    )
    _registered[name] = settings
    _cut.pop(name, None)
    for split in readers:
        _irregular.pop(f"{name}/{split}", None)
    return name


def judged_list(target: Any, example: Mapping[str, Any], is_target: bool) -> ScoredList:
    """seqio's `postprocess_fn`: the documents and labels of a list, for `ranking_metrics`."""
    del target, is_target  # scores are not postprocessed
    doc_ids = [doc_id.decode() for doc_id in example["doc_ids"]]
    return ScoredList(doc_ids, example["label"], np.zeros(len(doc_ids), np.float32))


def ranking_metrics(targets: Sequence[ScoredList], scores: np.ndarray) -> dict[str, float]:
    """seqio's metric of scores `[lists, list_size]`: the means of `t5rank.metrics.means`."""
    metrics = MeanMetrics(DEFAULT_METRIC_FNS)
    if targets:
        metrics.add(
            [
                target._replace(scores=np.asarray(row, np.float32)[: len(target.doc_ids)])
                for target, row in zip(targets, scores, strict=True)
            ]
        )
    return metrics.means()


def _reader_settings(readers: Mapping[str, ReadLists]) -> Any:
    return {
        split: (r.func, r.args, r.keywords) if isinstance(r, functools.partial) else r
        for split, r in readers.items()
    }


def is_ours(name: str) -> bool:
    """Whether a task was registered by `register_task`."""
    return name in _registered


def uses_teacher(name: str) -> bool:
    """Whether the loss of a task of ours gets a teacher's scores."""
    return "teacher_score" in _registered[name]


def split_files(name: str) -> dict[str, dict[str, str]]:
    """What each split of a task of ours reads: split to `{"lists": path}`, or to the paths under
    "collection", "queries", "qrels" and "run"; none for readers of another make.
    """
    return {split: _files(settings) for split, settings in _registered[name][0].items()}


def _files(settings: Any) -> dict[str, str]:
    if not isinstance(settings, tuple):
        return {}
    _, args, keywords = settings
    kinds = ("collection", "queries", "qrels", "run")
    named = {kind: keywords[kind] for kind in kinds if keywords.get(kind) is not None}
    found = ({"lists": args[0]} if args else {}) | named
    return {kind: os.fspath(file) for kind, file in found.items() if _is_path(file)}


def _is_path(file: Any) -> bool:
    return isinstance(file, str | os.PathLike)


def is_strict(name: str) -> bool:
    """Whether a task of ours refuses a query that leaves its documents no room."""
    return _registered[name][-1]


def irregular_data(name: str) -> dict[str, int]:
    """What was repaired, or is blank, in the data of a task or mixture as far as they were read.

    The names are those of `t5rank.data.ranked_list`. A list that is read again, in another epoch,
    counts once, and so does a query that is cut; a list of two splits counts twice.
    """
    total: Counter[str] = Counter()
    for task in task_names(name):
        for split in seqio.get_mixture_or_task(task).splits:
            total.update(_irregular.get(f"{task}/{split}", {}))
        total["queries_cut"] += len(_cut.get(task, ()))
    return irregular(total)


def _note_irregular(source: str, counts: Counter[str]) -> None:
    """Keeps the largest counts of all readings of a task's split; says at once what is new."""
    known = _irregular.setdefault(source, Counter())
    found = irregular(counts)
    for kind in found.keys() - known.keys():
        _log.warning("Data of '%s' have %s: counted, at the end in all.", source, _words(kind))
    known |= Counter(found)
    _irregular[source] = known


def note_cut(task: str, query_id: str) -> None:
    """Counts a query of a task that is cut, once; says so of the first."""
    cut = _cut.setdefault(task, set())
    if not cut:
        _log.warning("Query '%s' of '%s' is cut: it leaves no room.", query_id, task)
    cut.add(query_id)


def _words(kind: str) -> str:
    return kind.replace("_", " ")


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
        _note_irregular(f"{name}/{split}", counts)
        yield ranked


def _cached_list(example: Mapping[str, Any]) -> RankedList:
    return RankedList(
        example["query_id"].decode(),
        example["query"].decode(),
        tuple(doc_id.decode() for doc_id in example["doc_ids"]),
        tuple(document.decode() for document in example["documents"]),
        tuple(example["labels"].tolist()),
    )


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
            _note_irregular(source, counts)
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


def task_names(name: str) -> list[str]:
    """The tasks of a mixture; a task is its own only one."""
    provider = seqio.get_mixture_or_task(name)
    return [t.name for t in provider.tasks] if isinstance(provider, seqio.Mixture) else [name]


def text_settings(name: str) -> tuple[str, str]:
    """`(vocabulary_file, prompt)` of a task of ours, or of a mixture of such tasks.

    Raises:
      ValueError: a task was not registered by `t5rank.tasks`, or a mixture's tasks differ.
    """
    names = task_names(name)
    for unknown in set(names) - set(_registered):
        raise ValueError(
            f"Task '{unknown}' has no prompt known here; expected a task registered with "
            "t5rank.tasks.lists.register_task."
        )
    settings = {(_registered[n][1], _registered[n][2]) for n in names}
    if len(settings) != 1:
        raise ValueError(
            f"Mixture '{name}' has {len(settings)} prompts or vocabularies; expected 1."
        )
    return settings.pop()
