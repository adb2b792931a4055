"""Loads a model on the server's devices and compiles it, until the server ends."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from tqdm import tqdm

from t5rank import model_folder
from t5rank.inference.embedder import Embedder
from t5rank.inference.reranker import Reranker
from t5rank.model_folder import ModelFolder
from t5rank.models import partitioning
from t5rank.serve.settings import ServerSettings
from t5rank.text.texts import TextEncoder

LoadedModel = Reranker | Embedder


class Stopped(BaseException):
    """The server ends before a model is ready."""


class Progress(tqdm):
    """A progress bar that ends its work once the server is ending."""

    def __init__(self, stopped: Callable[[], bool], **options: Any):
        super().__init__(**options)
        self._stopped = stopped

    def update(self, n: float | None = 1) -> bool | None:
        """Shows one more shape.

        Raises:
          Stopped: the server is ending.
        """
        if self._stopped():
            raise Stopped
        return super().update(n)


def load_replicas(
    folder: str, settings: ServerSettings, like: Sequence[LoadedModel], progress: Progress
) -> list[LoadedModel]:
    """A folder's model on the devices of each replica, ready to compute.

    Args:
      folder: the model folder.
      settings: have the number of replicas, and of devices for each.
      like: the replicas before, whose programs may serve these too; see `Reranker`.
        Those of another kind serve none.
      progress: is told of every compiled shape.

    Raises:
      ValueError: the model cannot be loaded, or there are too few devices.
      Stopped: the server is ending.
    """
    opened = model_folder.open_folder(folder)
    kind: Any = Embedder if isinstance(opened.encoder, TextEncoder) else Reranker
    before = [each for each in like if isinstance(each, kind)]
    replicas = []
    for i, mesh in enumerate(_meshes(opened, settings)):
        replica = kind.from_folder(
            opened,
            batch_tokens=settings.batch_tokens,
            mesh=mesh,
            like=before[i] if i < len(before) else None,
            progress=progress,
        )
        replicas.append(replica)
    return replicas


def _meshes(opened: ModelFolder, settings: ServerSettings) -> list[partitioning.Mesh | None]:
    """The devices of each replica; None for a backend other than JAX."""
    if opened.is_exported:
        return [None] * (settings.replicas or 1)
    devices, parts = jax.local_devices(), settings.model_parallel
    replicas = settings.replicas or max(1, len(devices) // parts)
    if replicas * parts > len(devices):
        raise ValueError(
            f"Settings 'replicas' and 'model_parallel' have {replicas} and {parts}; expected no "
            f"more than the {len(devices)} devices together."
        )
    starts = range(0, replicas * parts, parts)
    return [partitioning.make_mesh(parts, devices[start : start + parts]) for start in starts]
