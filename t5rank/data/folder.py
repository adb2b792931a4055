"""How a folder of lists is read. `t5rank lists` has written it, or it is one of your own.

A folder of `t5rank lists` has these files:

lists-00000-of-00012.jsonl.gz, ...   the lists, in the format of `t5rank.data.jsonl`; each is
                                     compressed by itself (`t5rank.data.gzip_lines`)
qrels.txt                            judgements of their queries (TREC), if any
run.txt                              their documents in the order of the source, as a TREC run
manifest.json                        options, sources, counts, checksums; written last
summary.png                          histograms of lengths and labels

A folder of your own has files `*.jsonl` or `*.jsonl.gz`. They are read in the order of their names.
Where it has none, the tables `*.parquet`, `*.tsv` and `*.csv` are read.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from t5rank.data.files import PathLike

MANIFEST = "manifest.json"
SUMMARY = "summary.png"
QRELS = "qrels.txt"
RUN = "run.txt"
UNFINISHED = "unfinished"  # a sub-folder that is there until the folder is finished
_OWN_FILES = (".jsonl", ".jsonl.gz")
_TABLES = (".parquet", ".tsv", ".tsv.gz", ".csv", ".csv.gz")
_SHARD = re.compile(r"lists-\d{5}-of-(\d{5})\.jsonl\.gz")


def shard_name(index: int, number: int) -> str:
    """The name of a shard.

    >>> shard_name(3, 12)
    'lists-00003-of-00012.jsonl.gz'
    """
    return f"lists-{index:05}-of-{number:05}.jsonl.gz"


def read_manifest(folder: PathLike) -> dict[str, Any]:
    """The manifest of a folder that `t5rank lists` wrote.

    Raises:
      ValueError: there is none, which means that the folder is not finished.
    """
    try:
        with open(os.path.join(folder, MANIFEST), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise ValueError(
            f"Folder '{folder}' has no {MANIFEST}; expected lists that are finished. "
            "Give the command 't5rank lists' that began it again: it goes on where it was."
        ) from None


def list_sizes(path: PathLike) -> list[int]:
    """How many documents each list of a folder has; an empty list where no manifest says it."""
    if not os.path.isfile(os.path.join(path, MANIFEST)):
        return []
    histogram = read_manifest(path)["histograms"]["list_length"]
    return [int(size) for size, count in histogram.items() for _ in range(count)]


def lists_files(folder: PathLike) -> list[str]:
    """The paths of the folder's files of lists, in order.

    Raises:
      ValueError: the folder is not finished, has no such file, or a shard is missing or of another
        size.
    """
    if not os.path.isfile(os.path.join(folder, MANIFEST)):
        return _own_files(folder)
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


def _own_files(folder: PathLike) -> list[str]:
    if os.path.isdir(os.path.join(folder, UNFINISHED)):
        read_manifest(folder)  # raises an error: the manifest is missing
    held = sorted(os.listdir(folder))
    names = [name for name in held if name.endswith(_OWN_FILES)]
    names = names or [name for name in held if name.endswith(_TABLES)]
    found = [match for name in names if (match := _SHARD.fullmatch(name))]
    wanted = int(found[0][1]) if found else 0
    if len(found) != wanted:
        raise ValueError(
            f"Folder '{folder}' has {len(found)} of {wanted} shards that 't5rank lists' wrote; "
            "expected all. Was the folder copied in part?"
        )
    if not names:
        raise ValueError(
            f"Folder '{folder}' has no {MANIFEST} and no file *.jsonl or *.jsonl.gz; expected "
            "lists, in the format of t5rank.data.jsonl."
        )
    return [os.path.join(folder, name) for name in names]
