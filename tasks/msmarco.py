"""MS MARCO's tasks: QnA v2.1 lists, and passage ranking from collection, queries, qrels and run."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping

from t5rank.data.jsonl import read_jsonl
from t5rank.data.msmarco import read_qna_columnar, read_qna_rows
from t5rank.data.passages import read_passage_lists
from t5rank.data.ranked_list import RankedList
from t5rank.tasks.lists import SHUFFLE_BUFFER, TRAIN, register_task
from t5rank.tasks.sources import ReadLists
from t5rank.text.prompts import RANKT5

QNA_SPLITS = {"train": "train_v2.1.json.gz", "validation": "dev_v2.1.json.gz"}


def qna_task(
    data_dir: str,
    vocabulary_file: str,
    splits: Mapping[str, str] = QNA_SPLITS,
    prompt: str = RANKT5,
    name: str = "msmarco_qna",
    one_positive: bool = False,
    keep_without_relevant: bool = True,
    labelled: bool = True,
    label: str = "label",
    strict: bool = False,
    shuffle_buffer: int = SHUFFLE_BUFFER,
) -> str:
    """Registers the task of MS MARCO QnA v2.1 and returns its name.

    A list is a query's passages, about ten; selected passages are relevant.

    Args:
      data_dir: the folder of the files.
      vocabulary_file: a SentencePiece model.
      splits: split to the name of a file (raw columnar JSON, plain or gzipped, or `.jsonl` rows) or
        of a folder of lists (see `t5rank.data.folder`).
      prompt: see `t5rank.text.prompts`.
      name: the task's name.
      one_positive: see `t5rank.tasks.preprocessors.sample_documents`.
      keep_without_relevant: whether lists with nothing selected (38% of train) stay.
      labelled: whether every passage must have `is_selected`; those of the eval split have none.
      label: see `t5rank.tasks.lists.register_task`.
      strict: see `t5rank.tasks.lists.register_task`; also of the reader, which then refuses the
        real files: they repeat passages.
      shuffle_buffer: see there.
    """
    readers = {
        split: functools.partial(
            _qna_reader(os.path.join(data_dir, file)),
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


def _qna_reader(path: str) -> Callable[..., Iterator[RankedList]]:
    if os.path.isdir(path):
        return read_jsonl
    return read_qna_rows if ".jsonl" in path else read_qna_columnar


def passage_task(
    data_dir: str,
    vocabulary_file: str,
    splits: Mapping[str, Mapping[str, str] | str],
    prompt: str = RANKT5,
    name: str = "msmarco_passage",
    one_positive: bool = True,
    topn: int | None = None,
    labelled: bool = True,
    label: str = "label",
    strict: bool = True,
    shuffle_buffer: int = SHUFFLE_BUFFER,
) -> str:
    """Registers the task of MS MARCO passage ranking and returns its name.

    Training lists are a query's judged passages and those of a run; validation lists are the run's.
    Training queries without a relevant passage are dropped, validation keeps them.

    Args:
      data_dir: the folder of the files.
      vocabulary_file: a SentencePiece model.
      splits: split to its files' names, with the keys `collection`, `queries`, `qrels`, `run`, or
        to the name of a folder of lists (see `t5rank.data.folder`). A split without `qrels` has no
        labels, and only scores make sense.
      prompt: see `t5rank.text.prompts`.
      name: the task's name.
      one_positive: see `t5rank.tasks.preprocessors.sample_documents`.
      topn: how many of the run's passages; None takes all. Not for folders: their lists are made.
      labelled: whether every passage of a folder's lists must have a label.
      label: see `t5rank.tasks.lists.register_task`.
      strict: see `t5rank.tasks.lists.register_task`; also of the reader.
      shuffle_buffer: see there.
    """
    readers = {
        split: _passage_reader(data_dir, files, split == TRAIN, topn, labelled, strict)
        for split, files in splits.items()
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


def _passage_reader(
    data_dir: str,
    files: Mapping[str, str] | str,
    is_training: bool,
    topn: int | None,
    labelled: bool,
    strict: bool,
) -> ReadLists:
    if isinstance(files, str):
        if topn is not None:
            raise ValueError(
                f"Argument 'topn' has the value {topn} for the folder '{files}'; expected None. "
                "Choose ranks where the lists are built: --run RUN:1-N."
            )
        folder = os.path.join(data_dir, files)
        return functools.partial(
            read_jsonl,
            folder,
            keep_without_relevant=not is_training,
            labelled=labelled,
            strict=strict,
        )
    return functools.partial(
        read_passage_lists,
        **{"qrels": None} | {kind: os.path.join(data_dir, file) for kind, file in files.items()},
        add_missing_relevant=is_training,
        keep_without_relevant=not is_training,
        topn=topn,
        strict=strict,
    )
