"""A folder of vectors, one for each text, that faiss and numpy read without us.

manifest.json                  what the vectors are of: see `Manifest`
vectors-00000-of-00012.npy     `[count, dim]`, float32 or float16, to be memory-mapped
ids-00000-of-00012.txt         the ids of the texts, one a line
vectors-00000-of-00012.json    a shard's count, bytes and checksums; written last

A shard is whole where its record is there. Several hosts may write shards of one folder, or of
copies of it that are put together later: each writes the same manifest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from t5rank.formats.json_files import read_object, write_json
from t5rank.formats.text_files import write_text

MANIFEST = "manifest.json"
DTYPES = ("float32", "float16")
Text = Literal["document", "query"]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What the vectors of a folder are of.

    Attributes:
      text: "document" or "query".
      model: the model folder.
      step: the checkpoint; None where the folder has one state.
      model_checksum: of the parameters, the configuration and the vocabulary.
      prompt: what stood before a text.
      length: the most tokens of a text.
      dim: how long a vector is.
      similarity: "cosine" or "dot".
      normalized: whether every vector has length 1.
      dtype: "float32" or "float16".
      source: the files of the texts.
      source_checksum: of ids and texts.
      count: how many texts.
      shards: how many shards.
      layout: "vectors", one a text.
    """

    text: Text
    model: str
    step: int | None
    model_checksum: str
    prompt: str
    length: int
    dim: int
    similarity: str
    normalized: bool
    dtype: str
    source: list[str]
    source_checksum: str
    count: int
    shards: int
    layout: str = "vectors"

    @property
    def model_name(self) -> str:
        """The model as errors name it."""
        step = "" if self.step is None else f", step {self.step}"
        return f"'{self.model}'{step} (sha256 {self.model_checksum[:8]})"

    def start(self, shard: int) -> int:
        """The number of the first text of a shard; those of shard `shards` and after are `count`.

        >>> import types
        >>> [Manifest.start(types.SimpleNamespace(count=10, shards=3), i) for i in range(4)]
        [0, 3, 6, 10]
        """
        return self.count * shard // self.shards


class VectorFolder:
    """The folder; what it does not hold yet may be added.

    Args:
      folder: the folder.
      manifest: what it holds, or will hold.
    """

    def __init__(self, folder: str | os.PathLike[str], manifest: Manifest):
        self.path = Path(folder)
        self.manifest = manifest

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> VectorFolder:
        """A folder whose vectors are all there.

        Raises:
          ValueError: it has no manifest, one of another version, or a shard is missing.
        """
        opened = cls(folder, _read_manifest(Path(folder)))
        missing = [i for i in opened._all_shards() if not opened.has(i)]
        if missing:
            raise ValueError(
                f"Folder '{folder}' lacks {len(missing)} of {opened.manifest.shards} shards, "
                f"'{opened._name(missing[0])}.npy' for one; expected all. Give the command "
                "'t5rank encode' that began it again: it goes on where it was."
            )
        return opened

    def begin(self) -> None:
        """Writes the manifest, or compares it with the one that is there.

        Raises:
          ValueError: the folder holds vectors of something else.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if (self.path / MANIFEST).is_file():
            check_same(self.path, _read_manifest(self.path), self.manifest)
            return
        if any(self.path.glob("vectors-*")):
            raise ValueError(
                f"Folder '{self.path}' has vectors and no {MANIFEST}; expected a new folder, or "
                "one that 't5rank encode' began. Choose another one."
            )
        write_json(self.path / MANIFEST, dataclasses.asdict(self.manifest), uuid.uuid4().hex)

    def has(self, shard: int, *, verify: bool = False) -> bool:
        """Whether a shard is whole: its files have the sizes that its record says.

        Args:
          shard: its number.
          verify: whether their checksums are compared, too.
        """
        record = self.path / f"{self._name(shard)}.json"
        if not record.is_file():
            return False
        said = read_object(record, ("count", "files"), "Delete it: its shard is encoded anew.")
        return all(_fits(self.path / name, file, verify) for name, file in said["files"].items())

    def write(self, shard: int, ids: list[str], vectors: np.ndarray) -> None:
        """Writes a shard: each file comes to its place as a whole, the record last."""
        mine = uuid.uuid4().hex
        vectors_file = self.path / f"{self._name(shard)}.npy"
        ids_file = self.path / self._ids_name(shard)
        partial = vectors_file.with_name(f"{vectors_file.name}.{mine}")
        try:
            with partial.open("wb") as file:
                np.save(file, np.ascontiguousarray(vectors, self.manifest.dtype))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(vectors_file)
            write_text(ids_file, "".join(f"{name}\n" for name in ids), mine)
            files = {file.name: _described(file) for file in (vectors_file, ids_file)}
            record = {"count": len(ids), "files": files}
            write_json(self.path / f"{self._name(shard)}.json", record, mine)
        finally:
            for left in self.path.glob(f"*.{mine}"):
                left.unlink(missing_ok=True)

    def vectors(self, shard: int) -> np.ndarray:
        """The vectors of a shard `[count, dim]`, memory-mapped.

        Raises:
          ValueError: the file has another shape or type than the manifest says.
        """
        path = self.path / f"{self._name(shard)}.npy"
        vectors = np.load(path, mmap_mode="r")
        start, end = self.manifest.start(shard), self.manifest.start(shard + 1)
        expected = ((end - start, self.manifest.dim), self.manifest.dtype)
        if (vectors.shape, str(vectors.dtype)) != expected:
            raise ValueError(
                f"File '{path}' has {vectors.dtype} {vectors.shape}; expected {expected[1]} "
                f"{expected[0]}, as the manifest says. Delete it, and give 't5rank encode' again."
            )
        return vectors

    def ids(self, shard: int) -> np.ndarray:
        """The ids of a shard as bytes `[count]`."""
        path = self.path / self._ids_name(shard)
        ids = np.array(path.read_bytes().split(b"\n")[:-1], np.bytes_)
        expected = self.manifest.start(shard + 1) - self.manifest.start(shard)
        if len(ids) != expected:
            raise ValueError(f"File '{path}' has {len(ids)} ids; expected {expected}.")
        return ids

    @cached_property
    def all_ids(self) -> np.ndarray:
        """The ids of all texts as bytes `[count]`, in memory."""
        return np.concatenate([self.ids(shard) for shard in self._all_shards()])

    def matrix(self) -> np.ndarray:
        """All vectors in memory, float32 `[count, dim]`; for queries, of which they are few."""
        return np.concatenate([vectors.copy() for vectors, _ in self.blocks(self.manifest.count)])

    def blocks(self, rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All vectors and ids in order, so many at a time; the array is used again for the next.

        Yields:
          Float32 `[rows, dim]`, the last one shorter, and bytes `[rows]`.

        Raises:
          ValueError: a vector is not finite.
        """
        rows = min(rows, self.manifest.count)
        block = np.empty((rows, self.manifest.dim), np.float32)
        ids: list[np.ndarray] = []
        filled = 0
        for vectors, names in self._shards():
            at = 0
            while at < len(names):
                took = min(len(names) - at, rows - filled)
                block[filled : filled + took] = vectors[at : at + took]
                ids.append(names[at : at + took])
                at, filled = at + took, filled + took
                if filled == rows:
                    yield self._finite(block), np.concatenate(ids)
                    ids, filled = [], 0
        if filled:
            yield self._finite(block[:filled]), np.concatenate(ids)

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """The vectors of these texts, whose numbers ascend: float32 `[len(numbers), dim]`."""
        starts = np.array([self.manifest.start(i) for i in range(self.manifest.shards + 1)])
        edges = np.searchsorted(numbers, starts)
        parts = [
            self.vectors(shard)[numbers[edges[shard] : edges[shard + 1]] - starts[shard]]
            for shard in self._all_shards()
            if edges[shard] < edges[shard + 1]
        ]
        return np.concatenate(parts).astype(np.float32)

    @property
    def checksum(self) -> str:
        """Changes with the vectors and the ids."""
        records = [read_object(self.path / f"{self._name(i)}.json") for i in self._all_shards()]
        return hashlib.sha256(repr([record["files"] for record in records]).encode()).hexdigest()

    def _all_shards(self) -> range:
        return range(self.manifest.shards)

    def _shards(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return ((self.vectors(shard), self.ids(shard)) for shard in self._all_shards())

    def _finite(self, block: np.ndarray) -> np.ndarray:
        if not np.isfinite(block).all():
            raise ValueError(
                f"Folder '{self.path}' has vectors that are not finite; expected none. Give "
                "'t5rank encode' again: it compares checksums, and encodes damaged shards anew."
            )
        return block

    def _name(self, shard: int) -> str:
        return f"vectors-{shard:05}-of-{self.manifest.shards:05}"

    def _ids_name(self, shard: int) -> str:
        return f"{self._name(shard).replace('vectors', 'ids')}.txt"


def check_same(folder: Path, had: Manifest, wanted: Manifest) -> None:
    """Raises ValueError where a folder's vectors are of something else; names what."""
    _check_equal(folder, "text", had.text, wanted.text)
    if had.model_checksum != wanted.model_checksum:
        _check_equal(folder, "model", had.model_name, wanted.model_name)
    if had.source_checksum != wanted.source_checksum:
        sources = [f"{', '.join(m.source)} ({m.source_checksum[:8]})" for m in (had, wanted)]
        _check_equal(folder, "source", *sources)
    for name in ("prompt", "length", "dim", "similarity", "dtype", "shards"):
        _check_equal(folder, name, getattr(had, name), getattr(wanted, name))


def _check_equal(folder: Path, name: str, had: Any, wanted: Any) -> None:
    if had != wanted:
        raise ValueError(
            f"Folder '{folder}' has vectors of the {name} {had!r}; expected {wanted!r}. Write to "
            "another folder, or delete this one."
        )


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(
            f"Folder '{folder}' has no {MANIFEST}; expected one that 't5rank encode' wrote."
        )
    names = [field.name for field in dataclasses.fields(Manifest)]
    value = read_object(path, tuple(names))
    if value["layout"] != "vectors" or {*value} != {*names}:
        raise ValueError(
            f"File '{path}' has the layout {value['layout']!r} and the keys {', '.join(value)}; "
            "expected those of this version of t5rank."
        )
    return Manifest(**value)


def _described(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        checksum = hashlib.file_digest(opened, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": checksum}


def _fits(file: Path, said: dict[str, Any], verify: bool) -> bool:
    if not file.is_file() or file.stat().st_size != said["bytes"]:
        return False
    return not verify or _described(file) == said
