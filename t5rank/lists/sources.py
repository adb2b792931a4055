"""What lists are made of: the interface of sources, and of datasets of passage ranking."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from t5rank.data.collection import Collection
from t5rank.data.ranked_list import RankedList
from t5rank.data.trec import Qrels, read_qrels, read_queries


class BlockSource(Protocol):
    """Gives blocks of queries, and the lists of a block; can be pickled."""

    @property
    def paths(self) -> Mapping[str, str]:
        """The files that it reads, by what they are; for the manifest."""
        ...

    @property
    def counts(self) -> Counter[str]:
        """What has no block: queries without a relevant document, and the like."""
        ...

    @property
    def ranked(self) -> bool:
        """Whether the order of a list's documents is a ranking; else they were sampled."""
        ...

    def judgements(self, lists: Container[str]) -> Mapping[str, Mapping[str, int]] | None:
        """Qrels beyond what the lists' labels say, in the order of the source; None without.

        Args:
          lists: the queries that have a list.
        """
        ...

    def settings(self) -> dict[str, Any]:
        """What decides on the lists besides the files, as JSON takes it."""
        ...

    def total(self) -> int | None:
        """How many lists to expect, if that is known before they are read."""
        ...

    def blocks(self, size: int) -> Iterator[Any]:
        """Blocks of `size` queries each, always the same; each can be pickled and has a length."""
        ...

    def lists(self, block: Any, counts: Counter[str]) -> Iterator[RankedList]:
        """The lists of a block; adds to `counts` what was repaired or left out."""
        ...


class DocumentTexts(Protocol):
    """Documents by id, such as a `Collection`; a KeyError where there is none."""

    def __getitem__(self, doc_id: str) -> str: ...


class Dataset(Protocol):
    """What passage ranking needs besides runs; pickled without what it has loaded."""

    @property
    def paths(self) -> Mapping[str, str]:
        """Its files, by what they are."""
        ...

    @property
    def texts(self) -> DocumentTexts:
        """The documents."""
        ...

    @property
    def queries(self) -> Mapping[str, str]:
        """Texts by query id."""
        ...

    @property
    def qrels(self) -> Qrels | None:
        """Relevance by document by query; None where nothing is judged."""
        ...

    @property
    def loading(self) -> Counter[str]:
        """What was repaired in whole files, all of which are loaded for this."""
        ...

    @property
    def reading(self) -> Counter[str]:
        """What was repaired so far in texts that were read one by one."""
        ...


class DatasetFiles:
    """A dataset in the files of passage ranking.

    Args:
      collection: an uncompressed TSV file of `doc_id TAB text`, see `Collection`.
      queries: a TSV file of `qid TAB text`.
      qrels: a qrels file.
      strict: see `t5rank.data.ranked_list.checked_list`.
    """

    def __init__(
        self, collection: str, queries: str, qrels: str | None = None, strict: bool = True
    ):
        self.paths = {"collection": collection, "queries": queries}
        if qrels is not None:
            self.paths["qrels"] = qrels
        self.strict = strict
        self.reading: Counter[str] = Counter()
        self._loading: Counter[str] = Counter()
        self._loaded: dict[str, Any] = {}

    @property
    def texts(self) -> Collection:
        """The collection, indexed when it is first asked for."""
        return self._load("collection", Collection)

    @property
    def queries(self) -> dict[str, str]:
        """Texts by query id, in memory."""
        return self._load("queries", read_queries)

    @property
    def qrels(self) -> Qrels | None:
        """The judgements, in memory."""
        return self._load("qrels", read_qrels) if "qrels" in self.paths else None

    @property
    def loading(self) -> Counter[str]:
        """What was repaired in the three files, but for the texts of documents."""
        if not self.strict:
            _ = self.texts, self.queries, self.qrels
        return self._loading

    def _load(self, kind: str, read: Any) -> Any:
        if kind not in self._loaded:
            counts: Counter[str] = Counter()
            self._loaded[kind] = read(self.paths[kind], strict=self.strict, counts=counts)
            self._loading.update(counts)
            if kind == "collection":  # which goes on counting, where texts are read
                counts.clear()
                self.reading = counts
        return self._loaded[kind]

    def __getstate__(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"reading": Counter(), "_loading": Counter(), "_loaded": {}}
        return {"paths": self.paths, "strict": self.strict, **empty}


class Folds(NamedTuple):
    """A part of the queries that depends on their ids alone: those whose crc32 falls into `chosen`.

    >>> [query_id for query_id in "abcdef" if Folds(2, (0,))(query_id)]
    ['d', 'e', 'f']
    """

    number: int = 1
    chosen: tuple[int, ...] = (0,)

    def __call__(self, query_id: str) -> bool:
        """Whether the query belongs to them."""
        return zlib.crc32(query_id.encode("utf-8", "surrogatepass")) % self.number in self.chosen


ALL = Folds()
