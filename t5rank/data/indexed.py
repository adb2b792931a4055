"""Lists that can be read in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from t5rank.data.ranked_list import RankedList, filter_lists


@dataclass(frozen=True)
class IndexedLists:
    """The lists of a source by number; what is in memory does not grow with their texts.

    Attributes:
      source: what the log calls it.
      number: how many lists there are, those included that are left out when they are read.
      read: the list of a number from 0, which adds what it repairs to the counts.
      keep_without_relevant: whether lists with no label above 0 are kept.
      counts: what was repaired as the places were noted; see `t5rank.data.ranked_list`.
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
          ValueError: what the source's reader refuses; names file and line.
        """
        counts = Counter() if counts is None else counts
        counts.update(self.counts or {})
        return filter_lists(
            (self.read(number, counts) for number in order),
            source=self.source,
            keep_without_relevant=self.keep_without_relevant,
            counts=counts,
        )
