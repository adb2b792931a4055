"""A data x model mesh, and where parameters and batches lie on it.

Logical axis names are T5X's; the rules are those of its default partitioner without parameter
sharding over the data axis.
"""

import logging
import math

import flax
import jax
import numpy as np
from flax.linen import partitioning as nn_partitioning
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from t5rank.types import PyTree

DATA, MODEL = "data", "model"
LOGICAL_AXIS_RULES = (
    ("batch", DATA),
    ("vocab", MODEL),
    ("mlp", MODEL),
    ("heads", MODEL),
    ("joined_kv", MODEL),
    ("embed", None),
    ("kv", None),
    ("length", None),
    ("relpos_buckets", None),
    ("stack", None),
)


def make_mesh(model_parallel: int = 1) -> Mesh:
    """All devices as `[data, model]`.

    Args:
      model_parallel: devices that share one copy of the parameters.

    Raises:
      ValueError: the devices cannot be divided so.
    """
    devices = np.asarray(jax.devices())
    if model_parallel < 1 or devices.size % model_parallel:
        raise ValueError(
            f"Mesh has {devices.size} devices and model_parallel {model_parallel}; "
            "expected a divisor of the number of devices."
        )
    return Mesh(devices.reshape(-1, model_parallel), (DATA, MODEL))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis over the data axis of the mesh."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def param_shardings(params: PyTree, params_axes: PyTree, mesh: Mesh) -> PyTree:
    """One NamedSharding per parameter, from its logical axes.

    An axis whose size the mesh does not divide is replicated, with a warning.

    Args:
      params: arrays or shapes.
      params_axes: the `params_axes` collection of `get_initial_variables`.
      mesh: see `make_mesh`.
    """
    names = flax.core.unfreeze(nn_partitioning.get_axis_names(params_axes))

    def sharding(path: tuple, param: jax.Array, axes: PartitionSpec) -> NamedSharding:
        spec = nn_partitioning.logical_to_mesh_axes(tuple(axes), LOGICAL_AXIS_RULES)
        kept = []
        for size, axis in zip(param.shape, spec, strict=True):
            if axis is not None and size % mesh.shape[axis]:
                logging.getLogger(__name__).warning(
                    "Parameter '%s' has size %d, which %d devices do not divide: replicated.",
                    jax.tree_util.keystr(path, simple=True, separator="/"),
                    size,
                    mesh.shape[axis],
                )
                axis = None
            kept.append(axis)
        return NamedSharding(mesh, PartitionSpec(*kept))

    return jax.tree_util.tree_map_with_path(sharding, params, names)


def like_params(opt_state: PyTree, params: PyTree, shardings: PyTree, mesh: Mesh) -> PyTree:
    """Shardings of an optimizer's state: a parameter's where it has that one's path and shape.

    Everything else (counts, factored moments) is replicated.
    """
    by_path = {
        jax.tree_util.keystr(path): (param.shape, sharding)
        for (path, param), sharding in zip(
            jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(shardings), strict=True
        )
    }

    def sharding(path: tuple, leaf: jax.Array) -> NamedSharding:
        for start in range(len(path)):
            shape, found = by_path.get(jax.tree_util.keystr(path[start:]), (None, None))
            if found is not None and shape == leaf.shape:
                return found
        return replicated(mesh)

    return jax.tree_util.tree_map_with_path(sharding, opt_state)


def data_parallelism(mesh: Mesh) -> int:
    """How many parts a batch is split into."""
    return mesh.shape[DATA]


def count_parameters(params: PyTree) -> int:
    """The number of parameters of a tree of arrays or shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
