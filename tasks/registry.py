"""Registers seqio tasks over ranked lists, and knows what they were registered with.

A task function (`jsonl.jsonl_task`, `msmarco.qna_task`, `msmarco.passage_task`) registers its task
and returns the task's name, so that gin can say `MIXTURE_OR_TASK_NAME = @jsonl.jsonl_task()`.
Calling it again with the same settings changes nothing.
"""

import functools
import os
from collections.abc import Mapping
from typing import Any

import seqio
import tensorflow as tf

from t5rank.checks import check_boolean, check_choice, check_integer
from t5rank.tasks import irregular, preprocessors
from t5rank.tasks.examples import TRAIN as TRAIN
from t5rank.tasks.examples import list_source
from t5rank.tasks.list_metrics import judged_list, ranking_metrics
from t5rank.tasks.seqio_vocabulary import TextVocabulary
from t5rank.tasks.sources import ListTask, ReadLists
from t5rank.text.encoders import make_encoder
from t5rank.text.prompts import RANKT5
from t5rank.text.templates import TextPrompts
from t5rank.text.texts import TextEncoder
from t5rank.text.vocabulary import Vocabulary

LABELS = ("label", "teacher_score")
SHUFFLE_BUFFER = 1000  # lists, where they cannot be shuffled whole; filled before the first batch
_registered: dict[str, Any] = {}
_TEXT_FEATURES = {
    name: seqio.Feature(seqio.PassThroughVocabulary(0), add_eos=False)
    for name in ("query_inputs", "query_key", "keys", "relevant_keys")
}


def register_task(
    name: str,
    readers: Mapping[str, ReadLists],
    vocabulary_file: str,
    prompt: str | TextPrompts = RANKT5,
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
      prompt: a template, see `t5rank.text.prompts`; or `TextPrompts`, for a model that reads
        queries and documents apart.
      one_positive: see `t5rank.tasks.preprocessors.sample_documents`.
      target_token: the token of the `targets` feature.
      label: what a loss gets as labels in training: "label", or "teacher_score" for distillation.
        Validation keeps the labels, and so does what `one_positive` calls relevant.
      strict: whether a query that leaves its documents no room is an error; if not, it is cut (see
        `t5rank.text.prompts.PairEncoder`) and counted, see `t5rank.tasks.irregular`.
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
    vocabulary = TextVocabulary(vocabulary_file)
    encoder = make_encoder(Vocabulary(vocabulary_file), prompt, preprocessors.UNCUT, strict)
    is_apart = isinstance(encoder, TextEncoder)
    seqio.TaskRegistry.add(
        name,
        source=list_source(readers, teacher=label == "teacher_score", name=name),
        preprocessors=[
            seqio.CacheDatasetPlaceholder(),
            *([preprocessors.add_keys] if is_apart else []),
            functools.partial(preprocessors.sample_documents, one_positive=one_positive),
            preprocessors.check_list_size,
            functools.partial(
                preprocessors.tokenize_list,
                encoder=encoder,
                target_token_id=encoder.vocabulary.token_id(target_token),
                on_cut=functools.partial(irregular.note_cut, name),
            ),
        ],
        output_features={
            "inputs": seqio.Feature(vocabulary, rank=2, add_eos=False),
            "targets": seqio.Feature(vocabulary, rank=2, add_eos=False),
            "label": seqio.Feature(seqio.PassThroughVocabulary(0), dtype=tf.float32, add_eos=False),
            "mask": seqio.Feature(seqio.PassThroughVocabulary(0), dtype=tf.bool, add_eos=False),
            **(_TEXT_FEATURES if is_apart else {}),
        },
        postprocess_fn=judged_list,
        metric_fns=[ranking_metrics],
        shuffle_buffer_size=shuffle_buffer,
        task_cls=ListTask,
    )
    _registered[name] = settings
    irregular.forget(name)
    return name


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


def task_names(name: str) -> list[str]:
    """The tasks of a mixture; a task is its own only one."""
    provider = seqio.get_mixture_or_task(name)
    return [t.name for t in provider.tasks] if isinstance(provider, seqio.Mixture) else [name]


def text_settings(name: str) -> tuple[str, str | TextPrompts]:
    """`(vocabulary_file, prompt)` of a task of ours, or of a mixture of such tasks.

    Raises:
      ValueError: a task was not registered by `t5rank.tasks`, or a mixture's tasks differ.
    """
    names = task_names(name)
    for unknown in set(names) - set(_registered):
        raise ValueError(
            f"Task '{unknown}' has no prompt known here; expected a task registered with "
            "t5rank.tasks.registry.register_task."
        )
    settings = {(_registered[n][1], _registered[n][2]) for n in names}
    if len(settings) != 1:
        raise ValueError(
            f"Mixture '{name}' has {len(settings)} prompts or vocabularies; expected 1."
        )
    return settings.pop()
