"""Programs compiled ahead of the first input, one a shape, and kept for the next process.

JAX's compilation cache spares that process the compilation of a program, but not tracing it and
looking for it, which takes as long. What is kept here is the whole program.
"""

import concurrent.futures
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import jax
import numpy as np
from jax.experimental import serialize_executable
from jax.sharding import Mesh, NamedSharding
from tqdm import tqdm

from t5rank.inference import program_files
from t5rank.inference.compilation_cache import program_folder
from t5rank.inference.program_files import ProgramFile
from t5rank.process.cores import core_count
from t5rank.types import Array, PyTree

Shape = tuple[int, ...]
Program = Callable[[PyTree, Array], Array]

_THREADS = 8  # at most
_log = logging.getLogger(__name__)


class Programs:
    """The programs of a function of parameters and tokens, a shape of tokens each.

    Args:
      function: jitted, of parameters and int32 tokens `[batch, length]`.
      tokens: where the tokens lie.
      computes: says what the function computes, so that its programs are found again; without it
        they are not kept.
    """

    def __init__(self, function: Any, tokens: NamedSharding, computes: str | None):
        self._function = function
        self._tokens = tokens
        self._computes = computes
        self._of_shape: dict[Shape, Program] = {}
        self._said: set[str] = set()

    def __len__(self) -> int:
        return len(self._of_shape)

    def get(self, params: PyTree, shape: Shape) -> Program:
        """The program of a shape of tokens: compiled, or read, when it is first asked for."""
        if shape not in self._of_shape:
            self._of_shape[shape] = self._kept_or_compiled(params, shape)
        return self._of_shape[shape]

    @contextlib.contextmanager
    def preparing(
        self, params: PyTree, shapes: Iterable[Shape], progress: tqdm | None = None
    ) -> Iterator[None]:
        """Compiles or reads the programs of all shapes, several at a time.

        What is done within goes on meanwhile; an error of it leaves out what has not begun.

        Args:
          params: the parameters, or their shapes, types and places.
          shapes: of tokens.
          progress: told of every program that is there.
        """
        threads = min(core_count(), _THREADS) if jax.process_count() == 1 else 1
        pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="compiling")
        try:
            waiting = [pool.submit(self.get, params, shape) for shape in shapes]
            yield
            for done in concurrent.futures.as_completed(waiting):
                done.result()
                if progress is not None:
                    progress.update()
        finally:
            pool.shutdown(cancel_futures=True)

    def _kept_or_compiled(self, params: PyTree, shape: Shape) -> Program:
        folder = program_folder()
        if folder is None or self._computes is None or jax.process_count() > 1:
            return self._compiled(params, shape)
        what = {"computes": self._computes, "shape": shape, **self._what(params)}
        file = ProgramFile(folder, what)
        try:
            return self._loaded(params, file.read())
        except FileNotFoundError:
            pass
        except Exception as error:  # the file, pickle, JAX and XLA raise as they like
            self._say(f"A program in '{folder}' is compiled anew: {error}")
        program = self._compiled(params, shape)
        try:
            file.write(serialize_executable.serialize(program)[0])
        except Exception as error:
            self._say(f"Programs cannot be kept in '{folder}': {error}")
        return program

    def _what(self, params: PyTree) -> dict[str, Any]:
        parameters = program_files.parameters(params)
        return {"parameters": parameters} | program_files.machine(cast(Mesh, self._tokens.mesh))

    def _compiled(self, params: PyTree, shape: Shape) -> jax.stages.Compiled:
        tokens = jax.ShapeDtypeStruct(shape, np.int32, sharding=self._tokens)
        return self._function.lower(params, tokens).compile()

    def _loaded(self, params: PyTree, program: bytes) -> jax.stages.Compiled:
        inputs, output = jax.tree.structure(((params, 0), {})), jax.tree.structure(0)
        devices = list(self._tokens.mesh.devices.flat)
        return serialize_executable.deserialize_and_load(
            program, inputs, output, devices[0].client, devices
        )

    def _say(self, sentence: str) -> None:
        """Once, though it may hold for every shape."""
        if sentence not in self._said:
            self._said.add(sentence)
            _log.warning("%s", sentence)
