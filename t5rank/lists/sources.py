"""What lists are made of: the interfaces of a source of lists and of a dataset, and its files."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from t5rank.data.collection import Collection
from t5rank.data.files import PathLike
from t5rank.data.ranked_list import RankedList
from t5rank.data.trec import Qrels, read_qrels, read_queries


class BlockSource(Protocol):
    """Gives blocks of queries, and the lists of a block. It can be pickled."""

    @property
    def paths(self) -> Mapping[str, str]:
        """The files that it reads, by what they hold; the manifest names them."""
        ...

    @property
    def counts(self) -> Counter[str]:
        """What is in no block, such as queries without a relevant document."""
        ...

    @property
    def ranked(self) -> bool:
        """Whether the order of a list's documents is a ranking; sampled lists have none."""
        ...

    def judgements(self, lists: Container[str]) -> Mapping[str, Mapping[str, int]] | None:
        """The source's own qrels, in its order; None where the labels of the lists say all.

        Args:
          lists: the queries that have a list.
        """
        ...

    def settings(self) -> dict[str, Any]:
        """The options that decide what the lists hold, as values of JSON."""
        ...

    def total(self) -> int | None:
        """How many lists to expect; None where only reading them tells."""
        ...

    def blocks(self, size: int) -> Iterator[Any]:
        """Blocks of `size` queries, the same every time. A block has a length and a pickle."""
        ...

    def lists(self, block: Any, counts: Counter[str]) -> Iterator[RankedList]:
        """The lists of a block; adds to `counts` what was repaired or left out."""
        ...


def left_out(counts: Counter[str]) -> Counter[str]:
    """What was repaired or left out. The lists themselves are counted where they are written."""
    own = ("lists", "documents", "lists_without_relevant", "empty_documents")
    return Counter({name: n for name, n in counts.items() if name not in own})


class DocumentTexts(Protocol):
    """The texts of documents by id, such as a `Collection`."""

    @property
    def name(self) -> str:
        """What errors call it, such as "file 'collection.tsv'"."""
        ...

    def text(self, doc_id: str, counts: Counter[str] | None = None) -> str:
        """The text of a document; what is repaired in it is added to `counts`.

        Raises:
          KeyError: there is no such document.
        """
        ...


class Dataset(Protocol):
    """The texts and judgements of passage ranking; a pickle of it leaves out what it has loaded."""

    @property
    def paths(self) -> Mapping[str, str]:
        """Its files, by what they hold."""
        ...

    @property
    def texts(self) -> DocumentTexts:
        """The documents."""
        ...

    @property
    def queries(self) -> Mapping[str, str]:
        """Text by query id."""
        ...

    @property
    def qrels(self) -> Qrels | None:
        """Relevance by document by query; None where there are no judgements."""
        ...

    @property
    def repaired(self) -> Counter[str]:
        """What was repaired in the files, apart from the texts of documents."""
        ...


class DatasetFiles:
    """A dataset in the files of passage ranking; each is read when it is first asked for.

    Args:
      collection: an uncompressed TSV file of `doc_id TAB text`, or a `Collection` that is open.
      queries: a TSV file of `qid TAB text`.
      qrels: a qrels file.
      strict: see `t5rank.data.ranked_list.checked_list`.
    """

    def __init__(
        self,
        collection: PathLike | Collection,
        queries: PathLike,
        qrels: PathLike | None = None,
        strict: bool = True,
    ):
        self._loaded: dict[str, Any] = {}
        self._repaired: Counter[str] = Counter()
        if isinstance(collection, Collection):
            self._loaded["collection"] = collection
            collection = collection.path
        self.paths = {"collection": os.fspath(collection), "queries": os.fspath(queries)}
        if qrels is not None:
            self.paths["qrels"] = os.fspath(qrels)
        self.strict = strict

    @property
    def texts(self) -> Collection:
        """The collection, with its index in memory."""
        if "collection" not in self._loaded:
            collection = Collection(self.paths["collection"], strict=self.strict)
            self._loaded["collection"] = collection
            self._repaired.update(collection.repaired)
        return self._loaded["collection"]

    @property
    def queries(self) -> dict[str, str]:
        """Text by query id, in memory."""
        return self._load("queries", read_queries)

    @property
    def qrels(self) -> Qrels | None:
        """The judgements, in memory."""
        return self._load("qrels", read_qrels) if "qrels" in self.paths else None

    def load(self) -> Counter[str]:
        """Loads all files; returns what was repaired in those that were not open before."""
        _ = self.texts, self.queries, self.qrels
        return self._repaired

    @property
    def repaired(self) -> Counter[str]:
        """What was repaired in the files; only a lenient dataset has to load them to know."""
        return Counter() if self.strict else self.load()

    def _load(self, kind: str, read: Any) -> Any:
        if kind not in self._loaded:
            counts: Counter[str] = Counter()
            self._loaded[kind] = read(self.paths[kind], strict=self.strict, counts=counts)
            self._repaired.update(counts)
        return self._loaded[kind]

    def __getstate__(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"_repaired": Counter(), "_loaded": {}}
        return {"paths": self.paths, "strict": self.strict, **empty}


class Folds(NamedTuple):
    """A part of the queries: those whose id has a crc32 that, modulo `number`, is in `chosen`.

    Which queries these are depends on nothing but their ids.

    >>> [query_id for query_id in "abcdef" if Folds(2, (0,))(query_id)]
    ['d', 'e', 'f']
    """

    number: int = 1
    chosen: tuple[int, ...] = (0,)

    def __call__(self, query_id: str) -> bool:
        return zlib.crc32(query_id.encode("utf-8", "surrogatepass")) % self.number in self.chosen


ALL = Folds()
