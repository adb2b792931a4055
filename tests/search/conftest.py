"""A model of vectors without a network: a text's vector is the sum of its words' random ones."""

import dataclasses
import zlib
from collections import Counter

import numpy as np
import pytest

from t5rank.search.vectors import Manifest, VectorFolder


@dataclasses.dataclass
class Encoder:
    counts: Counter = dataclasses.field(default_factory=Counter)


class WordEmbedder:
    similarity, dim = "cosine", 16
    query_prompt, document_prompt = "Query: ", "Document: "
    query_length, max_length = 16, 64

    def __init__(self, folder, step=None):
        self.folder, self.step, self.encoder = folder, step, Encoder()
        self.encoded = []  # how many texts of each call

    @classmethod
    def from_pretrained(cls, folder, step=None, batch_tokens=None, mesh=None):
        return cls(folder, step)

    def encode_documents(self, texts, progress=None):
        self.encoded.append(len(texts))
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in ["", *text.lower().split()]:
                row += np.random.default_rng(zlib.crc32(word.encode())).normal(size=self.dim)
            row /= np.linalg.norm(row)
            if progress is not None:
                progress.update()
        return vectors

    encode_queries = encode_documents


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The folder of a model that the commands open as a `WordEmbedder`."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"dim": 16}')
    monkeypatch.setattr("t5rank.inference.embedder.Embedder", WordEmbedder)
    return folder


@pytest.fixture
def embedder(model):
    return WordEmbedder(model)


@pytest.fixture
def vector_folder(tmp_path):
    """Makes a folder of random vectors: of so many texts `d0`, `d1`, ..., in two shards."""

    def make(count, name="vectors", text="document", seed=0):
        vectors = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        length = {"prompt": "", "length": 9, "dim": 16, "similarity": "cosine", "normalized": True}
        model = {"model": "m", "step": 1, "model_checksum": "0" * 64}
        source = {"source": ["c"], "source_checksum": str(seed), "count": count, "shards": 2}
        folder = VectorFolder(
            tmp_path / name, Manifest(text=text, dtype="float32", **length, **model, **source)
        )
        folder.begin()
        for shard in range(2):
            numbers = range(folder.manifest.start(shard), folder.manifest.start(shard + 1))
            folder.write(shard, [f"{text[0]}{i}" for i in numbers], vectors[numbers])
        return VectorFolder.open(tmp_path / name)

    return make
