import jax
import jax.numpy as jnp
import pytest

from t5rank.train import schedules


@pytest.mark.parametrize(("step", "expected"), [(0, 1 / 4), (1, 2 / 4), (3, 1.0), (1000, 1.0)])
def test_constant_after_a_linear_warmup(step, expected):
    assert schedules.constant(0.1, warmup_steps=4)(step) == pytest.approx(0.1 * expected)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 1 / 2), (1, 1.0), (2, 1.0), (4, 6 / 8), (9, 1 / 8), (10, 0), (99, 0)]
)
def test_linear_decay_after_a_linear_warmup(step, expected):
    schedule = schedules.linear(0.1, total_steps=10, warmup_steps=2)
    assert schedule(step) == pytest.approx(0.1 * expected, abs=1e-9)


@pytest.mark.parametrize(("step", "expected"), [(0, 1.0), (100, 1.0), (400, 1 / 2), (900, 1 / 3)])
def test_inverse_square_root_after_a_constant(step, expected):
    assert schedules.inverse_square_root(0.1, 100)(step) == pytest.approx(0.1 * expected)


@pytest.mark.parametrize(
    "schedule", [schedules.constant(0.1), schedules.linear(0.1, total_steps=10)]
)
def test_without_warmup_the_first_step_has_the_full_rate(schedule):
    assert schedule(0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.constant(0.1, 4),
        schedules.linear(0.1, 10, 4),
        schedules.linear(0.1, total_steps=3, warmup_steps=5),
        schedules.inverse_square_root(0.1, 4),
    ],
)
def test_steps_of_a_compiled_program_give_the_same(schedule):
    steps = range(12)
    compiled = jax.jit(jax.vmap(schedule))(jnp.arange(12))
    assert compiled.tolist() == pytest.approx([float(schedule(step)) for step in steps])
    assert compiled.dtype == jnp.float32
