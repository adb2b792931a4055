"""Writes a block of lists to its file, and a small record of the block beside it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t5rank.data.folder import UNFINISHED, shard_name
from t5rank.data.gzip_lines import gzip_member
from t5rank.data.jsonl import json_line
from t5rank.data.ranked_list import RankedList
from t5rank.formats.json_files import write_json
from t5rank.formats.writing import writing
from t5rank.lists.contamination import Contamination, HeldOutSet
from t5rank.lists.sources import BlockSource
from t5rank.lists.trec_files import KINDS, TrecParts

COMPRESSION = 3  # of 1 to 9: 5 takes a tenth longer for files 6% smaller
_NUMBER = "number_of_blocks.json"


@dataclass(frozen=True)
class Writer:
    """Makes and writes the lists of a block. It can be sent to another process or machine.

    Attributes:
      source: what makes the lists.
      folder: the folder of lists; unfinished work is in its sub-folder `unfinished`.
      lists_per_shard: how many queries a block has; its shard has fewer lists if some are left out.
      drop_without_relevant: whether lists without a label above 0 are left out.
      evaluation_sets: what the lists are compared with.
      exclude_contaminated: whether lists that share something with these are left out.
    """

    source: BlockSource
    folder: str
    lists_per_shard: int = 1000
    drop_without_relevant: bool = False
    evaluation_sets: tuple[HeldOutSet, ...] = ()
    exclude_contaminated: bool = False

    @property
    def paths(self) -> dict[str, str]:
        """All files that are read, by what they hold; a file with two names has the first."""
        named = [*self.source.paths.items()]
        named += [item for other in self.evaluation_sets for item in other.paths.items()]
        return {name: path for path, name in reversed({p: n for n, p in reversed(named)}.items())}

    def options(self) -> dict[str, Any]:
        """The options that decide what the shards hold, as values of JSON."""
        options = {
            **self.source.settings(),
            "lists_per_shard": self.lists_per_shard,
            "drop_without_relevant": self.drop_without_relevant,
            "exclude_contaminated": self.exclude_contaminated,
            "evaluation": [other.name for other in self.evaluation_sets],
        }
        return json.loads(json.dumps(options))

    def blocks(self) -> Iterator[tuple[int, Any]]:
        """Yields all blocks with their numbers, and then notes how many there are."""
        number = 0
        for block in self.source.blocks(self.lists_per_shard):
            yield number, block
            number += 1
        write_json(unfinished_folder(self.folder) / _NUMBER, number, uuid.uuid4().hex)

    def number(self) -> int:
        """How many blocks there are, as `blocks` has noted at its end."""
        return json.loads((unfinished_folder(self.folder) / _NUMBER).read_text())

    def write(self, index: int, block: Any) -> dict[str, Any]:
        """Writes a block unless it is written; returns its record.

        The shard and its parts of qrels and run get their names when they are whole, and the record
        is written after them: so a record says that they are whole.

        Raises:
          WriteError: the disk is full.
        """
        done = self.record(index)
        if done is not None:
            return done
        unfinished = unfinished_shard(self.folder, index)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        mine = uuid.uuid4().hex
        places = [unfinished, *trec_parts(self.folder, index).values()]
        parts = [path.with_name(f"{path.name}.{mine}") for path in places]
        try:
            with writing(f"File '{unfinished}'"):
                record = self._write(parts, block)
        except BaseException:
            for part in parts:
                part.unlink(missing_ok=True)
            raise
        for part, path in reversed([*zip(parts, places, strict=True)]):
            os.replace(part, path)
        write_json(record_path(self.folder, index), record, uuid.uuid4().hex)
        return record

    def record(self, index: int) -> dict[str, Any] | None:
        """The record of a block; None if the block is not written."""
        path = record_path(self.folder, index)
        if not path.is_file():
            return None
        record = json.loads(path.read_text())
        placed = Path(self.folder).glob(shard_name(index, 0).replace("of-00000", "of-*"))
        shards = [unfinished_shard(self.folder, index), *placed]
        whole = all(path.is_file() for path in trec_parts(self.folder, index).values()) and any(
            s.is_file() and s.stat().st_size == record["bytes"] for s in shards
        )
        return record if whole else None

    def _write(self, paths: Sequence[Path], block: Any) -> dict[str, Any]:
        path, *parts = paths
        statistics = Statistics()
        trec = TrecParts(
            dict(zip(KINDS, parts, strict=True)), self.source.ranked, statistics.counts
        )
        with path.open("wb") as file, contextlib.closing(trec):
            for ranked in self._lists(block, statistics):
                statistics.add(ranked)
                trec.add(ranked)
                file.write(gzip_member(json_line(ranked).encode("utf-8"), COMPRESSION))
            if not statistics.counts["lists"]:
                file.write(gzip_member(b"", COMPRESSION))
            file.flush()
            os.fsync(file.fileno())
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": path.stat().st_size, "sha256": checksum} | statistics.as_json()

    def _lists(self, block: Any, statistics: Statistics) -> Iterator[RankedList]:
        for ranked in self.source.lists(block, statistics.counts):
            contaminated = False
            for other in self.evaluation_sets:
                findings = other.findings(ranked)
                statistics.contamination.add(other.name, ranked.query_id, findings)
                contaminated |= bool(findings)
            statistics.counts["contaminated_lists"] += contaminated
            if contaminated and self.exclude_contaminated:
                statistics.counts["contaminated_lists_dropped"] += 1
            elif self.drop_without_relevant and not ranked.has_relevant:
                statistics.counts["lists_without_relevant_dropped"] += 1
            else:
                yield ranked


class Statistics:
    """Counts and histograms of lists: exact, and small enough to keep."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(lists=0, documents=0)
        self.histograms: dict[str, Counter] = {
            "list_length": Counter(),
            "label": Counter(),
            "document_words": Counter(),
        }
        self.contamination = Contamination()

    def add(self, ranked: RankedList) -> None:
        self.counts["lists"] += 1
        self.counts["documents"] += len(ranked)
        self.counts["lists_without_relevant"] += not ranked.has_relevant
        self.counts["empty_documents"] += sum(not text.strip() for text in ranked.documents)
        self.histograms["list_length"][len(ranked)] += 1
        self.histograms["label"].update(ranked.labels)
        self.histograms["document_words"].update(len(text.split()) for text in ranked.documents)

    def merge(self, record: dict[str, Any]) -> None:
        """Adds the counts and histograms of a record."""
        self.counts.update(record["counts"])
        for name, histogram in record["histograms"].items():
            self.histograms[name].update({float(value): n for value, n in histogram.items()})
        self.contamination.merge(record["contamination"])

    def as_json(self) -> dict[str, Any]:
        """Counts, histograms and contamination as the record and the manifest hold them."""
        return {
            "counts": {name: n for name, n in sorted(self.counts.items()) if n},
            "histograms": {
                name: {f"{value:g}": histogram[value] for value in sorted(histogram)}
                for name, histogram in self.histograms.items()
            },
            "contamination": self.contamination.found,
        }


def unfinished_folder(folder: str) -> Path:
    """The folder of the shards until all are written."""
    return Path(folder) / UNFINISHED


def unfinished_shard(folder: str, index: int) -> Path:
    """The file of a shard until the number of all shards is known."""
    return unfinished_folder(folder) / f"{index:05}.jsonl.gz"


def trec_parts(folder: str, index: int) -> dict[str, Path]:
    """A shard's parts of qrels and run, by the name of the whole file."""
    return {kind: unfinished_folder(folder) / f"{index:05}.{kind}" for kind in KINDS}


def record_path(folder: str, index: int) -> Path:
    return unfinished_folder(folder) / f"{index:05}.json"
