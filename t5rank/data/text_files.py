"""The texts that ids of queries and documents stand for."""

from __future__ import annotations

from collections import Counter

from t5rank.data.collection import shared_collection
from t5rank.data.files import PathLike
from t5rank.data.pairs import Document
from t5rank.data.trec import read_queries


class TextFiles:
    """The queries, in memory, and the documents, which are read from their file one by one.

    Args:
      collection: a TSV file of `doc_id TAB text`, uncompressed.
      queries: a TSV file of `qid TAB text`.
      strict: see `t5rank.data.ranked_list.checked_list`.
      counts: see `t5rank.data.ranked_list`.
    """

    def __init__(self, collection: PathLike, queries: PathLike, strict: bool, counts: Counter[str]):
        self._collection = shared_collection(collection, strict)
        self._queries_file = queries
        self._queries = read_queries(queries, strict=strict, counts=counts)
        counts.update(self._collection.repaired)

    def query(self, query_id: str, place: str) -> str:
        """A query's text.

        Raises:
          ValueError: the file has none.
        """
        if query_id not in self._queries:
            raise ValueError(
                f"Query '{query_id}' in {place} is not in file '{self._queries_file}'; expected "
                "its text."
            )
        return self._queries[query_id]

    def document(
        self, doc_id: str, place: str, counts: Counter[str], score: float | None = None
    ) -> Document:
        """A document with its text.

        Raises:
          ValueError: the collection has none.
        """
        try:
            return Document(self._collection.text(doc_id, counts), doc_id, score)
        except KeyError:
            raise ValueError(
                f"Document '{doc_id}' in {place} is not in file '{self._collection.path}'; "
                "expected its text."
            ) from None
