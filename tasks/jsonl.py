"""The task of lists of your own, one a line, in any format of `t5rank.data.list_formats`."""

import functools
import os
from collections.abc import Mapping
from typing import Any

from t5rank.data.any_lists import read_lists
from t5rank.tasks.registry import register_task

_TEXT_FILES = ("collection", "queries")


def jsonl_task(
    data_dir: str,
    splits: Mapping[str, str | Mapping[str, str]],
    vocabulary_file: str,
    name: str = "ranked_lists",
    keep_without_relevant: bool = True,
    labelled: bool = True,
    strict: bool = True,
    **options: Any,
) -> str:
    """Registers a task over files of lists and returns its name.

    The format of a file is found by its first line, and is said in the log: lists of your own
    (`t5rank.data.jsonl`), pairs, triples, and those of `t5rank.data.list_formats`.

    Args:
      data_dir: the folder of the files.
      splits: split to file name, such as `{"train": "train.jsonl", "validation": "dev.jsonl"}`, or
        to the name of a folder of lists (see `t5rank.data.folder`). A format that holds ids needs
        `{"lists": file, "collection": file, "queries": file}`.
      vocabulary_file: a SentencePiece model.
      name: the task's name.
      keep_without_relevant: whether lists without a relevant document stay.
      labelled: whether every document must have a label; without, only scores make sense.
      strict: see `register_task`; also of the reader.
      **options: others of `register_task`.

    Raises:
      ValueError: a split has other files than these.
    """
    readers = {
        split: functools.partial(
            read_lists,
            *_lists(data_dir, split, files),
            **_text_files(data_dir, files),
            keep_without_relevant=keep_without_relevant,
            labelled=labelled,
            strict=strict,
        )
        for split, files in splits.items()
    }
    return register_task(name, readers, vocabulary_file, strict=strict, **options)


def _lists(data_dir: str, split: str, files: str | Mapping[str, str]) -> list[str]:
    named = {"lists": files} if isinstance(files, str) else files
    if "lists" not in named or named.keys() - {"lists", *_TEXT_FILES}:
        raise ValueError(
            f"SPLITS '{split}' has {', '.join(named) or 'no file'}; expected a file of lists, or "
            "'lists', 'collection' and 'queries'."
        )
    return [os.path.join(data_dir, named["lists"])]


def _text_files(data_dir: str, files: str | Mapping[str, str]) -> dict[str, str]:
    if isinstance(files, str):
        return {}
    return {kind: os.path.join(data_dir, files[kind]) for kind in _TEXT_FILES if kind in files}
