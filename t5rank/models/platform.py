"""The kind of device that the program at hand is compiled for."""

import jax


def is_for_cpu() -> bool:
    """Whether what is traced is compiled for CPU cores.

    The mesh around it decides (see `t5rank.models.partitioning.on_mesh`): its devices need not be
    those of JAX's default backend, as where a CPU host compiles for a TPU. Without such a mesh, as
    under T5X, it is JAX's default backend.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    return (jax.default_backend() if device is None else device.device_kind) == "cpu"
