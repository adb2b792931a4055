"""Encodes the texts of a collection, or of queries, into a folder of vectors, shard by shard."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from t5rank.search import VECTORS_PER_SHARD
from t5rank.search.embedding import TextEmbedder, model_checksum
from t5rank.search.vectors import Manifest, Text, VectorFolder


class Texts(Protocol):
    """Texts with ids in an order that stays, such as `t5rank.data.documents.Documents`."""

    @property
    def paths(self) -> list:
        """The files that they are of."""
        ...

    @property
    def count(self) -> int:
        """How many."""
        ...

    @property
    def checksum(self) -> str:
        """Changes with the ids, the texts and their order."""
        ...

    def read(self, start: int = 0) -> Iterator[tuple[str, str]]:
        """Id and text from the one of this number on."""
        ...


class Queries:
    """Queries in memory as `Texts`.

    Args:
      path: the file that they are of.
      queries: texts by query id.
    """

    def __init__(self, path: str, queries: Mapping[str, str]):
        self.paths, self.count = [path], len(queries)
        self._queries = queries
        self.checksum = hashlib.sha256(repr([*queries.items()]).encode()).hexdigest()
        if not queries:
            raise ValueError(f"File '{path}' has no query; expected at least one.")

    def read(self, start: int = 0) -> Iterator[tuple[str, str]]:
        """Id and text from the one of this number on."""
        return itertools.islice(self._queries.items(), start, None)


class Share(NamedTuple):
    """One host's part of the shards.

    >>> [[*Share(host, 3).of(7)] for host in range(3)]
    [[0, 1], [2, 3], [4, 5, 6]]
    """

    host: int = 0
    hosts: int = 1

    def of(self, shards: int) -> range:
        """The numbers of its shards."""
        return range(shards * self.host // self.hosts, shards * (self.host + 1) // self.hosts)


class Encoded(NamedTuple):
    """What an encoding did.

    Attributes:
      manifest: what the folder is of.
      written: texts that were encoded now.
      kept: texts that had been encoded before.
      missing: shards of other hosts that are not there yet.
    """

    manifest: Manifest
    written: int
    kept: int
    missing: int


def encode(
    embedder: TextEmbedder,
    texts: Texts,
    folder: str | os.PathLike[str],
    text: Text,
    *,
    dtype: str = "float32",
    share: Share = Share(),  # noqa: B008
    vectors_per_shard: int = VECTORS_PER_SHARD,
) -> Encoded:
    """Encodes what is not there yet; called again, it goes on where it was.

    Shards that are there are kept if their checksums fit. In memory are the texts and vectors of
    one shard.

    Args:
      embedder: the model.
      texts: what to encode.
      folder: where to.
      text: what the texts are, "document" or "query".
      dtype: of the vectors in the folder, "float32" or "float16".
      share: which shards.
      vectors_per_shard: the most vectors of a shard.

    Raises:
      ValueError: the folder holds vectors of another model, prompt or collection; or the model
        gives vectors that are not finite, or too large for float16.
    """
    shards = -(-texts.count // vectors_per_shard)
    opened = VectorFolder(folder, _manifest(embedder, texts, text, dtype, shards))
    opened.begin()
    sizes = {shard: _size(opened.manifest, shard) for shard in share.of(shards)}
    todo = [shard for shard in sizes if not opened.has(shard, verify=True)]
    kept = sum(sizes.values()) - sum(sizes[shard] for shard in todo)
    with tqdm(
        desc="encoding",
        unit=f" {'queries' if text == 'query' else 'documents'}",
        total=sum(sizes.values()),
        initial=kept,
        disable=None,
    ) as progress:
        for shard, ids, chosen in _shards_of_texts(texts, opened.manifest, todo):
            run = embedder.encode_queries if text == "query" else embedder.encode_documents
            vectors = _checked(run(chosen, progress), opened.manifest, Path(folder))
            opened.write(shard, ids, vectors)
    missing = sum(not opened.has(shard) for shard in range(shards))
    return Encoded(opened.manifest, sum(sizes[shard] for shard in todo), kept, missing)


def _manifest(
    embedder: TextEmbedder, texts: Texts, text: Text, dtype: str, shards: int
) -> Manifest:
    of_query = text == "query"
    return Manifest(
        text=text,
        model=os.path.abspath(str(embedder.folder)),
        step=embedder.step,
        model_checksum=model_checksum(embedder),
        prompt=embedder.query_prompt if of_query else embedder.document_prompt,
        length=embedder.query_length if of_query else embedder.max_length,
        dim=embedder.dim,
        similarity=embedder.similarity,
        normalized=embedder.similarity == "cosine",
        dtype=dtype,
        source=[os.path.abspath(path) for path in texts.paths],
        source_checksum=texts.checksum,
        count=texts.count,
        shards=shards,
    )


def _size(manifest: Manifest, shard: int) -> int:
    return manifest.start(shard + 1) - manifest.start(shard)


def _shards_of_texts(
    texts: Texts, manifest: Manifest, shards: list[int]
) -> Iterator[tuple[int, list[str], list[str]]]:
    """Ids and texts of these shards, which ascend; the files are read once."""
    if not shards:
        return
    at = manifest.start(shards[0])
    reader = texts.read(at)
    for shard in shards:
        start, end = manifest.start(shard), manifest.start(shard + 1)
        items = [*itertools.islice(reader, start - at, end - at)]
        at = end
        yield shard, [name for name, _ in items], [text for _, text in items]


def _checked(vectors: np.ndarray, manifest: Manifest, folder: Path) -> np.ndarray:
    with np.errstate(over="ignore"):
        stored = np.asarray(vectors).astype(manifest.dtype)
    if np.isfinite(stored).all():
        return stored
    raise ValueError(
        f"Model '{manifest.model}' gives vectors for '{folder}' that are not finite in "
        f"{manifest.dtype}; expected finite ones. Is the checkpoint from a diverged run, or are "
        "dot products too large for float16?"
    )
