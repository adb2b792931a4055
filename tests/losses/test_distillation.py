"""Distillation against torch's KL divergence, and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import losses

RNG = np.random.default_rng(0)
ONE, OTHER = RNG.normal(size=(2, 3, 5)).astype(np.float32)


def torch_kl(student, teacher):
    """torch's: KL of the teacher's distribution from the student's, a mean over lists."""
    functional = pytest.importorskip("torch.nn.functional")
    student, teacher = (functional.log_softmax(x, dim=-1) for x in (student, teacher))
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("name", ["forward", "reverse", "symmetric"])
def test_divergence_and_both_gradients_are_torchs(name, temperature):
    torch = pytest.importorskip("torch")
    if name == "symmetric":
        ours = lambda s, y: losses.symmetric_kl_loss(s / temperature, y / temperature)  # noqa: E731
        factor = 1.0
    else:
        ours = lambda s, y: losses.kl_loss(  # noqa: E731
            s, y, temperature=temperature, reverse=name == "reverse"
        )
        factor = temperature**2
    value, gradients = jax.jit(jax.value_and_grad(ours, argnums=(0, 1)))(ONE, OTHER)
    student, teacher = (torch.tensor(x, requires_grad=True) for x in (ONE, OTHER))
    forward = torch_kl(student / temperature, teacher / temperature)
    reverse = torch_kl(teacher / temperature, student / temperature)
    parts = {"forward": forward, "reverse": reverse, "symmetric": forward + reverse}
    expected = factor * parts[name]
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-5)
    for found, array in zip(gradients, (student, teacher), strict=True):
        np.testing.assert_allclose(found, array.grad, rtol=1e-4, atol=1e-6)


def test_a_document_that_neither_distribution_has_costs_nothing():
    scores = jnp.array([1.0, 2.0, -jnp.inf])
    for loss in (losses.kl_loss, losses.symmetric_kl_loss):
        value, gradient = jax.value_and_grad(lambda s, loss=loss: loss(s, scores))(scores)
        assert value == 0.0 and np.all(np.isfinite(gradient))


def attention_inputs():
    attention = RNG.uniform(0.1, 1, (2, 3, 4)).astype(np.float32)
    similarities = RNG.normal(size=(2, 3, 4)).astype(np.float32)
    masks = np.array([[1, 1, 0], [1, 1, 1]]), np.array([[1, 1, 1, 0], [1, 1, 0, 0]])
    return attention, similarities, *masks


def test_attention_loss_is_the_mean_of_the_tokens_divergences():
    attention, similarities, query_mask, document_mask = attention_inputs()
    expected = []
    for a, s, q, d in zip(attention, similarities, query_mask, document_mask, strict=True):
        tokens = []
        for i in np.flatnonzero(q):
            p, logits = a[i, d == 1] / a[i, d == 1].sum(), s[i, d == 1] / 0.5
            tokens.append(np.sum(p * (np.log(p) - (logits - np.log(np.sum(np.exp(logits)))))))
        expected.append(np.mean(tokens))
    found = losses.attention_loss(
        jnp.asarray(attention),
        jnp.asarray(similarities),
        query_mask=query_mask,
        document_mask=document_mask,
        temperature=0.5,
        reduce_fn=None,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_attention_of_masked_tokens_changes_nothing_and_empty_pairs_do_not_count():
    attention, similarities, query_mask, document_mask = attention_inputs()

    @jax.jit
    @jax.value_and_grad
    def value(similarities, attention, query_mask, document_mask):
        return losses.attention_loss(
            attention, similarities, query_mask=query_mask, document_mask=document_mask
        )

    expected = value(similarities, attention, query_mask, document_mask)
    where = (query_mask[:, :, None] * document_mask[:, None]) != 0
    spoiled = [np.where(where, x, np.nan) for x in (similarities, attention)]
    found = value(*spoiled, query_mask, document_mask)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    one_only = value(similarities, attention, query_mask, document_mask * [[1], [0]])[0]
    first = (x[:1] for x in (similarities, attention, query_mask, document_mask))
    assert one_only == pytest.approx(float(value(*first)[0]), rel=1e-6)
    attention[:] = 0.0
    found = value(similarities, attention, query_mask, document_mask)
    assert found[0] == 0.0 and not np.any(found[1])


def test_ranknet_on_ranks_is_the_logistic_loss_of_their_negatives():
    """Rank-DistiLLM's: over pairs of which the teacher ranks i before j."""
    scores, ranks = np.array([0.3, 2.0, -1.0]), np.array([2, 3, 1])
    pairs = [np.log1p(np.exp(scores[j] - scores[i])) for i, j in ((2, 0), (2, 1), (0, 1))]
    found = losses.pairwise_logistic_loss(jnp.asarray(scores), -ranks)
    assert found == pytest.approx(np.mean(pairs), rel=1e-5)
