"""Lists that can be read in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from t5rank.data.ranked_list import RankedList, filter_lists


@dataclass(frozen=True)
class IndexedLists:
    """The lists of a source by number. Their texts are not in memory.

    Attributes:
      source: its name in the log.
      number: how many lists there are, with those that are left out when they are read.
      read: reads the list of a number from 0, and adds to the counts what it repairs.
      keep_without_relevant: whether lists with no label above 0 are kept.
      counts: what was repaired before the first list was read; see `t5rank.data.ranked_list`.
    """

    source: str
    number: int
    read: Callable[[int, Counter[str]], RankedList]
    keep_without_relevant: bool = True
    counts: Counter[str] | None = None

    def __len__(self) -> int:
        return self.number

    def lists(
        self, order: Iterable[int], counts: Counter[str] | None = None
    ) -> Iterator[RankedList]:
        """The lists of these numbers, in this order.

        Args:
          order: the numbers.
          counts: see `t5rank.data.ranked_list`.

        Raises:
          ValueError: what the source's reader refuses. The message names file and line.
        """
        counts = Counter() if counts is None else counts
        counts.update(self.counts or {})
        return filter_lists(
            (self.read(number, counts) for number in order),
            source=self.source,
            keep_without_relevant=self.keep_without_relevant,
            counts=counts,
        )
