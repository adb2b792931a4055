"""Running a stack of layers: one after the other, or as a loop over one compiled layer.

The parameters are those of `layers_0`, `layers_1`, ... either way, so that a checkpoint, an
optimizer's state and T5X never see how the layers are run. A loop gathers them into one array a
kind, in the activations' type, on the way.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from t5rank.types import Array, PyTree

_POLICIES: dict[str, Any] = {
    "minimal": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


def run_layers(
    stack: Any,
    layer_class: Callable[..., nn.Module],
    count: int,
    x: Array,
    *arguments: Array | None,
    deterministic: bool,
) -> Array:
    """The output of a stack's layers, called as `layer(x, *arguments, deterministic)`.

    Args:
      stack: the module that holds the layers, with a `config`.
      layer_class: of its layers.
      count: how many.
      x: `[batch, ..., emb]`, what the first layer gets.
      *arguments: what all layers get.
      deterministic: no dropout.
    """
    config = stack.config
    if stack.is_initializing():
        for i in range(count):
            x = layer_class(config, name=f"layers_{i}")(x, *arguments, deterministic)
        return x

    layer = layer_class(config, parent=None)

    def run(x: Array, params: PyTree, rng: Array | None) -> Array:
        rngs = {} if rng is None else {"dropout": rng}
        outputs: Any = layer.apply({"params": params}, x, *arguments, deterministic, rngs=rngs)
        return outputs

    if deterministic:
        run = jax.jit(run)  # traced once for all layers; XLA makes one program of them even so

    if config.remat_policy != "none":
        policy = _POLICIES[config.remat_policy]
        run = jax.checkpoint(run, policy=policy, prevent_cse=not config.scan_layers)
    params = [stack.variables["params"][f"layers_{i}"] for i in range(count)]
    rngs = None if deterministic else jax.random.split(stack.make_rng("dropout"), count)
    if not config.scan_layers or not count:
        for i in range(count):
            x = run(x, params[i], None if rngs is None else rngs[i])
        return x
    cast = map(_kernels_in(config.dtype), params)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *cast)
    return jax.lax.scan(lambda x, layer: (run(x, *layer), None), x, (stacked, rngs))[0]


def _kernels_in(dtype: str) -> Callable[[PyTree], PyTree]:
    """Gives parameters with their kernels in the type that the layer computes in."""

    def cast(path: tuple, leaf: Array) -> Array:
        return leaf.astype(dtype) if path[-1].key == "kernel" else leaf

    return lambda params: jax.tree_util.tree_map_with_path(cast, params)
