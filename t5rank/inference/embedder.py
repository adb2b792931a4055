"""`Embedder`: a trained dual encoder in use. It never imports TensorFlow."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from etils import epath
from jax.sharding import Mesh
from tqdm import tqdm

from t5rank import model_folder
from t5rank.inference.loading import ExportedScorer, load_scorer
from t5rank.inference.packing import Shapes
from t5rank.inference.scoring import ModelScorer, prefetched, run_chunks
from t5rank.model_folder import ModelFolder
from t5rank.models.retrieval import RetrievalModel
from t5rank.text.prompts import EncodedPair
from t5rank.text.strings import as_texts
from t5rank.text.texts import TextEncoder
from t5rank.types import PyTree

CHUNK = 4096  # texts sorted by length together


class Embedder:
    """Vectors of queries and documents.

        embedder = Embedder.from_pretrained("MODEL_DIR")
        queries = embedder.encode_queries(["what is a list"])
        documents = embedder.encode_documents(["A list is ...", "A tuple is ..."])
        queries @ documents.T

    Attributes:
      encoder: makes tokens of texts.
      scorer: the model with its parameters.
      folder: where it was loaded from; None of a model in memory.
      step: the checkpoint's step; None of an exported model.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        scorer: ModelScorer | ExportedScorer,
        folder: epath.Path | None = None,
        step: int | None = None,
    ):
        self.encoder = encoder
        self.scorer = scorer
        self.folder = folder
        self.step = step

    @classmethod
    def from_pretrained(
        cls,
        model_dir: str | os.PathLike[str],
        step: int | None = None,
        batch_tokens: int | None = None,
        mesh: Mesh | None = None,
        like: "Embedder | None" = None,
        progress: tqdm | None = None,
    ) -> "Embedder":
        """Loads a model folder; the arguments are those of `Reranker.from_pretrained`.

        Raises:
          ValueError: the folder, its configuration or its checkpoint is missing or wrong, or the
            model gives no vectors.
        """
        opened = model_folder.open_folder(model_dir, step)
        return cls.from_folder(opened, batch_tokens, mesh, like, progress)

    @classmethod
    def from_folder(
        cls,
        opened: ModelFolder,
        batch_tokens: int | None = None,
        mesh: Mesh | None = None,
        like: "Embedder | None" = None,
        progress: tqdm | None = None,
    ) -> "Embedder":
        """An open model folder's model; see `from_pretrained`."""
        encoder = opened.encoder
        if not isinstance(encoder, TextEncoder):
            raise ValueError(
                f"Model folder '{opened.path}' has a {opened.model.kind.name}; expected a dual "
                "encoder, which reads queries and documents apart. Take t5rank.Reranker, or the "
                "commands score and rerank."
            )
        if opened.is_exported:
            return cls(encoder, ExportedScorer(opened, batch_tokens), opened.path)
        same_shapes = like is not None and like.encoder.max_length == encoder.max_length
        programs = like.scorer if like is not None and same_shapes else None
        programs = programs if isinstance(programs, ModelScorer) else None
        scorer = load_scorer(opened, batch_tokens, mesh, programs, progress)
        return cls(encoder, scorer, opened.path, opened.step)

    @classmethod
    def from_model(
        cls,
        model: RetrievalModel,
        params: PyTree,
        encoder: TextEncoder,
        batch_tokens: int | None = None,
        mesh: Mesh | None = None,
    ) -> "Embedder":
        """A model in memory; see `from_pretrained`."""
        return cls(encoder, ModelScorer(model, params, batch_tokens, mesh))

    def __repr__(self) -> str:
        return f"Embedder({self.scorer.model!r}, {self.encoder!r})"

    @property
    def model(self) -> RetrievalModel:
        """The model, without its parameters."""
        model: Any = self.scorer.model
        return model

    @property
    def score_tokens(self) -> ModelScorer | ExportedScorer:
        """Vectors `[batch, dim]` of int32 tokens `[batch, length]`."""
        return self.scorer

    @property
    def shapes(self) -> Shapes:
        """The batches that suit the scorer."""
        return self.scorer.shapes

    @property
    def compiled(self) -> int:
        """How many programs have been compiled so far, or read where they are kept."""
        return self.scorer.compiled if isinstance(self.scorer, ModelScorer) else 0

    @property
    def dim(self) -> int:
        """The size of a vector."""
        return self.model.dim

    @property
    def similarity(self) -> str:
        """How vectors are compared: "cosine", whose vectors have length 1, or "dot"."""
        return self.model.head.similarity

    @property
    def query_prompt(self) -> str:
        """What stands before a query."""
        return self.encoder.prompt.query

    @property
    def document_prompt(self) -> str:
        """What stands before a document."""
        return self.encoder.prompt.document

    @property
    def query_length(self) -> int:
        """Tokens of the longest query."""
        return self.encoder.query_length

    @property
    def max_length(self) -> int:
        """Tokens of the longest document."""
        return self.encoder.max_length

    def encode_queries(self, queries: Sequence[str], progress: tqdm | None = None) -> np.ndarray:
        """Float32 vectors `[len(queries), dim]`.

        Args:
          queries: strings. One that is too long is cut.
          progress: told how many are done.

        Raises:
          TypeError: they are no list of strings.
          ValueError: a vector is not finite.
        """
        return self._all(self.query_stream(as_texts(queries, "Query"), progress))

    def encode_documents(
        self, documents: Sequence[str], progress: tqdm | None = None
    ) -> np.ndarray:
        """Float32 vectors `[len(documents), dim]`; see `encode_queries`."""
        return self._all(self.document_stream(as_texts(documents, "Document"), progress))

    def query_stream(
        self, queries: Iterable[str], progress: tqdm | None = None
    ) -> Iterator[np.ndarray]:
        """The vectors of `CHUNK` queries after the other, in order, as they are done.

        Texts are read and tokenized by another thread, a chunk ahead. The memory does not depend on
        how many there are.
        """
        return self._stream(self.encoder.encode_queries, queries, progress)

    def document_stream(
        self, documents: Iterable[str], progress: tqdm | None = None
    ) -> Iterator[np.ndarray]:
        """The same of documents."""
        return self._stream(self.encoder.encode_documents, documents, progress)

    def _stream(
        self,
        encode: Callable[[Sequence[str]], list[EncodedPair]],
        texts: Iterable[str],
        progress: tqdm | None,
    ) -> Iterator[np.ndarray]:
        encoded = prefetched(encode(chunk) for chunk in _chunks(texts))
        rows = ([one.tokens for one in chunk] for chunk in encoded)
        for vectors in run_chunks(self.scorer, self.scorer.shapes, rows, progress):
            bad = int(np.sum(~np.isfinite(vectors).all(axis=-1)))
            if bad:
                raise ValueError(
                    f"Vectors of {bad} of {len(vectors)} texts are not finite; expected all to be. "
                    "Is the checkpoint from a diverged run?"
                )
            yield vectors

    def _all(self, stream: Iterator[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.zeros((0, self.dim), np.float32), *stream])


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
