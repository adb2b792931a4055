"""Lists of MS MARCO QnA. They come from a stream, so that a block holds its lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from t5rank.data.msmarco import qna_reader, tfds_info
from t5rank.data.ranked_list import RankedList
from t5rank.lists.sources import ALL, Folds, left_out


class StreamBlock(NamedTuple):
    """Some lists, and counts of what was repaired or left out when they were read."""

    lists: list[RankedList]
    counts: Counter[str]

    def __len__(self) -> int:
        return len(self.lists)


@dataclass
class QnaSource:
    """The lists of MS MARCO's files, one file after the other, with one block in memory.

    Attributes:
      files: see `qna_reader`. A dataset that TFDS prepared is fingerprinted by its
        dataset_info.json, which holds the sizes of its shards.
      folds: which queries.
      labelled: whether every passage must have `is_selected`.
    """

    files: Sequence[str]
    folds: Folds = ALL
    labelled: bool = True
    ranked = True

    def __post_init__(self):
        names = (
            ["qna"] if len(self.files) == 1 else [f"qna {i + 1}" for i in range(len(self.files))]
        )
        self.counts: Counter[str] = Counter()
        self.paths = dict(zip(names, (tfds_info(file) or file for file in self.files), strict=True))

    def settings(self) -> dict[str, Any]:
        splits = [file.rpartition(":")[2] for file in self.files if tfds_info(file)]
        return {
            "lists": "qna",
            "splits": splits,
            "folds": list(self.folds),
            "labelled": self.labelled,
        }

    def total(self) -> None:
        return None

    def judgements(self, lists: Container[str]) -> None:
        return None

    def blocks(self, size: int) -> Iterator[StreamBlock]:
        counts: Counter[str] = Counter()
        before: Counter[str] = Counter()
        lists: list[RankedList] = []
        for ranked in self._stream(counts):
            if len(lists) == size:
                yield StreamBlock(lists, left_out(counts - before))
                lists, before = [], counts.copy()
            lists.append(ranked)
        if lists:
            yield StreamBlock(lists, left_out(counts - before))

    def lists(self, block: StreamBlock, counts: Counter[str]) -> Iterator[RankedList]:
        counts.update(block.counts)
        yield from block.lists

    def _stream(self, counts: Counter[str]) -> Iterator[RankedList]:
        for file in self.files:
            for ranked in qna_reader(file)(file, labelled=self.labelled, counts=counts):
                if self.folds(ranked.query_id):
                    yield ranked
