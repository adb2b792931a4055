"""Optimizers, as T5X and our trainer drive them.

An optimizer definition makes and updates an `Optimizer`, which holds the parameters and the
optimizer's state. Its interface is the one that T5X asks for, by duck typing: the ones here work in
`t5x.train`, and T5X's own (`t5x.adafactor.Adafactor`) work in our trainer. The learning rate is
given at every step, by the trainer's schedule, so that there is one.
"""

from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from t5rank.checks import check_boolean, check_choice, check_number
from t5rank.models import partitioning
from t5rank.types import Array, PyTree

MakeTransformation = Callable[[Any], optax.GradientTransformation]


@flax.struct.dataclass
class OptimizerState:
    """What an optimizer keeps.

    Attributes:
      step: steps done, int32.
      param_states: optax's state.
    """

    step: Any
    param_states: PyTree


class Optimizer(flax.struct.PyTreeNode):
    """Parameters and the optimizer's state: what training changes.

    Attributes:
      optimizer_def: how to update them.
      state: the optimizer's state.
      target: the parameters.
    """

    optimizer_def: Any = flax.struct.field(pytree_node=False)
    state: OptimizerState
    target: PyTree

    def apply_gradient(self, grads: PyTree, learning_rate: Array | float) -> "Optimizer":
        """The optimizer after a step along `grads`."""
        return self.optimizer_def.apply_gradient(self, grads, learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """`{target, state: {step, param_states}}`, T5X's tree of a checkpoint."""
        return self.optimizer_def.state_dict(self.target, self.state)

    def restore_state(self, state_dict: dict[str, Any]) -> "Optimizer":
        """The optimizer with what `state_dict` gave."""
        target, state = self.optimizer_def.restore_state(self.target, self.state, state_dict)
        return self.replace(target=target, state=state)


class OptimizerDef:
    """Any optax optimizer of gradients (some, as `optax.lbfgs`, ask for the loss, too).

    Args:
      transformation: learning rate to optax transformation, such as `optax.lion`.
    """

    def __init__(self, transformation: MakeTransformation):
        if not callable(transformation):
            raise TypeError(
                f"Optimizer 'transformation' has {transformation!r:.80}; expected a function of "
                "the learning rate, such as optax.lion."
            )
        self.transformation = transformation

    def create(self, target: PyTree) -> Optimizer:
        """A fresh optimizer of the parameters `target`.

        Raises:
          ValueError: the first state depends on the learning rate, which each step gives.
        """
        _check_first_state(self.transformation, target)
        state = self.transformation(0.0).init(target)
        return Optimizer(self, OptimizerState(jnp.zeros((), jnp.int32), state), target)

    def apply_gradient(
        self, optimizer: Optimizer, grads: PyTree, learning_rate: Array | float
    ) -> Optimizer:
        """The optimizer after one step."""
        target, state = optimizer.target, optimizer.state
        updates, param_states = self.transformation(learning_rate).update(
            grads, state.param_states, target
        )
        return Optimizer(
            self, OptimizerState(state.step + 1, param_states), optax.apply_updates(target, updates)
        )

    def state_dict(self, target: PyTree, state: OptimizerState) -> dict[str, Any]:
        """See `Optimizer.state_dict`. Empty states of optax are left out: T5X cannot hold them."""
        tree = {
            "target": flax.serialization.to_state_dict(target),
            "state": flax.serialization.to_state_dict(state),
        }
        return traverse_util.unflatten_dict(traverse_util.flatten_dict(tree))

    def restore_state(
        self, target: PyTree, state: OptimizerState, state_dict: dict[str, Any]
    ) -> tuple[PyTree, OptimizerState]:
        """The parameters and the state that `state_dict` holds, in the form of those given."""
        empty = traverse_util.flatten_dict(
            flax.serialization.to_state_dict(state), keep_empty_nodes=True
        )
        tree = empty | traverse_util.flatten_dict(state_dict["state"])
        return (
            flax.serialization.from_state_dict(target, state_dict["target"]),
            flax.serialization.from_state_dict(state, traverse_util.unflatten_dict(tree)),
        )

    def derive_logical_axes(self, optimizer: Optimizer, param_axes: PyTree) -> Optimizer:
        """The optimizer with logical axes for arrays, None for those kept on every device."""
        states = optimizer.state.param_states
        axes = partitioning.state_axes(states, optimizer.target, param_axes)
        return Optimizer(self, OptimizerState(None, axes), param_axes)


def _check_first_state(transformation: MakeTransformation, target: PyTree) -> None:
    with jax.ensure_compile_time_eval():
        small = jax.tree.map(lambda leaf: jnp.ones((1,) * leaf.ndim, leaf.dtype), target)
        first, other = (jax.tree.leaves(transformation(rate).init(small)) for rate in (0.0, 1.0))
        same = all(jnp.all(a == b) for a, b in zip(first, other, strict=True))
    if not same:
        raise ValueError(
            "Optimizer has a first state that depends on the learning rate (optax.rprop has); "
            "expected one that does not: each step gives its own."
        )


def adafactor(
    decay_rate: float = 0.8,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: float | None = 1.0,
    momentum: float | None = None,
    weight_decay: float | None = None,
) -> OptimizerDef:
    """Adafactor with T5's settings (Shazeer and Stern 2018; Raffel et al. 2020, 3.1.2).

    With `multiply_by_parameter_scale` the step is relative to a parameter's root mean square, which
    is what T5's published learning rates (1e-3, 1e-4) are for.
    """
    check_number("Adafactor 'decay_rate'", decay_rate, above=0, below=1)
    check_boolean("Adafactor 'multiply_by_parameter_scale'", multiply_by_parameter_scale)
    check_number("Adafactor 'clipping_threshold'", clipping_threshold, above=0, optional=True)
    check_number("Adafactor 'momentum'", momentum, at_least=0, below=1, optional=True)
    check_number("Adafactor 'weight_decay'", weight_decay, at_least=0, optional=True)
    return OptimizerDef(
        lambda learning_rate: optax.adafactor(
            learning_rate,
            decay_rate=decay_rate,
            multiply_by_parameter_scale=multiply_by_parameter_scale,
            clipping_threshold=clipping_threshold,
            momentum=momentum,
            weight_decay_rate=weight_decay,
        )
    )


def adamw(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    clip_global_norm: float | None = 1.0,
    moment_dtype: str = "float32",
) -> OptimizerDef:
    """AdamW (Loshchilov and Hutter 2019) behind a clip of the gradient's global norm.

    With `moment_dtype` "bfloat16" both moments take half the memory; see `stored_in_bfloat16`.

    Raises:
      ValueError: another `moment_dtype`.
    """
    check_choice("Optimizer 'moment_dtype'", moment_dtype, ("float32", "bfloat16"))
    for name, value in {"b1": b1, "b2": b2}.items():
        check_number(f"AdamW '{name}'", value, at_least=0, below=1)
    check_number("AdamW 'eps'", eps, above=0)
    check_number("AdamW 'weight_decay'", weight_decay, at_least=0)
    check_number("AdamW 'clip_global_norm'", clip_global_norm, above=0, optional=True)

    def transformation(learning_rate: Any) -> optax.GradientTransformation:
        adam = optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)
        if moment_dtype == "bfloat16":
            adam = stored_in_bfloat16(adam)
        if clip_global_norm is None:
            return adam
        return optax.chain(optax.clip_by_global_norm(clip_global_norm), adam)

    return OptimizerDef(transformation)


def stored_in_bfloat16(
    transformation: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """A transformation whose float32 state is kept in bfloat16 between steps.

    It is rounded up or down at random, in proportion to what is nearer, so that a mean which moves
    by less than bfloat16 can tell (a thousandth a step, for Adam's second moment) still moves
    (Gupta et al. 2015, stochastic rounding). The random numbers depend on the step alone.
    """

    def init(params: PyTree) -> tuple[Array, PyTree]:
        state = transformation.init(params)
        return jnp.zeros((), jnp.int32), jax.tree.map(_to_bfloat16, state)

    def update(
        updates: PyTree, state: tuple[Array, PyTree], params: PyTree | None = None
    ) -> tuple[PyTree, tuple[Array, PyTree]]:
        count, kept = state
        updates, new = transformation.update(updates, jax.tree.map(_to_float32, kept), params)
        leaves, structure = jax.tree.flatten(new)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), count), len(leaves))
        rounded = [_to_bfloat16(leaf, key) for leaf, key in zip(leaves, keys, strict=True)]
        return updates, (count + 1, jax.tree.unflatten(structure, rounded))

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]


def _to_float32(leaf: Array) -> Array:
    return leaf.astype(jnp.float32) if leaf.dtype == jnp.bfloat16 else leaf


def _to_bfloat16(leaf: Array, key: Array | None = None) -> Array:
    """Float32 as bfloat16; with a key, the 16 bits that go are rounded at random."""
    if leaf.dtype != jnp.float32:
        return leaf
    if key is None:
        return leaf.astype(jnp.bfloat16)
    bits = jax.lax.bitcast_convert_type(leaf, jnp.uint32)
    noise = jax.random.bits(key, leaf.shape, jnp.uint16).astype(jnp.uint32)
    high = ((bits + noise) >> 16).astype(jnp.uint16)
    return jnp.where(
        jnp.isfinite(leaf),
        jax.lax.bitcast_convert_type(high, jnp.bfloat16),
        leaf.astype(jnp.bfloat16),
    )


def create(optimizer_def: Any, params: PyTree, param_axes: PyTree) -> Any:
    """A fresh optimizer of ours or of T5X's, which may want to know the logical axes first."""
    if hasattr(optimizer_def, "set_param_axes"):
        optimizer_def.set_param_axes(param_axes)
    return optimizer_def.create(params)
