from math import sqrt

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from t5rank import optimizers

PARAMS = {"kernel": jnp.array([3.0, 4.0]), "scale": jnp.array([1.0, 1.0])}
GRADS = {"kernel": jnp.array([0.5, -2.0]), "scale": jnp.array([1e-3, 7.0])}


def first_update(optimizer, params=PARAMS, grads=GRADS):
    return optimizer.update(grads, optimizer.init(params), params)[0]


def test_adafactor_step_is_relative_to_the_size_of_the_parameter():
    update = first_update(optimizers.adafactor(0.01))
    # At the first step a gradient divided by its root mean square is its sign.
    size = sqrt((3**2 + 4**2) / 2)
    np.testing.assert_allclose(update["kernel"], [-0.01 * size, 0.01 * size], rtol=1e-4)
    np.testing.assert_allclose(update["scale"], [-0.01, -0.01], rtol=1e-4)


def test_adafactor_step_can_be_absolute():
    update = first_update(optimizers.adafactor(0.01, multiply_by_parameter_scale=False))
    np.testing.assert_allclose(update["kernel"], [-0.01, 0.01], rtol=1e-4)


def test_adafactor_factors_large_kernels_alone():
    params = {"large": jnp.ones((256, 128)), "small": jnp.ones((256, 8))}
    state = optimizers.adafactor(0.01).init(params)
    (factored,) = [s for s in state if isinstance(s, optax.FactoredState)]
    assert factored.v_row["large"].size + factored.v_col["large"].size == 256 + 128
    assert factored.v["small"].shape == (256, 8)


def test_adamw_first_step_is_the_learning_rate():
    update = first_update(optimizers.adamw(0.01))
    np.testing.assert_allclose(update["kernel"], [-0.01, 0.01], rtol=1e-4)


def test_adamw_decays_weights_by_the_learning_rate():
    update = first_update(optimizers.adamw(0.01, weight_decay=0.1))
    expected = [-0.01 - 0.01 * 0.1 * 3, 0.01 - 0.01 * 0.1 * 4]
    np.testing.assert_allclose(update["kernel"], expected, rtol=1e-4)


# With eps 1 the first step is lr * g / (|g| + 1), so the size of the gradient shows.
@pytest.mark.parametrize(("clip", "seen"), [(1.0, (0.6, 0.8)), (None, (3.0, 4.0))])
def test_adamw_clips_the_global_norm(clip, seen):
    optimizer = optimizers.adamw(0.01, eps=1.0, clip_global_norm=clip)
    grads = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}  # norm 5
    update = first_update(optimizer, {"a": jnp.zeros(1), "b": jnp.zeros(1)}, grads)
    expected = [-0.01 * g / (g + 1) for g in seen]
    np.testing.assert_allclose([update["a"][0], update["b"][0]], expected, rtol=1e-5)


@pytest.mark.parametrize("optimizer", [optimizers.adafactor, optimizers.adamw])
def test_learning_rate_can_be_a_schedule(optimizer):
    update = first_update(optimizer(lambda step: 0.01 * (step + 1)))
    expected = first_update(optimizer(0.01))
    np.testing.assert_allclose(update["kernel"], expected["kernel"], rtol=1e-5)


@pytest.mark.parametrize("optimizer", [optimizers.adafactor, optimizers.adamw])
def test_zero_gradient_moves_nothing(optimizer):
    grads = {name: jnp.zeros(2) for name in PARAMS}
    update = first_update(optimizer(0.01), PARAMS, grads)
    assert not np.any(update["kernel"])
