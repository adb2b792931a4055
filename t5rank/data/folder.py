"""A folder of lists as `t5rank lists` writes it, seen by its readers.

lists-00000-of-00012.jsonl.gz, ...   the shards, in the format of `t5rank.data.jsonl`
manifest.json                        options, sources, counts, checksums; written last
summary.png                          lengths and labels as histograms
"""

from __future__ import annotations

import json
import os
from typing import Any

from t5rank.data.files import PathLike

MANIFEST = "manifest.json"
SUMMARY = "summary.png"


def shard_name(index: int, number: int) -> str:
    """The name of a shard.

    >>> shard_name(3, 12)
    'lists-00003-of-00012.jsonl.gz'
    """
    return f"lists-{index:05}-of-{number:05}.jsonl.gz"


def read_manifest(folder: PathLike) -> dict[str, Any]:
    """What the folder holds.

    Raises:
      ValueError: there is no manifest, which means that the folder is not finished.
    """
    try:
        with open(os.path.join(folder, MANIFEST), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise ValueError(
            f"Folder '{folder}' has no {MANIFEST}; expected lists that are finished. "
            "Give the command 't5rank lists' that began it again: it goes on where it was."
        ) from None


def lists_files(folder: PathLike) -> list[str]:
    """The paths of the folder's shards, in order.

    Raises:
      ValueError: the folder is not finished, or a shard is missing or of another size.
    """
    shards = read_manifest(folder)["shards"]
    for shard in shards:
        path = os.path.join(folder, shard["file"])
        size = os.path.getsize(path) if os.path.isfile(path) else None
        if size != shard["bytes"]:
            raise ValueError(
                f"File '{path}' has {'no' if size is None else f'{size:,}'} bytes; expected "
                f"{shard['bytes']:,}, as the manifest says. Was the folder copied in part?"
            )
    return [os.path.join(folder, shard["file"]) for shard in shards]
