"""Writes T5X's orbax layout, array by array."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import flax
import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from t5rank.checkpoints import paths
from t5rank.checkpoints.sources import LazyArray
from t5rank.formats.writing import writing
from t5rank.types import PyTree


class _LazyArrayHandler(ocp.type_handlers.NumpyHandler):
    """Writes one array after the other, and reads each just before."""

    def __init__(self) -> None:
        super().__init__(deepcopy_host_arrays=False)

    async def serialize(
        self, values: Sequence[Any], infos: Sequence[Any], args: Sequence[Any] | None = None
    ) -> Sequence[Any]:
        for i, value in enumerate(values):
            arg = None if args is None else args[i : i + 1]
            for written in await super().serialize([value.read()], infos[i : i + 1], arg):
                await asyncio.to_thread(written.result)
        return []


def write_orbax(directory: epath.Path, step: int, arrays: Mapping[str, LazyArray]) -> epath.Path:
    """Writes `checkpoint_N` with the parameters only, in float32; returns that folder.

    Raises:
      ValueError: it exists.
      WriteError: the disk is full; nothing is left of the folder.
    """
    folder = directory / f"{paths.PREFIX}_{step}"
    if folder.exists():
        raise ValueError(f"Checkpoint '{folder}' has been written before; expected none.")
    registry = ocp.type_handlers.create_type_handler_registry(
        (LazyArray, _LazyArrayHandler()),
        (np.ndarray, ocp.type_handlers.NumpyHandler()),
        (jax.Array, ocp.type_handlers.ArrayHandler()),
    )
    handler = ocp.CompositeCheckpointHandler(
        state=ocp.PyTreeCheckpointHandler(type_handler_registry=registry)
    )
    args = ocp.args.Composite(state=ocp.args.PyTreeSave(_state(step, arrays)))
    try:
        with writing(f"Checkpoint '{folder}'"), ocp.Checkpointer(handler) as checkpointer:
            checkpointer.save(folder, args=args)
    except BaseException:
        for unfinished in directory.glob(f"{folder.name}.orbax-checkpoint-tmp*"):
            unfinished.rmtree()
        raise
    return folder


def _state(step: int, arrays: Mapping[str, LazyArray]) -> PyTree:
    floats = {name: array.as_float32() for name, array in arrays.items()}
    return {
        "target": flax.traverse_util.unflatten_dict(floats, sep="/"),
        "state": {"step": np.asarray(step, np.int32), "param_states": {}},
    }
