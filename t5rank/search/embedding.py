"""What search asks of a model that makes vectors of texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from etils import epath
from tqdm import tqdm

from t5rank.checkpoints.opening import VOCABULARY
from t5rank.checkpoints.paths import PREFIX, path
from t5rank.model_folder.configuration import CONFIG


class TextEmbedder(Protocol):
    """A model that makes one vector of a text, such as `t5rank.Embedder`."""

    @property
    def folder(self) -> object:
        """The model folder that it was loaded from."""
        ...

    @property
    def step(self) -> int | None:
        """The checkpoint; None where the folder has one state."""
        ...

    @property
    def dim(self) -> int:
        """How long a vector is."""
        ...

    @property
    def similarity(self) -> str:
        """ "cosine", whose vectors are normalized, or "dot"."""
        ...

    @property
    def query_prompt(self) -> str:
        """What stands before a query."""
        ...

    @property
    def document_prompt(self) -> str:
        """What stands before a document."""
        ...

    @property
    def query_length(self) -> int:
        """The most tokens of a query."""
        ...

    @property
    def max_length(self) -> int:
        """The most tokens of a document."""
        ...

    def encode_queries(self, texts: Sequence[str], progress: tqdm | None = None) -> np.ndarray:
        """Float32 vectors `[len(texts), dim]`; the progress is told of each text."""
        ...

    def encode_documents(self, texts: Sequence[str], progress: tqdm | None = None) -> np.ndarray:
        """Float32 vectors `[len(texts), dim]`; the progress is told of each text."""
        ...


def model_checksum(embedder: TextEmbedder) -> str:
    """Changes with the parameters, the configuration and the vocabulary, and not with the place.

    Several hosts that encode parts of a collection may have copies of one model.
    """
    folder = path(str(embedder.folder))
    checkpoint = folder / f"{PREFIX}_{embedder.step}"
    if checkpoint.is_dir():  # beside it are logs, which grow as training goes on
        files = [folder / name for name in (CONFIG, VOCABULARY) if (folder / name).is_file()]
        files += _files_under(checkpoint)
    else:
        files = _files_under(folder)
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()  # type: ignore[arg-type]
        digest.update(f"{file.relative_to(folder)} {content}\n".encode())
    return digest.hexdigest()


def _files_under(folder: epath.Path) -> list[epath.Path]:
    entries = sorted(folder.iterdir())
    return [f for entry in entries for f in ([entry] if entry.is_file() else _files_under(entry))]
