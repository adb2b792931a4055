"""Datasets by their `ir_datasets` id, such as `msmarco-passage/dev/small` or `beir/scifact/test`.

Files are read where ir_datasets keeps them, in `~/.ir_datasets` or `IR_DATASETS_HOME`. A missing
file is an error that says what to download and where to put it. Only `download=True` lets
ir_datasets use the network. Documents come from its store, which it builds on disk the first time.
The text of a document is ir_datasets' default text. For BEIR this is the title, a space and the
text, as BEIR itself joins them.

ir_datasets does not say which files it lacks, and its public `path(force=False)` does not see an
archive that is there but not unpacked. So `_Sources` looks into its objects.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from t5rank.data.trec import Qrels, sort_run
from t5rank.process.packages import require

_BLOCK = 1 << 16
_KINDS = {"collection": "docs", "queries": "queries", "qrels": "qrels", "run": "scoreddocs"}


class CatalogueDataset:
    """A dataset of ir_datasets; see `t5rank.lists.sources.Dataset`.

    Args:
      dataset_id: its id in ir_datasets.
      download: whether ir_datasets may download what is missing.

    Raises:
      ValueError: the dataset is not known, or has no queries or documents; later, files that are to
        be read are missing.
    """

    def __init__(self, dataset_id: str, download: bool = False):
        self.dataset_id, self.download = dataset_id, download
        for kind in ("docs", "queries"):
            if not self._dataset.has(kind):
                raise ValueError(
                    f"Dataset '{dataset_id}' has no {kind}; expected a dataset with {kind}."
                )

    @cached_property
    def paths(self) -> Mapping[str, str]:
        """The files of its documents, queries and qrels; all must be there."""
        kinds = [kind for kind in ("collection", "queries", "qrels") if self._has(kind)]
        return {kind: self._file(kind) for kind in kinds}

    @cached_property
    def texts(self) -> StoredTexts:
        """The documents; builds their store where there is none."""
        store = self._dataset.docs_store()
        if not store.built():
            self._check_files("collection")
            store.build()
        return StoredTexts(self.dataset_id, store)

    @property
    def repaired(self) -> Counter[str]:
        """An empty counter: ir_datasets reads the files, and repairs nothing."""
        return Counter()

    @cached_property
    def queries(self) -> dict[str, str]:
        """Text by query id, in memory."""
        self._check_files("queries", "qrels")  # some datasets choose the queries by their qrels
        return {query.query_id: query.default_text() for query in self._dataset.queries_iter()}

    @cached_property
    def qrels(self) -> Qrels | None:
        """The judgements, in memory."""
        if not self._has("qrels"):
            return None
        self._check_files("qrels")
        qrels: Qrels = {}
        for judgement in self._dataset.qrels_iter():
            qrels.setdefault(judgement.query_id, {})[judgement.doc_id] = int(judgement.relevance)
        return qrels

    def candidates(self) -> ScoredDocuments:
        """The dataset's own run.

        Raises:
          ValueError: it has none; BEIR's datasets have none.
        """
        if not self._has("run"):
            raise ValueError(
                f"Dataset '{self.dataset_id}' has no candidates of its own; expected --run."
            )
        return ScoredDocuments(self)

    @cached_property
    def _dataset(self) -> Any:
        ir_datasets = require("ir-datasets", "ir_datasets")
        try:
            return ir_datasets.load(self.dataset_id)
        except KeyError:
            raise ValueError(
                f"Dataset '{self.dataset_id}' is not known to ir_datasets; expected an id such as "
                "'msmarco-passage/dev/small' or 'beir/scifact/test'. See https://ir-datasets.com."
            ) from None

    def _has(self, kind: str) -> bool:
        return self._dataset.has(_KINDS[kind])

    def _handler(self, kind: str) -> Any:
        return getattr(self._dataset, f"{_KINDS[kind]}_handler")()

    def _file(self, kind: str) -> str:
        """The file that is read. The archive that it came from may have been deleted."""
        if kind == "collection":
            return str(self.texts.file)
        self._check_files(kind)
        return str(_Sources(self._handler(kind)).outermost.path())

    def _check_files(self, *kinds: str) -> None:
        if self.download:
            return
        found = [_Sources(self._handler(kind)) for kind in kinds if self._has(kind)]
        missing = list(dict.fromkeys(line for each in found for line in each.missing))
        if missing:
            raise ValueError(
                f"Dataset '{self.dataset_id}' lacks {len(missing)} "
                f"file{'s' * (len(missing) > 1)}; expected what ir_datasets reads. Download as "
                "below, or let ir_datasets do it with --download.\n" + "\n".join(missing)
            )

    def __getstate__(self) -> dict[str, Any]:
        return {"dataset_id": self.dataset_id, "download": self.download}


class StoredTexts:
    """The texts in ir_datasets' store by document id; see `t5rank.lists.sources.DocumentTexts`."""

    def __init__(self, dataset_id: str, store: Any):
        self._dataset_id, self._store = dataset_id, store

    @property
    def file(self) -> Path:
        """The store's file; MS MARCO v2 has 70, and this is the first."""
        if hasattr(self._store, "base_path"):
            return Path(self._store.base_path, "msmarco_passage_00")
        return Path(self._store.path, "bin")

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"dataset '{self._dataset_id}'"

    def text(self, doc_id: str, counts: Counter[str] | None = None) -> str:
        """The text of a document.

        Raises:
          KeyError: there is no such document.
        """
        del counts  # nothing is repaired
        try:
            return self._store.get(doc_id).default_text().strip()
        except KeyError:
            raise KeyError(f"Document '{doc_id}' is not in {self.name}.") from None


class ScoredDocuments:
    """A dataset's own candidates, with the methods of `t5rank.lists.runs.Candidates`.

    Those of MS MARCO (dev/small, TREC DL 2019 and 2020) have no ranks and no scores. Their scores
    are 0 here, and their order is that of `t5rank.data.trec.rank_documents`. In memory each takes
    about 20 bytes.
    """

    first = 1
    last: int | None = None

    def __init__(self, dataset: CatalogueDataset):
        self._dataset = dataset
        self.path = dataset._file("run")

    def query_ids(self) -> Iterator[str]:
        """The queries, in the order of the file."""
        return iter(self._table[0])

    def place(self, query_id: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The ids and scores of a query's documents; None if there are none."""
        queries, starts, doc_ids, scores = self._table
        if query_id not in queries:
            return None
        part = slice(*starts[queries[query_id] : queries[query_id] + 2])
        return doc_ids[part], scores[part]

    def read(
        self,
        query_id: str,
        place: tuple[np.ndarray, np.ndarray] | None,
        counts: Counter[str] | None = None,
    ) -> dict[str, float]:
        """Score by document, best first, of a query whose place is known."""
        del counts  # nothing is repaired
        if place is None:
            return {}
        doc_ids, scores = place
        names = [doc_id.decode() for doc_id in doc_ids]
        scored = dict(zip(names, scores.tolist(), strict=True))
        if len(scored) < len(names):
            raise ValueError(f"Query '{query_id}' of '{self.path}' has a document more than once.")
        return sort_run({query_id: scored})[query_id]

    @cached_property
    def _table(self) -> tuple[dict[str, int], np.ndarray, np.ndarray, np.ndarray]:
        """Each query's number; by number, where its documents begin; their ids; their scores."""
        self._dataset._check_files("run", "qrels")
        queries: dict[str, int] = {}
        blocks = []
        rows = self._dataset._dataset.scoreddocs_iter()
        while block := list(itertools.islice(rows, _BLOCK)):
            found = [queries.setdefault(row.query_id, len(queries)) for row in block]
            names = np.array([row.doc_id.encode() for row in block], np.bytes_)
            given = np.array([row.score for row in block], np.float32)
            blocks.append((np.array(found, np.int32), names, given))
        numbers, doc_ids, scores = map(np.concatenate, zip(*blocks, strict=True))
        order = np.argsort(numbers, kind="stable")
        starts = np.searchsorted(numbers[order], np.arange(len(queries) + 1))
        return queries, starts, doc_ids[order], scores[order]

    def __getstate__(self) -> dict[str, Any]:
        return {"_dataset": self._dataset, "path": self.path}


class _Sources:
    """The files behind a handler of ir_datasets.

    Attributes:
      outermost: the `Cache` or `Download` that the handler reads.
      missing: for each missing file, a line that says where to get it and where to put it.
    """

    def __init__(self, handler: Any):
        self.outermost: Any = None
        self.missing: list[str] = []
        self._visit(handler, None)

    def _visit(self, node: Any, extracted: Path | None) -> None:
        from ir_datasets.util import Cache, Download

        if isinstance(node, Cache | Download):
            self.outermost = self.outermost or node
        if isinstance(node, Download):
            self._check(node, extracted)
            return
        if isinstance(node, Cache):
            extracted = Path(node.path(force=False))
            if extracted.exists():
                return
        for value in vars(node).values():
            if type(value).__module__.startswith("ir_datasets"):
                self._visit(value, extracted)

    def _check(self, download: Any, extracted: Path | None) -> None:
        local = [mirror for mirror in download.mirrors if hasattr(mirror, "path")]
        places = [Path(mirror.path(force=False)) for mirror in local]
        if download._cache_path:
            places.insert(0, Path(download._cache_path))
        if any(path.exists() for path in places):
            return
        urls = [mirror.url for mirror in download.mirrors if hasattr(mirror, "url")]
        size = f"{download._size_hint:,} bytes, " if download._size_hint else ""
        target = places[0] if places else f"{extracted}, unpacked"
        self.missing.append(
            f"  {' or '.join(urls) or 'by hand'} ({size}md5 {download.expected_md5}) to {target}"
        )
