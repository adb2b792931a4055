"""Large batches in the memory of small ones: parts that are computed one after the other.

* `accumulated`: microbatches, a sum of losses of parts.
* `recomputed_in_parts`: a gradient cache, for a loss that needs the scores of all parts at once.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from t5rank.types import Array, PyTree


def split(arrays: PyTree, parts: int) -> PyTree:
    """`[n, ...]` to `[parts, n / parts, ...]`, every part spread over all of the arrays.

    A batch lies on the devices in consecutive blocks; taking every `parts`-th row leaves each
    part on all devices, without moving any.
    """
    return jax.tree.map(lambda a: a.reshape(-1, parts, *a.shape[1:]).swapaxes(0, 1), arrays)


def accumulated(
    loss_fn: Callable[..., tuple[Array, PyTree]], parts: PyTree, rngs: Array
) -> Callable[[PyTree], tuple[Array, PyTree]]:
    """The sum of `loss_fn(params, part, rng)` over parts, as a function of the parameters.

    The gradient is summed on the way, part by part, so that the memory is that of one.
    """

    def gradients_too(params: PyTree) -> tuple[tuple[Array, PyTree], PyTree]:
        value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)

        def add(carry: Any, part: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, carry, value_and_grad(params, *part)), None

        first = jax.tree.map(lambda x: x[0], (parts, rngs))
        shapes = jax.eval_shape(value_and_grad, params, *first)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.scan(add, zeros, (parts, rngs))[0]

    @jax.custom_vjp
    def total(params: PyTree) -> tuple[Array, PyTree]:
        return gradients_too(params)[0]

    def backward(gradients: PyTree, cotangents: Any) -> tuple[PyTree]:
        return (jax.tree.map(lambda g: g * cotangents[0], gradients),)

    total.defvjp(gradients_too, backward)
    return total


def recomputed_in_parts(
    function: Callable[[PyTree, Array | None], Array], rows: int
) -> Callable[[PyTree, Array | None], Array]:
    """`function(arrays, rng)` of arrays `[n, ...]`, computed at most `rows` at a time.

    But at least one on each device, and as many on all: a part that they cannot share evenly would
    be padded until they can, within the part.

    Nothing but the results `[n, ...]` is kept: what the gradient needs is computed again, part by
    part, from the same random numbers.
    """

    def in_parts(arrays: PyTree, rng: Array | None) -> Array:
        n, devices = jax.tree.leaves(arrays)[0].shape[0], jax.device_count()
        parts = -(-n // (max(rows // devices, 1) * devices))
        if parts == 1:
            return function(arrays, rng)
        missing = -n % (parts * devices)
        filled = jax.tree.map(
            lambda a: jnp.pad(a, [(0, missing)] + [(0, 0)] * (a.ndim - 1)), arrays
        )
        rngs = None if rng is None else jax.random.split(rng, parts)
        results = jax.lax.map(
            jax.checkpoint(lambda part: function(*part)), (split(filled, parts), rngs)
        )
        results = results.swapaxes(0, 1)
        return results.reshape(-1, *results.shape[2:])[:n]

    return in_parts
