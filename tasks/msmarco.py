"""MS MARCO's tasks: QnA v2.1 lists, and passage ranking from collection, queries, qrels and run."""

import functools
import os
from collections.abc import Mapping
from typing import Any

from t5rank.data.jsonl import read_jsonl
from t5rank.data.msmarco import qna_reader
from t5rank.lists.passages import read_passage_lists
from t5rank.tasks.registry import TRAIN, register_task
from t5rank.tasks.sources import ReadLists

QNA_SPLITS = {"train": "train_v2.1.json.gz", "validation": "dev_v2.1.json.gz"}


def qna_task(
    data_dir: str,
    vocabulary_file: str,
    splits: Mapping[str, str] = QNA_SPLITS,
    name: str = "msmarco_qna",
    keep_without_relevant: bool = True,
    labelled: bool = True,
    strict: bool = False,
    **options: Any,
) -> str:
    """Registers the task of MS MARCO QnA v2.1 and returns its name.

    A list is a query's passages, about ten; selected passages are relevant.

    Args:
      data_dir: the folder of the files.
      vocabulary_file: a SentencePiece model.
      splits: split to the name of a file, or to another source that `qna_reader` knows.
      name: the task's name.
      keep_without_relevant: whether lists with nothing selected (38% of train) stay.
      labelled: whether every passage must have `is_selected`; those of the eval split have none.
      strict: see `t5rank.tasks.registry.register_task`; also of the reader, which then refuses the
        real files: they repeat passages.
      **options: others of `register_task`.
    """
    readers = {
        split: functools.partial(
            qna_reader(os.path.join(data_dir, file)),
            os.path.join(data_dir, file),
            keep_without_relevant=keep_without_relevant,
            labelled=labelled,
            strict=strict,
        )
        for split, file in splits.items()
    }
    return register_task(name, readers, vocabulary_file, strict=strict, **options)


def passage_task(
    data_dir: str,
    vocabulary_file: str,
    splits: Mapping[str, Mapping[str, str] | str],
    name: str = "msmarco_passage",
    one_positive: bool = True,
    topn: int | None = None,
    labelled: bool = True,
    strict: bool = True,
    **options: Any,
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
      name: the task's name.
      one_positive: see `t5rank.tasks.preprocessors.sample_documents`.
      topn: how many of the run's passages; None takes all. Not for folders: their lists are made.
      labelled: whether every passage of a folder's lists must have a label.
      strict: see `t5rank.tasks.registry.register_task`; also of the reader.
      **options: others of `register_task`.
    """
    readers = {
        split: _passage_reader(data_dir, files, split == TRAIN, topn, labelled, strict)
        for split, files in splits.items()
    }
    return register_task(
        name, readers, vocabulary_file, one_positive=one_positive, strict=strict, **options
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
