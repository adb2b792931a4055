"""Lists of pairs, triples and the other formats of `t5rank.data.list_formats`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from t5rank.data.any_lists import formats_of, read_lists
from t5rank.data.ranked_list import RankedList
from t5rank.lists.qna import QnaSource
from t5rank.lists.sources import ALL, Folds


class PairSource(QnaSource):
    """The lists of files, one file after the other, never more than a block in memory.

    Of several files, a query without an id has the number of its file before that of its line.

    Args:
      files: see `t5rank.data.any_lists.read_lists`.
      collection: texts, for formats that hold ids.
      queries: the same.
      folds: which queries.
      strict: see `t5rank.data.ranked_list.checked_list`.

    Raises:
      ValueError: a file has an unknown format, or what `read_lists` refuses.
    """

    ranked = False

    def __init__(
        self,
        files: Sequence[str],
        collection: str | None = None,
        queries: str | None = None,
        folds: Folds = ALL,
        strict: bool = True,
    ):
        super().__init__(files, folds)
        self.paths = {name.replace("qna", "pairs"): path for name, path in self.paths.items()}
        texts = {"collection": collection, "queries": queries}
        self._texts: dict[str, Any] = {
            kind: path for kind, path in texts.items() if path is not None
        }
        self.paths |= self._texts
        self.strict = strict
        self.formats = [formats_of(file) for file in files]

    def settings(self) -> dict[str, Any]:
        """See `BlockSource`."""
        return {
            "lists": "pairs",
            "formats": self.formats,
            "folds": list(self.folds),
            "strict": self.strict,
        }

    def _stream(self, counts: Counter[str]) -> Iterator[RankedList]:
        for number, file in enumerate(self.files):
            prefix = f"{number}-" if len(self.files) > 1 else ""
            lists = read_lists(
                file, **self._texts, strict=self.strict, counts=counts, prefix=prefix
            )
            yield from filter(lambda ranked: self.folds(ranked.query_id), lists)
