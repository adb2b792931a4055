"""Upload of a folder of vectors to Qdrant (https://qdrant.tech), and search there.

A target is `http://HOST:PORT/COLLECTION`, or `path:FOLDER/COLLECTION`: Qdrant's own local mode,
without a server. A key in the variable `QDRANT_API_KEY` is sent along. Points have the numbers of
the texts, and their ids in the payload, as `doc_id`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from tqdm import tqdm

from t5rank.process.packages import require
from t5rank.search.exact import Hits
from t5rank.search.vectors import VectorFolder

BATCH = 256  # points, or queries, of one request
_MARK = "t5rank"


class QdrantEngine:
    """A collection of Qdrant; see `t5rank.search.engines.Engine`.

    Args:
      client: a `qdrant_client.QdrantClient`.
      collection: its name.
      target: how errors name it.
    """

    approximate = True

    def __init__(self, client: Any, collection: str, target: str = "Qdrant"):
        self._client, self._collection, self._target = client, collection, target
        self.name = f"Qdrant '{target}'"

    @classmethod
    def open(cls, target: str) -> QdrantEngine:
        """The collection of a target; it need not exist.

        Raises:
          ValueError: the target is none.
          MissingExtra: qdrant-client is not installed.
        """
        place, _, collection = target.rpartition("/")
        if not place or not collection:
            raise _no_target(target)
        client = require("qdrant", "qdrant_client").QdrantClient
        if place.startswith("path:"):
            return cls(client(path=place.removeprefix("path:")), collection, target)
        parts = urlsplit(place)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise _no_target(target)
        options: dict[str, Any] = {"prefix": parts.path.strip("/") or None}
        key = os.environ.get("QDRANT_API_KEY")
        url = f"{parts.scheme}://{parts.netloc}"
        opened = client(url=url, api_key=key, check_compatibility=False, **options)
        return cls(opened, collection, target)

    def upload(self, vectors: VectorFolder) -> int:
        """Uploads what is not there yet, in order; returns how many points that was.

        Raises:
          ValueError: the collection holds other vectors.
          OSError: Qdrant cannot be reached, or refuses.
        """
        count = vectors.manifest.count
        with self._asked():
            done = self._begin(vectors)
        if done < count:
            done = done // BATCH * BATCH  # a batch may be there in part
        numbers = itertools.count()
        with tqdm(
            desc="uploading", unit=" documents", total=count, initial=done, disable=None
        ) as progress:
            for block, ids in vectors.blocks(BATCH):
                start = next(numbers) * BATCH
                if start >= done:
                    with self._asked():
                        self._upsert(start, block, ids)
                    progress.update(len(ids))
        return count - done

    def search(self, queries: np.ndarray, k: int) -> Hits:
        """See `t5rank.search.engines.Engine`.

        Raises:
          OSError: Qdrant cannot be reached, or refuses.
        """
        models = require("qdrant", "qdrant_client").models
        answers = []
        with tqdm(desc="searching", unit=" queries", total=len(queries), disable=None) as progress:
            for start in range(0, len(queries), BATCH):
                part = queries[start : start + BATCH]
                requests = [
                    models.QueryRequest(query=query, limit=k, with_payload=["doc_id"])
                    for query in part.tolist()
                ]
                with self._asked():
                    answers += self._client.query_batch_points(self._collection, requests)
                progress.update(len(part))
        return _hits([answer.points for answer in answers])

    def _begin(self, vectors: VectorFolder) -> int:
        """Makes the collection if there is none; how many points it has."""
        models = require("qdrant", "qdrant_client").models
        mark = {"vectors": vectors.checksum, "model": vectors.manifest.model_name}
        if not self._client.collection_exists(self._collection):
            cosine = vectors.manifest.similarity == "cosine"
            distance = models.Distance.COSINE if cosine else models.Distance.DOT
            self._client.create_collection(
                self._collection,
                vectors_config=models.VectorParams(size=vectors.manifest.dim, distance=distance),
                metadata={_MARK: mark},
            )
        found = self._client.get_collection(self._collection).config.metadata or {}
        if found.get(_MARK) != mark:
            had = found.get(_MARK, {}).get("model", "an unknown model")
            raise ValueError(
                f"Collection '{self._target}' has other vectors, of {had}; expected those of "
                f"'{vectors.path}', of {mark['model']}. Upload to another name, or delete it."
            )
        return self._client.count(self._collection, exact=True).count

    def _upsert(self, start: int, block: np.ndarray, ids: np.ndarray) -> None:
        models = require("qdrant", "qdrant_client").models
        batch = models.Batch(
            ids=[*range(start, start + len(ids))],
            vectors=block.tolist(),
            payloads=[{"doc_id": doc_id.decode()} for doc_id in ids.tolist()],
        )
        self._client.upsert(self._collection, batch, wait=True)

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        exceptions = require("qdrant", "qdrant_client.http.exceptions")
        try:
            yield
        except exceptions.ApiException as error:
            raise OSError(f"Qdrant of '{self._target}' does not answer: {error}") from error


def _hits(answers: list[list[Any]]) -> Hits:
    width = max(map(len, answers))
    scores = np.full((len(answers), width), -np.inf, np.float32)
    names = [[point.payload["doc_id"].encode() for point in points] for points in answers]
    doc_ids = np.array([row + [b""] * (width - len(row)) for row in names], np.bytes_)
    for row, points in enumerate(answers):
        scores[row, : len(points)] = [point.score for point in points]
    return Hits(scores, doc_ids.reshape(scores.shape))


def _no_target(target: str) -> ValueError:
    return ValueError(
        f"Target '{target}' is none of Qdrant; expected http://HOST:PORT/COLLECTION or "
        "path:FOLDER/COLLECTION."
    )
