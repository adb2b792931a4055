"""The task of lists of your own, one JSON object a line."""

import functools
import os
from collections.abc import Mapping
from typing import Any

from t5rank.data.jsonl import read_jsonl
from t5rank.tasks.registry import register_task


def jsonl_task(
    data_dir: str,
    splits: Mapping[str, str],
    vocabulary_file: str,
    name: str = "ranked_lists",
    keep_without_relevant: bool = True,
    labelled: bool = True,
    strict: bool = True,
    **options: Any,
) -> str:
    """Registers a task over JSON lines files (see `t5rank.data.jsonl`) and returns its name.

    Args:
      data_dir: the folder of the files.
      splits: split to file name, such as `{"train": "train.jsonl", "validation": "dev.jsonl"}`, or
        to the name of a folder of lists (see `t5rank.data.folder`).
      vocabulary_file: a SentencePiece model.
      name: the task's name.
      keep_without_relevant: whether lists without a relevant document stay.
      labelled: whether every document must have a label; without, only scores make sense.
      strict: see `register_task`; also of the reader.
      **options: others of `register_task`.
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
    return register_task(name, readers, vocabulary_file, strict=strict, **options)
