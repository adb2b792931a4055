import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank.losses import neural_ndcg_loss, neural_sort_loss

RANDOM = np.random.default_rng(0)
SIZES = (9, 5)
LISTS = [
    (
        jnp.array(RANDOM.normal(0, 10, size), jnp.float32),
        jnp.array(RANDOM.integers(0, 3, size)).at[0].set(2),
    )
    for size in SIZES
]


@pytest.mark.parametrize("loss_fn", [neural_ndcg_loss, neural_sort_loss])
@pytest.mark.parametrize("scale", [10.0])
class TestSpreadScores:
    """Pairs that do not count have entries far above 1, which must not reach a gradient."""

    def alone(self, loss_fn, scale):
        compiled = jax.jit(jax.value_and_grad(loss_fn))
        values = [compiled(scale * s, y) for s, y in LISTS]
        total = sum(value for value, _ in values) / len(values)
        return total, jnp.concatenate([gradient for _, gradient in values]) / len(values)

    def test_padded(self, loss_fn, scale):
        where = np.arange(12) < np.array(SIZES)[:, None]
        scores, labels = np.zeros(where.shape, np.float32), np.zeros(where.shape)
        scores[where] = np.concatenate([scale * s for s, _ in LISTS])
        labels[where] = np.concatenate([y for _, y in LISTS])
        value, gradient = jax.jit(jax.value_and_grad(loss_fn))(scores, labels, where=where)
        expected = self.alone(loss_fn, scale)
        np.testing.assert_allclose(value, expected[0], rtol=1e-4)
        np.testing.assert_allclose(gradient[where], expected[1], rtol=1e-3, atol=1e-4)

    def test_segments(self, loss_fn, scale):
        scores = jnp.concatenate([scale * s for s, _ in LISTS])
        labels = jnp.concatenate([y for _, y in LISTS])
        segments = np.repeat(np.arange(len(SIZES)), SIZES)
        value, gradient = jax.jit(jax.value_and_grad(loss_fn))(scores, labels, segments=segments)
        expected = self.alone(loss_fn, scale)
        np.testing.assert_allclose(value, expected[0], rtol=1e-4)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-3, atol=1e-4)


def test_labels_near_the_largest_number_sort_as_hard_as_smaller_ones():
    scores = jnp.array([0.3, -0.2, 0.9])
    huge, large = (neural_sort_loss(scores, jnp.array([0.0, 1.0, 3.0]) * x) for x in (1e38, 1e9))
    assert float(huge) == pytest.approx(float(large))
