"""A served model: it scores requests, and is replaced when its folder has a new one."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import NamedTuple

from t5rank.inference.embedder import Embedder
from t5rank.serve.departure import unless_gone
from t5rank.serve.engine import Computed, Engine
from t5rank.serve.errors import invalid, not_ready, overloaded
from t5rank.serve.folder_state import folder_state
from t5rank.serve.loading import Progress, load_replicas
from t5rank.serve.plans import AnyWork, Plan, plan_of
from t5rank.serve.queue import Closed, Full, Request
from t5rank.serve.results import Result
from t5rank.serve.settings import ServerSettings
from t5rank.serve.work import Inputs
from t5rank.serve.workers import Task, Workers

Observe = Callable[[str, Computed], None]

_CHUNKS = 10  # inputs that a request may have, for each document that it may have
_SECONDS_A_LETTER = 4e-7  # of tokenizing, by one of two shared cores
_LOG = logging.getLogger(__name__)


class Scored(NamedTuple):
    """What was computed for some work.

    Attributes:
      result: scores or vectors.
      inputs: the scored inputs.
      waited: seconds in the queue.
      computed: seconds from the first batch to the last.
    """

    result: Result
    inputs: Inputs
    waited: float
    computed: float


class ServedModel:
    """A model with the name by which requests choose it.

    Attributes:
      name: the name in requests.
      folder: the model folder.
      engine: scores; None until the first model is ready.
      created: when the engine was ready, in seconds since 1970.
      reloads: how many new models have taken over, and how many could not be loaded.
    """

    def __init__(
        self, name: str, folder: str, settings: ServerSettings, workers: Workers, observe: "Observe"
    ):
        self.name = name
        self.folder = folder
        self.engine: Engine | None = None
        self.created = 0
        self.reloads = {"succeeded": 0, "failed": 0}
        self._settings = settings
        self._workers = workers
        self._observe = observe
        self._tried: object = None  # the state of the folder at the last try to load it
        self._trouble = ""  # at the last look at it
        self._compiles = 0

    @property
    def is_embedder(self) -> bool:
        """Whether it is a dual encoder; a model that is not loaded yet is taken for a reranker."""
        return self.engine is not None and isinstance(self.engine.model, Embedder)

    @property
    def compiles(self) -> int:
        """Programs compiled after the model was ready, by this engine and its predecessors."""
        return self._compiles + (self.engine.compiles if self.engine else 0)

    def load(self, progress: Progress) -> None:
        """Loads and compiles the folder's model, which then takes over.

        Args:
          progress: is told of every compiled shape.

        Raises:
          ValueError: as `Reranker.from_pretrained`; or the scores are not finite.
        """
        self._tried = folder_state(self.folder)
        like = self.engine.replicas if self.engine else ()
        replicas = load_replicas(self.folder, self._settings, like, progress)
        engine = Engine(replicas, self._settings.max_wait, self._count)
        old, self.engine = self.engine, engine
        self.created = int(time.time())
        if old is not None:
            old.close()
            self._compiles += old.compiles

    def reload(self, progress: Progress) -> None:
        """Loads the folder again. If that fails, the served model stays."""
        try:
            self.load(progress)
        except Exception as error:
            self.reloads["failed"] += 1
            _LOG.error(
                "Model '%s' could not be loaded again, and the one before stays: %s",
                self.name,
                error,
            )
        else:
            self.reloads["succeeded"] += 1
            _LOG.info("Model '%s' has been loaded again from %s.", self.name, self.folder)

    def change(self) -> object | None:
        """The folder's state, if it has changed since the last try to load it."""
        try:
            state = folder_state(self.folder)
        except (OSError, ValueError) as error:
            if self._trouble != str(error):
                _LOG.error("Model '%s': its folder cannot be looked at: %s", self.name, error)
            self._trouble = str(error)
            return None
        self._trouble = ""
        return state if state != self._tried else None

    async def score(
        self, work: AnyWork, gone: asyncio.Event, client: Hashable = "", size: int = 0
    ) -> Scored:
        """Scores the documents of a request.

        Args:
          work: the request.
          gone: is set when the client has left; what still waits is dropped then.
          client: the client.
          size: bytes of the request, which decide when it is tokenized.

        Raises:
          Refusal: the model is not ready or has too much to do, or the request is wrong.
          ClientGone: the client has left.
        """
        if self.engine is None:
            raise not_ready(self.name)
        task = self._queued(work, client)
        queued = await unless_gone(self._workers.run(task, size, client, _Queued.drop), gone)
        return await unless_gone(_scored(queued), gone)

    def _queued(self, work: AnyWork, client: Hashable) -> Task["_Queued"]:
        """A task that admits a request, tokenizes it, and puts it into the queue."""
        engine, plan, reserved = self._reserve(work)
        most = _CHUNKS * self._settings.max_documents
        try:
            inputs = yield from plan.encoding(most)
        except ValueError as error:
            engine.queue.release(reserved)
            raise invalid(str(error)) from error
        except BaseException:  # the client has left, too
            engine.queue.release(reserved)
            raise
        queued = _Queued(engine, plan, inputs, client)
        engine.queue.put(queued.request, reserved)
        return queued

    def _reserve(self, work: AnyWork) -> tuple[Engine, Plan, int]:
        while True:
            engine = self.engine
            if engine is None:
                raise not_ready(self.name)
            plan = plan_of(self.name, engine.model, work)
            tokens = plan.guess() + int(engine.rate * _SECONDS_A_LETTER * plan.letters())
            try:
                engine.queue.reserve(tokens)
            except Full:
                raise overloaded(engine.seconds_waiting) from None
            except Closed:
                if self.engine is engine:
                    raise not_ready(self.name) from None
                continue  # the next engine has taken over
            return engine, plan, tokens

    def _count(self, batch: Computed) -> None:
        self._observe(self.name, batch)


class _Queued:
    """A request in the queue of an engine.

    Attributes:
      engine: scores the request.
      plan: how the model does it.
      inputs: the inputs.
      request: the entry in the queue.
      put: when it was put there, in seconds of `time.perf_counter`.
    """

    def __init__(self, engine: Engine, plan: Plan, inputs: Inputs, client: Hashable):
        self.engine = engine
        self.plan = plan
        self.inputs = inputs
        self.request = Request(inputs.rows, self._finish, client=client)
        self.put = time.perf_counter()
        self._lock = threading.Lock()
        self._is_done = False
        self._waiter: Callable[[], None] | None = None

    def _finish(self, _: Request) -> None:
        with self._lock:
            self._is_done, waiter = True, self._waiter
        if waiter is not None:
            waiter()

    async def wait(self) -> None:
        """Waits until the request is scored; drops it if the waiting task is cancelled."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._waiter = lambda: _call(loop, done.set)
            if self._is_done:
                return
        try:
            await done.wait()
        except asyncio.CancelledError:
            self.drop()
            raise

    def drop(self) -> None:
        self.engine.queue.drop(self.request)


async def _scored(queued: _Queued) -> Scored:
    await queued.wait()
    request, inputs = queued.request, queued.inputs
    if request.error is not None:
        raise request.error
    return Scored(
        queued.plan.result(request.results.array, inputs),
        inputs,
        waited=request.started - queued.put,
        computed=time.perf_counter() - request.started,
    )


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and so nobody waits
        loop.call_soon_threadsafe(function)
