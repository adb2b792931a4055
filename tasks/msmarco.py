"""MS MARCO's tasks: QnA v2.1 lists, and passage ranking from collection, queries, qrels and run."""

import functools
import os
from collections.abc import Mapping

from t5rank.data.msmarco import read_qna_columnar, read_qna_rows
from t5rank.data.passages import read_passage_lists
from t5rank.prompts import RANKT5
from t5rank.tasks.lists import TRAIN, register_task

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
) -> str:
    """Registers the task of MS MARCO QnA v2.1 and returns its name.

    A list is a query's passages, about ten; selected passages are relevant.

    Args:
      data_dir: the folder of the files.
      vocabulary_file: a SentencePiece model.
      splits: split to file name: raw columnar JSON, plain or gzipped, or `.jsonl` rows.
      prompt: see `t5rank.prompts`.
      name: the task's name.
      one_positive: see `t5rank.preprocessors.sample_documents`.
      keep_without_relevant: whether lists with nothing selected (38% of train) stay.
      labelled: whether every passage must have `is_selected`; those of the eval split have none.
    """
    readers = {
        split: functools.partial(
            read_qna_rows if ".jsonl" in file else read_qna_columnar,
            os.path.join(data_dir, file),
            keep_without_relevant=keep_without_relevant,
            labelled=labelled,
        )
        for split, file in splits.items()
    }
    return register_task(name, readers, vocabulary_file, prompt, one_positive)


def passage_task(
    data_dir: str,
    vocabulary_file: str,
    splits: Mapping[str, Mapping[str, str]],
    prompt: str = RANKT5,
    name: str = "msmarco_passage",
    one_positive: bool = True,
    topn: int | None = None,
) -> str:
    """Registers the task of MS MARCO passage ranking and returns its name.

    Training lists are a query's judged passages and those of a run; validation lists are the run's.
    Training queries without a relevant passage are dropped, validation keeps them.

    Args:
      data_dir: the folder of the files.
      vocabulary_file: a SentencePiece model.
      splits: split to its files' names, with the keys `collection`, `queries`, `qrels`, `run`; a
        split without `qrels` has no labels, and only scores make sense.
      prompt: see `t5rank.prompts`.
      name: the task's name.
      one_positive: see `t5rank.preprocessors.sample_documents`.
      topn: how many of the run's passages; None takes all.
    """
    readers = {
        split: functools.partial(
            read_passage_lists,
            **{"qrels": None}
            | {kind: os.path.join(data_dir, file) for kind, file in files.items()},
            add_missing_relevant=split == TRAIN,
            keep_without_relevant=split != TRAIN,
            topn=topn,
        )
        for split, files in splits.items()
    }
    return register_task(name, readers, vocabulary_file, prompt, one_positive)
