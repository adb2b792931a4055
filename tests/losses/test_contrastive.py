"""In-batch losses against sentence-transformers' MultipleNegativesRankingLoss, and by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import losses, ops
from t5rank.losses.combinations import takes

QUERIES, DIM = 5, 7


def vectors(columns):
    """Of queries, and of each column of documents: the positives, then hard negatives."""
    return np.random.default_rng(0).normal(size=(1 + columns, QUERIES, DIM)).astype(np.float32)


def in_batch(loss, embeddings, scale, cosine):
    """The loss of `[columns, queries, dim]`, the documents column by column."""
    if cosine:
        embeddings /= jnp.linalg.norm(embeddings, axis=-1, keepdims=True)
    documents = embeddings[1:].reshape(-1, DIM)
    scores = scale * embeddings[0] @ documents.T
    own = {"scale": scale} if takes(loss, "scale") else {}
    return loss(scores, jnp.eye(*scores.shape), **own)


SYMMETRIC_MEAN = losses.mixture([losses.symmetric(losses.softmax_loss)], [0.5])
BOTH = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
HARDNESS = losses.hardness_weighted(losses.softmax_loss, 9.0)
ALL = {"hardness_mode": "all_negatives", "hardness_strength": 9.0}
IN_BATCH = ALL | {"hardness_mode": "in_batch_negatives"}
CASES = {
    "pairs": (losses.softmax_loss, 1, 20.0, True, {}),
    "one hard negative": (losses.softmax_loss, 2, 20.0, True, {}),
    "two hard negatives": (losses.softmax_loss, 3, 20.0, True, {}),
    "three hard negatives, dot": (losses.softmax_loss, 4, 1.0, False, {}),
    "symmetric": (SYMMETRIC_MEAN, 1, 20.0, True, BOTH),
    "symmetric, hard negatives, dot": (SYMMETRIC_MEAN, 3, 1.0, False, BOTH),
    "hardness, pairs": (HARDNESS, 1, 20.0, True, IN_BATCH),
    "hardness, hard negatives": (HARDNESS, 3, 20.0, True, ALL),
}


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_are_those_of_sentence_transformers(name):
    torch = pytest.importorskip("torch")
    util = pytest.importorskip("sentence_transformers.util")
    module = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    loss, columns, scale, cosine, options = CASES[name]
    embeddings = vectors(columns)
    ours = functools.partial(in_batch, loss, scale=scale, cosine=cosine)
    value, gradient = jax.jit(jax.value_and_grad(ours))(embeddings)
    theirs = torch.tensor(embeddings, requires_grad=True)
    similarity = util.cos_sim if cosine else util.dot_score
    peer = module.MultipleNegativesRankingLoss(None, scale, similarity, **options)
    expected = peer.compute_loss_from_embeddings(list(theirs), None)
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(gradient, theirs.grad, rtol=1e-4, atol=1e-5)


def logsumexp(*values):
    return np.log(np.sum(np.exp(values)))


def test_symmetric_loss_has_the_columns_of_the_positives():
    """Query 1 has no relevant document; query 2 must not count against document 3, query 0's."""
    scores = np.array([[1.0, 2.0, 3.0, 4.0], [0.5, 1.5, 2.5, 3.5], [2.0, 0.0, 1.0, 5.0]])
    labels = np.array([[0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]])
    where = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]])
    loss = losses.symmetric(losses.softmax_loss, weight=0.5)
    found = loss(jnp.asarray(scores), labels, where=where, reduce_fn=None)
    rows = [logsumexp(1, 2, 3, 4) - 4, 0, logsumexp(2, 0, 1) - 2]
    columns = [logsumexp(4, 3.5) - 4, 0, logsumexp(1, 0.5, 2) - 2]
    np.testing.assert_allclose(found, np.add(rows, np.multiply(0.5, columns)), rtol=1e-5)


def test_a_row_that_is_no_query_is_no_candidate_and_does_not_count():
    scores = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    labels, where = np.eye(4, 6), np.ones((4, 6), bool)
    scores[3], labels[3], where[3], where[:, 3] = np.nan, 0, False, False
    call = jax.jit(
        jax.value_and_grad(lambda s, y, w: losses.symmetric(losses.softmax_loss)(s, y, where=w))
    )
    value, gradient = call(scores, labels, where)
    rest = np.array([0, 1, 2, 4, 5])
    expected = losses.symmetric(losses.softmax_loss)(jnp.asarray(scores[:3, rest]), np.eye(3, 5))
    assert value == pytest.approx(float(expected), rel=1e-5)
    assert np.all(np.isfinite(gradient)) and not np.any(gradient[3])


@pytest.mark.parametrize(
    ("scores", "options"),
    [(np.ones(3), {}), (np.ones((2, 3)), {"segments": np.zeros((2, 3), int)})],
)
def test_symmetric_loss_needs_a_whole_batch(scores, options):
    with pytest.raises(ValueError, match=r"expected \[queries, documents\] of a whole batch"):
        losses.symmetric(losses.softmax_loss)(jnp.asarray(scores), scores, **options)


def test_combinations_refuse_losses_with_a_use_of_their_own_for_what_they_add():
    with pytest.raises(ValueError, match="takes 'positive_scores'"):
        losses.symmetric(losses.adaptive_margin_loss)
    with pytest.raises(ValueError, match="takes 'scale'"):
        losses.hardness_weighted(losses.adaptive_softmax_loss, 1.0)
    with pytest.raises(ValueError, match=r"'epsilon' has 1\.0"):
        losses.label_smoothed(losses.softmax_loss, 1.0)


def test_losses_made_of_losses_say_what_they_ask_for():
    hardness = losses.hardness_weighted(losses.listmle_loss, 1.0)
    asked = {
        losses.mixture([losses.softmax_loss], [1.0]): set(),
        losses.mixture([losses.softmax_loss, losses.adaptive_margin_loss], [1, 1]): {
            "positive_scores",
            "scale",
        },
        losses.with_temperature(hardness, 2.0): {"key", "scale"},
        losses.symmetric(losses.softmax_loss): {"scale"},
        losses.additive_margin(hardness, 0.1): {"key", "scale"},
        losses.per_list(losses.pairwise_logistic_loss): set(),
    }
    for loss, names in asked.items():
        assert {n for n in ("key", "positive_scores", "scale") if takes(loss, n)} == names


def test_temperature_divides_the_scale_too():
    """The hardness of a cosine of .5 is that of .5."""
    scores, labels = jnp.array([1.0, 0.5]), jnp.array([1, 0])
    loss = losses.with_temperature(losses.hardness_weighted(losses.softmax_loss, 4.0), 0.5)
    assert loss(scores, labels, scale=1.0) == pytest.approx(logsumexp(2, 1 + 4 * 0.5) - 2)


def test_a_mixture_passes_on_what_losses_ask_for():
    scores, labels = jnp.array([[1.0, 0.5]]), jnp.array([[1, 0]])
    asked = {"positive_scores": jnp.array([[1.0, 0.2]]), "scale": 1.0}
    loss = losses.mixture([losses.softmax_loss, losses.adaptive_margin_loss], [1.0, 2.0])
    expected = losses.softmax_loss(scores, labels)
    expected += 2 * losses.adaptive_margin_loss(scores, labels, **asked)
    assert loss(scores, labels, **asked) == pytest.approx(float(expected))


def test_margin_and_smoothing_are_their_formulas():
    scores, labels = np.array([3.0, 1.0, 2.0, 9.0]), np.array([1, 0, 0, 0])
    where = np.array([1, 1, 1, 0])
    margin = losses.additive_margin(losses.softmax_loss, 0.5)(
        jnp.asarray(scores), labels, where=where
    )
    assert margin == pytest.approx(logsumexp(2.5, 1, 2) - 2.5, rel=1e-5)
    smooth = losses.label_smoothed(losses.softmax_loss, 0.1)(
        jnp.asarray(scores), labels, where=where
    )
    expected = logsumexp(3, 1, 2) - (0.9 * 3 + 0.05 * 1 + 0.05 * 2)
    assert smooth == pytest.approx(expected, rel=1e-5)


def test_symmetric_sums_and_counts_are_over_queries():
    scores, labels = jnp.zeros((2, 4)), jnp.eye(2, 4)
    loss = losses.symmetric(losses.softmax_loss)
    found = loss(scores, labels, reduce_fn=ops.sum_and_count)
    np.testing.assert_allclose(found, [2 * np.log(8), 2], rtol=1e-6)
