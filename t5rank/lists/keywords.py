"""Lists with made-up queries: a query is a few words of the document that it looks for.

A model without pretrained weights learns from them to match words (`t5rank.reproduce.tiny`).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from t5rank.data.collection import Collection
from t5rank.data.ranked_list import RankedList
from t5rank.lists.runs import IndexedRun
from t5rank.lists.sources import ALL, Folds

_WORD = re.compile(r"\b[A-Za-z]{3,12}\b")


@dataclass
class KeywordSource:
    """Makes lists from a collection, and from a run that tells which documents are near each other.

    A document is cut to a window of `words` words, so that a small model sees short texts first.
    The window is the same in every list. A list holds the document that its query was made of,
    `near` other documents about the same subject, and documents from `anywhere`. Documents are
    about the same subject if they are candidates of one query of the run. A document of too few
    words gets no query, and is counted.

    Attributes:
      collection: an uncompressed TSV file of `doc_id TAB text`.
      run: where `near` documents come from; its doc ids are in memory.
      words: how many words of a document a list shows.
      query_words: the fewest and the most words of a query.
      queries: how many queries a document gets.
      near, anywhere: how many other documents of each kind a list gets.
      seed: the seed of everything that is random.
      only_ids: a regular expression that the ids of documents must match as a whole.
      folds: which queries.
      strict: see `Collection`.
    """

    collection: str
    run: IndexedRun | None
    words: int
    query_words: tuple[int, int]
    queries: int = 2
    near: int = 0
    anywhere: int = 8
    seed: int = 0
    only_ids: str | None = None
    folds: Folds = ALL
    strict: bool = True
    ranked = False

    def __post_init__(self):
        if self.near and self.run is None:
            raise ValueError(f"Option '--near' has {self.near} without a run; expected --run.")
        low, high = self.query_words
        if not 1 <= low <= high:
            raise ValueError(f"Option '--query_words' has {low} {high}; expected 1 <= MIN <= MAX.")
        self.paths = {"collection": self.collection}
        if self.near and self.run is not None:
            self.paths["run"] = self.run.path

    def settings(self) -> dict[str, Any]:
        names = ("words", "query_words", "queries", "near", "anywhere", "seed", "only_ids", "folds")
        return {"lists": "keywords"} | {name: getattr(self, name) for name in (*names, "strict")}

    @property
    def counts(self) -> Counter[str]:
        return self._texts.repaired

    def judgements(self, lists: Container[str]) -> None:
        return None

    def total(self) -> int:
        """See `BlockSource`; it also counts queries of too few words, which get no list."""
        return len(self._query_ids)

    def blocks(self, size: int) -> Iterator[list[str]]:
        for start in range(0, len(self._query_ids), size):
            yield self._query_ids[start : start + size]

    def lists(self, block: list[str], counts: Counter[str]) -> Iterator[RankedList]:
        for query_id in block:
            ranked = self._list(query_id, counts)
            if ranked is not None:
                yield ranked

    def _list(self, query_id: str, counts: Counter[str]) -> RankedList | None:
        rng = random.Random(f"{self.seed}:{query_id}")
        sought = query_id.rpartition("-")[0]
        text = self._window(sought, counts)
        found = list(dict.fromkeys(_WORD.findall(text)))
        if len(found) <= self.query_words[1]:
            counts["queries_of_too_few_words_dropped"] += 1
            return None
        query = " ".join(rng.sample(found, rng.randint(*self.query_words)))
        doc_ids = tuple(dict.fromkeys([sought, *self._near(sought, rng), *self._random(rng)]))
        texts = tuple(self._window(doc_id, counts) for doc_id in doc_ids)
        labels = tuple(float(doc_id == sought) for doc_id in doc_ids)
        return RankedList(query_id, query, doc_ids, texts, labels)

    def _near(self, sought: str, rng: random.Random) -> list[str]:
        together = self._together.get(sought) if self.near else None
        if not together:
            return []
        candidates = self._groups[rng.choice(together)]
        return rng.sample(candidates, min(self.near, len(candidates)))

    def _random(self, rng: random.Random) -> list[str]:
        return rng.sample(self._doc_ids, min(self.anywhere, len(self._doc_ids)))

    def _window(self, doc_id: str, counts: Counter[str]) -> str:
        words = self._texts.text(doc_id, counts).split()
        places = max(1, len(words) - self.words + 1)
        start = random.Random(f"{self.seed}:{doc_id}").randrange(places)
        return " ".join(words[start : start + self.words])

    @cached_property
    def _texts(self) -> Collection:
        return Collection(self.collection, strict=self.strict)

    @cached_property
    def _doc_ids(self) -> list[str]:
        return [doc_id for doc_id in self._texts.doc_ids() if self._is_wanted(doc_id)]

    @cached_property
    def _query_ids(self) -> list[str]:
        order = np.random.default_rng(self.seed).permutation(len(self._doc_ids) * self.queries)
        names = (f"{self._doc_ids[i // self.queries]}-{i % self.queries}" for i in order.tolist())
        return [query_id for query_id in names if self.folds(query_id)]

    @cached_property
    def _groups(self) -> list[list[str]]:
        run = self.run
        groups = ([d for d in run[q] if self._is_wanted(d)] for q in run.query_ids()) if run else ()
        return list(groups)

    @cached_property
    def _together(self) -> dict[str, list[int]]:
        together: dict[str, list[int]] = {}
        for number, group in enumerate(self._groups):
            for doc_id in group:
                together.setdefault(doc_id, []).append(number)
        return together

    def _is_wanted(self, doc_id: str) -> bool:
        return self.only_ids is None or re.fullmatch(self.only_ids, doc_id) is not None

    def __getstate__(self) -> dict[str, Any]:
        cached = ("_texts", "_doc_ids", "_query_ids", "_groups", "_together")
        return {name: value for name, value in self.__dict__.items() if name not in cached}
