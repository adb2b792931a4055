"""A data x model mesh, and where parameters and batches lie on it.

Logical axis names are T5X's, and so are the rules, those of its default partitioner.
"""

import functools
import logging
import math
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import flax
import jax
import numpy as np
from flax.linen import partitioning as nn_partitioning
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from t5rank.types import PyTree

P = ParamSpec("P")
R = TypeVar("R")
DATA, MODEL = "data", "model"
LogicalAxisRules = Sequence[tuple[str, str | None]]
_RULES: LogicalAxisRules = (
    ("batch", DATA),
    ("vocab", MODEL),
    ("mlp", MODEL),
    ("heads", MODEL),
    ("joined_kv", MODEL),
    ("kv", None),
    ("length", None),
    ("relpos_buckets", None),
    ("stack", None),
)


def logical_axis_rules(parameter_partitioning_dims: int = 1) -> LogicalAxisRules:
    """Which mesh axis each logical axis is split over.

    Args:
      parameter_partitioning_dims: 1 copies parameters and optimizer state along the data axis; 2
        splits them there, too (ZeRO, Rajbhandari et al. 2020): a device holds its part only, and
        gets a layer's rest when it needs it.

    Raises:
      ValueError: other than 1 or 2.
    """
    if parameter_partitioning_dims not in (1, 2):
        raise ValueError(
            f"PARAMETER_PARTITIONING_DIMS has {parameter_partitioning_dims}; expected 1 or 2."
        )
    return (*_RULES, ("embed", DATA if parameter_partitioning_dims == 2 else None))


def make_mesh(model_parallel: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Devices as `[data, model]`.

    Args:
      model_parallel: devices that share one copy of the parameters.
      devices: all by default.

    Raises:
      ValueError: the devices cannot be divided so.
    """
    grid = np.asarray(jax.devices() if devices is None else devices)
    if model_parallel < 1 or grid.size % model_parallel:
        raise ValueError(
            f"Mesh has {grid.size} devices and model_parallel {model_parallel}; "
            "expected a divisor of the number of devices."
        )
    return Mesh(grid.reshape(-1, model_parallel), (DATA, MODEL))


def one_device() -> Mesh:
    """A mesh of the first device."""
    return make_mesh(devices=jax.local_devices()[:1])


def platform(mesh: Mesh | None) -> str:
    """JAX's name of a mesh's kind of device, such as "cpu"; without a mesh, of the default one."""
    return jax.default_backend() if mesh is None else mesh.devices.flat[0].platform


def on_mesh(
    function: Callable[P, R], mesh: Mesh, rules: LogicalAxisRules | None = None
) -> Callable[P, R]:
    """The function, to be compiled: the network's activations lie on the mesh by their axes.

    Where parameters are split over the data axis, XLA would else split activations as they are,
    and hold every device's batch on each.

    Args:
      function: what is compiled.
      mesh: see `make_mesh`.
      rules: see `logical_axis_rules`.
    """
    rules = logical_axis_rules() if rules is None else rules

    @functools.wraps(function)
    def placed(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh), nn_partitioning.axis_rules(rules):
            return function(*args, **kwargs)

    return placed


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis over the data axis of the mesh."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def axis_names(params_axes: PyTree) -> PyTree:
    """One PartitionSpec of logical axes per parameter.

    Args:
      params_axes: the `params_axes` collection of `get_initial_variables`.
    """
    return flax.core.unfreeze(nn_partitioning.get_axis_names(params_axes))


def shardings(
    arrays: PyTree, axes: PyTree, mesh: Mesh, rules: LogicalAxisRules | None = None
) -> PyTree:
    """One NamedSharding per array, from its logical axes.

    An axis whose size the mesh does not divide is replicated, with a warning.

    Args:
      arrays: arrays or shapes.
      axes: a PartitionSpec of logical axes per array, or None where it is on every device.
      mesh: see `make_mesh`.
      rules: see `logical_axis_rules`.
    """
    rules = logical_axis_rules() if rules is None else rules

    def sharding(path: tuple, names: PartitionSpec | None, array: jax.Array) -> NamedSharding:
        spec = nn_partitioning.logical_to_mesh_axes(tuple(names or ()), rules)
        kept = []
        for size, axis in zip(array.shape, spec or (), strict=False):
            if axis is not None and size % mesh.shape[axis]:
                logging.getLogger(__name__).warning(
                    "Array '%s' has size %d, which %d devices do not divide: replicated.",
                    jax.tree_util.keystr(path, simple=True, separator="/"),
                    size,
                    mesh.shape[axis],
                )
                axis = None
            kept.append(axis)
        return NamedSharding(mesh, PartitionSpec(*kept))

    return jax.tree_util.tree_map_with_path(sharding, axes, arrays, is_leaf=_is_axes)


def state_axes(state: PyTree, params: PyTree, axes: PyTree) -> PyTree:
    """Logical axes of an optimizer's state: a leaf with a parameter's path and shape has its axes.

    Everything else (counts, factored moments) has None, for a copy on every device.
    """
    by_path = {
        jax.tree_util.keystr(path): (param.shape, names)
        for (path, param), names in zip(
            jax.tree_util.tree_leaves_with_path(flax.core.unfreeze(params)),
            jax.tree.leaves(flax.core.unfreeze(axes), is_leaf=_is_axes),
            strict=True,
        )
    }

    def names_of(path: tuple, leaf: jax.Array) -> PartitionSpec | None:
        for start in range(len(path)):
            shape, names = by_path.get(jax.tree_util.keystr(path[start:]), (None, None))
            if shape == leaf.shape:
                return names
        return None

    return jax.tree_util.tree_map_with_path(names_of, state)


def _is_axes(leaf: object) -> bool:
    return leaf is None or isinstance(leaf, PartitionSpec)


def data_parallelism(mesh: Mesh) -> int:
    """How many parts a batch is split into."""
    return mesh.shape[DATA]


def count_parameters(params: PyTree) -> int:
    """The number of parameters of a tree of arrays or shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
