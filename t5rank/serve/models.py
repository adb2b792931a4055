"""The models that are served: loaded in the background, and replaced when there is a new one."""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from t5rank import model_folder, partitioning
from t5rank.reranker import Reranker
from t5rank.serve.engine import Computed, Engine
from t5rank.serve.errors import Refusal, invalid, not_ready, overloaded
from t5rank.serve.queue import Closed, Full, Request
from t5rank.serve.settings import Settings
from t5rank.serve.work import Inputs, Work, best, encode

_TOKENS_A_LETTER = 0.3  # a guess at what a text will take, until it is tokenized
_LOG = logging.getLogger(__name__)


class Scored(NamedTuple):
    """Scores of some `Work`.

    Attributes:
      scores: `[documents]` float32.
      probabilities: the same from 0 to 1.
      inputs: what was scored.
      waited: seconds in the queue.
      computed: seconds from the first batch to the last.
    """

    scores: np.ndarray
    probabilities: np.ndarray
    inputs: Inputs
    waited: float
    computed: float


class ServedModel:
    """One model by its name.

    Attributes:
      name: of requests.
      folder: the model folder.
      engine: what scores now, or None before the first is ready.
      created: when the engine was ready, in seconds since 1970.
      reloads: how often a new model has taken over, and how often one could not.
    """

    def __init__(self, name: str, folder: str, settings: Settings, observe: "Observe"):
        self.name = name
        self.folder = folder
        self.engine: Engine | None = None
        self.created = 0
        self.reloads = {"succeeded": 0, "failed": 0}
        self._settings = settings
        self._observe = observe
        self._version: object = None
        self._compiles = 0

    @property
    def compiles(self) -> int:
        """Programs compiled after the model was ready, by this engine and those before."""
        return self._compiles + (self.engine.compiles if self.engine else 0)

    def load(self) -> None:
        """Loads and compiles the folder's model; then it takes over.

        Raises:
          ValueError: as `Reranker.from_pretrained`.
        """
        self._version = self.version()
        engine = self._new_engine()
        old, self.engine = self.engine, engine
        self.created = int(time.time())
        if old is not None:
            old.close()
            self._compiles += old.compiles

    def reload(self) -> None:
        """Loads the folder anew; what is served stays if that fails."""
        try:
            self.load()
        except Exception:
            self.reloads["failed"] += 1
            _LOG.exception(
                "Model '%s' could not be loaded anew: the one before goes on.", self.name
            )
        else:
            self.reloads["succeeded"] += 1
            _LOG.info("Model '%s' has been loaded anew from %s.", self.name, self.folder)

    def has_changed(self) -> bool:
        """Whether the folder has other files than those that were loaded."""
        try:
            return self.version() != self._version
        except (OSError, ValueError):
            return False  # being written

    def version(self) -> object:
        """Changes with the folder's configuration and checkpoint."""
        weights = os.fspath(model_folder.weights_path(self.folder))
        config = Path(self.folder, model_folder.CONFIG).read_bytes()
        return config, weights, os.stat(weights).st_mtime_ns

    async def score(self, work: Work, gone: asyncio.Event) -> Scored:
        """Scores the documents of a request.

        Args:
          work: the request.
          gone: set when the client has left; what waits of its work is dropped then.

        Raises:
          Refusal: the model is not ready or has too much to do, or the request is wrong.
          ClientGone: the client has left.
        """
        engine, reserved = self._reserve(work)
        loop = asyncio.get_running_loop()
        try:
            inputs = await loop.run_in_executor(None, encode, engine.reranker.encoder, work)
        except ValueError as error:
            engine.queue.release(reserved)
            raise invalid(str(error)) from error
        except BaseException:
            engine.queue.release(reserved)
            raise
        return await _scored(engine, inputs, reserved, work.documents(), gone)

    def _reserve(self, work: Work) -> tuple[Engine, int]:
        while True:
            engine = self.engine
            if engine is None:
                raise not_ready(self.name)
            tokens = _guess(work, engine.reranker.encoder.max_length)
            try:
                engine.queue.reserve(tokens)
            except Full:
                raise overloaded(engine.seconds_waiting) from None
            except Closed:
                continue  # its successor is there
            return engine, tokens

    def _new_engine(self) -> Engine:
        settings, old = self._settings, self.engine
        replicas = []
        for i, mesh in enumerate(_meshes(self.folder, settings)):
            like = old.replicas[i] if old is not None else None
            replica = Reranker.from_pretrained(
                self.folder, batch_tokens=settings.batch_tokens, mesh=mesh, like=like
            )
            replica.warm_up()
            replicas.append(replica)
        return Engine(replicas, settings.max_wait, lambda batch: self._observe(self.name, batch))


Observe = Callable[[str, Computed], None]


class ClientGone(Exception):
    """The client did not wait for its answer."""


class Models:
    """All models of a server.

    Args:
      settings: which, and on what.
      observe: told of every batch, with the model's name.
      failed: called when a model cannot be loaded at the start.
    """

    def __init__(self, settings: Settings, observe: Observe, failed: Callable[[Exception], None]):
        self._settings = settings
        self._failed = failed
        self._wake = threading.Event()
        self._reload = False
        self._closed = False
        self.by_name: Mapping[str, ServedModel] = {
            name: ServedModel(name, folder, settings, observe)
            for name, folder in settings.models.items()
        }
        self._thread = threading.Thread(target=self._run, name="loading", daemon=True)

    def start(self) -> None:
        """Begins to load the models."""
        self._thread.start()

    def close(self) -> None:
        """Ends the threads, once what was accepted is scored."""
        self._closed = True
        self._wake.set()
        self._thread.join()
        for model in self.by_name.values():
            if model.engine is not None:
                model.engine.close()

    def reload(self) -> None:
        """Loads all models anew, in the background."""
        self._reload = True
        self._wake.set()

    def unready(self) -> list[str]:
        """Models that cannot score yet."""
        return [model.name for model in self.by_name.values() if model.engine is None]

    def choose(self, name: str | None) -> ServedModel:
        """The model that a request means.

        Raises:
          Refusal: there are several, and none of this name.
        """
        if name is None or len(self.by_name) == 1:
            return next(iter(self.by_name.values()))
        if name not in self.by_name:
            message = f"Model '{name[:80]}' is not served; expected one of {[*self.by_name]}."
            raise Refusal(404, "model_not_found", message)
        return self.by_name[name]

    def _run(self) -> None:
        try:
            for model in self.by_name.values():
                if not self._closed:
                    _LOG.info("Model '%s': loading and compiling %s.", model.name, model.folder)
                    start = time.monotonic()
                    model.load()
                    _LOG.info("Model '%s' is ready: %.1f s.", model.name, time.monotonic() - start)
        except Exception as error:
            self._failed(error)
            return
        while not self._closed:
            self._wake.wait(self._settings.watch or None)
            self._wake.clear()
            asked, self._reload = self._reload, False
            for model in self.by_name.values():
                if not self._closed and (asked or model.has_changed()):
                    model.reload()


async def _scored(
    engine: Engine, inputs: Inputs, reserved: int, documents: int, gone: asyncio.Event
) -> Scored:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    request = Request(inputs.rows, lambda _: _call(loop, done.set))
    put = time.perf_counter()
    engine.queue.put(request, reserved)
    waits = [asyncio.ensure_future(event.wait()) for event in (done, gone)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        if not done.is_set():
            engine.queue.drop(request)
    if not done.is_set():
        raise ClientGone
    if request.error is not None:
        raise request.error
    scores = best(request.scores, inputs, documents)
    finished = time.perf_counter()
    return Scored(
        scores,
        engine.reranker.probability(scores),
        inputs,
        waited=request.started - put,
        computed=finished - request.started,
    )


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
        loop.call_soon_threadsafe(function)


def _guess(work: Work, most: int) -> int:
    """About how many tokens a request will have."""
    return sum(
        min(most * work.max_chunks, 1 + int(_TOKENS_A_LETTER * (len(query) + len(document))))
        for query, documents in work.lists
        for document in documents
    )


def _meshes(folder: str, settings: Settings) -> list[partitioning.Mesh | None]:
    """Devices of each replica; None is the one of a backend that is not JAX."""
    if model_folder.weights_path(folder).name == model_folder.ONNX:
        return [None] * (settings.replicas or 1)
    devices, parts = jax.local_devices(), settings.model_parallel
    replicas = settings.replicas or max(1, len(devices) // parts)
    if replicas * parts > len(devices):
        raise ValueError(
            f"Settings 'replicas' and 'model_parallel' have {replicas} and {parts}; expected no "
            f"more than the {len(devices)} devices together."
        )
    groups = np.asarray(devices[: replicas * parts]).reshape(replicas, 1, parts)
    return [partitioning.Mesh(group, (partitioning.DATA, partitioning.MODEL)) for group in groups]
