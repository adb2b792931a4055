from math import sqrt

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from t5rank.train import optimizers

PARAMS = {"kernel": jnp.array([3.0, 4.0]), "scale": jnp.array([1.0, 1.0])}
GRADS = {"kernel": jnp.array([0.5, -2.0]), "scale": jnp.array([1e-3, 7.0])}


def first_update(optimizer_def, params=PARAMS, grads=GRADS, learning_rate=0.01):
    optimizer = optimizer_def.create(params).apply_gradient(grads, learning_rate=learning_rate)
    assert optimizer.state.step == 1
    return jax.tree.map(jnp.subtract, optimizer.target, params)


def test_adafactor_step_is_relative_to_the_size_of_the_parameter():
    update = first_update(optimizers.adafactor())
    # At the first step a gradient divided by its root mean square is its sign.
    size = sqrt((3**2 + 4**2) / 2)
    np.testing.assert_allclose(update["kernel"], [-0.01 * size, 0.01 * size], rtol=1e-4)
    np.testing.assert_allclose(update["scale"], [-0.01, -0.01], rtol=1e-4)


def test_adafactor_step_can_be_absolute():
    update = first_update(optimizers.adafactor(multiply_by_parameter_scale=False))
    np.testing.assert_allclose(update["kernel"], [-0.01, 0.01], rtol=1e-4)


def test_adafactor_factors_large_kernels_alone():
    params = {"large": jnp.ones((256, 128)), "small": jnp.ones((256, 8))}
    state = optimizers.adafactor().create(params).state.param_states
    (factored,) = [s for s in state if isinstance(s, optax.FactoredState)]
    assert factored.v_row["large"].size + factored.v_col["large"].size == 256 + 128
    assert factored.v["small"].shape == (256, 8)


def test_adamw_first_step_is_the_learning_rate():
    update = first_update(optimizers.adamw())
    np.testing.assert_allclose(update["kernel"], [-0.01, 0.01], rtol=1e-4)


def test_adamw_decays_weights_by_the_learning_rate():
    update = first_update(optimizers.adamw(weight_decay=0.1))
    expected = [-0.01 - 0.01 * 0.1 * 3, 0.01 - 0.01 * 0.1 * 4]
    np.testing.assert_allclose(update["kernel"], expected, rtol=1e-4)


# With eps 1 the first step is lr * g / (|g| + 1), so the size of the gradient shows.
@pytest.mark.parametrize(("clip", "seen"), [(1.0, (0.6, 0.8)), (None, (3.0, 4.0))])
def test_adamw_clips_the_global_norm(clip, seen):
    optimizer = optimizers.adamw(eps=1.0, clip_global_norm=clip)
    grads = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}  # norm 5
    update = first_update(optimizer, {"a": jnp.zeros(1), "b": jnp.zeros(1)}, grads)
    expected = [-0.01 * g / (g + 1) for g in seen]
    np.testing.assert_allclose([update["a"][0], update["b"][0]], expected, rtol=1e-5)


@pytest.mark.parametrize("optimizer", [optimizers.adafactor, optimizers.adamw])
def test_zero_gradient_moves_nothing(optimizer):
    grads = {name: jnp.zeros(2) for name in PARAMS}
    assert not np.any(first_update(optimizer(), PARAMS, grads)["kernel"])


DEFINITIONS = {
    "adafactor": optimizers.adafactor(),
    "adamw": optimizers.adamw(),
    "lion": optimizers.OptimizerDef(optax.lion),
    "sgd": optimizers.OptimizerDef(optax.sgd),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_an_optimizer_comes_back_from_its_state_dict(name):
    fresh = DEFINITIONS[name].create(PARAMS)
    trained = fresh.apply_gradient(GRADS, learning_rate=0.1)
    tree = trained.state_dict()
    assert tree.keys() == {"target", "state"}
    # T5X cannot hold empty states, which optax has many of.
    leaves = flax.traverse_util.flatten_dict(tree, keep_empty_nodes=True).values()
    assert not any(leaf is flax.traverse_util.empty_node for leaf in leaves)
    again = fresh.restore_state(tree)
    assert jax.tree.structure(again) == jax.tree.structure(trained)
    jax.tree.map(np.testing.assert_array_equal, again, trained)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_learning_rate_is_that_of_each_step(name):
    fast = first_update(DEFINITIONS[name], learning_rate=0.02)
    slow = first_update(DEFINITIONS[name], learning_rate=0.01)
    jax.tree.map(lambda f, s: np.testing.assert_allclose(f, 2 * s, rtol=1e-3), fast, slow)


def test_a_first_state_that_needs_the_learning_rate_is_refused():
    with pytest.raises(ValueError, match=r"first state that depends on the learning rate"):
        jax.eval_shape(optimizers.OptimizerDef(optax.rprop).create, PARAMS)


def test_moments_have_the_axes_of_their_parameter():
    axes = {"kernel": PartitionSpec("embed"), "scale": PartitionSpec("mlp")}
    optimizer_def = optimizers.adamw()
    found = optimizer_def.derive_logical_axes(optimizer_def.create(PARAMS), axes)
    (adam,) = [
        s
        for s in jax.tree.leaves(
            found.state.param_states, is_leaf=lambda x: isinstance(x, optax.ScaleByAdamState)
        )
        if isinstance(s, optax.ScaleByAdamState)
    ]
    assert (adam.mu, adam.nu, adam.count) == (axes, axes, None)
    assert (found.target, found.state.step) == (axes, None)


def test_rounding_to_bfloat16_is_right_on_average():
    """0.3 between its neighbours 0.298828125 and 0.30078125, at the right odds."""
    rounded = optimizers._to_bfloat16(jnp.full(20_000, 0.3, jnp.float32), jax.random.key(0))
    assert set(np.asarray(rounded, np.float32).tolist()) == {0.298828125, 0.30078125}
    assert float(rounded.astype(jnp.float32).mean()) == pytest.approx(0.3, abs=5e-5)


def test_a_moment_in_bfloat16_follows_small_changes():
    """Adam's second moment of constant gradients 1 after n steps: 1 - 0.999^n."""
    params = {"w": jnp.zeros(4096)}
    definition = optimizers.adamw(moment_dtype="bfloat16", clip_global_norm=None)
    optimizer, gradient = definition.create(params), {"w": jnp.ones(4096)}
    step = jax.jit(lambda optimizer: optimizer.apply_gradient(gradient, 1e-3))
    for _ in range(300):
        optimizer = step(optimizer)
    moments = [s for s in jax.tree.leaves(optimizer.state.param_states) if s.shape == (4096,)]
    assert {s.dtype for s in moments} == {jnp.dtype(jnp.bfloat16)}
    means = sorted(float(s.astype(jnp.float32).mean()) for s in moments)
    assert means == pytest.approx([1 - 0.999**300, 1 - 0.9**300], rel=5e-3)


def test_bfloat16_moments_take_the_steps_of_float32():
    params = {"w": jnp.zeros(4096)}
    gradient = {"w": jax.random.normal(jax.random.key(0), (4096,))}
    results = []
    for dtype in ("float32", "bfloat16"):
        optimizer = optimizers.adamw(moment_dtype=dtype).create(params)
        step = jax.jit(lambda optimizer: optimizer.apply_gradient(gradient, 1e-3))
        for _ in range(50):
            optimizer = step(optimizer)
        results.append(np.asarray(optimizer.target["w"]))
    np.testing.assert_allclose(results[1], results[0], rtol=0.02, atol=2e-4)


def test_an_unknown_type_of_moments_is_an_error():
    with pytest.raises(ValueError, match="'moment_dtype' has 'float16'; expected one of 'float32'"):
        optimizers.adamw(moment_dtype="float16")
