"""Losses that equal others, and values computed by hand."""

import itertools
from math import exp, log

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import losses, ops

TWO = jnp.array([0.7, -0.4]), jnp.array([1.0, 0.0])


@pytest.mark.parametrize(
    "loss_fn",
    [
        losses.listmle_loss,
        losses.pairwise_logistic_loss,
        losses.unique_softmax_loss,
        losses.lce_loss,
        losses.xendcg_loss,
    ],
)
def test_of_two_documents_one_relevant_it_is_softmax(loss_fn):
    assert loss_fn(*TWO) == pytest.approx(float(losses.softmax_loss(*TWO)), rel=1e-6)


def test_poly1_without_epsilon_is_softmax():
    ours = losses.poly1_softmax_loss(*TWO, epsilon=0.0)
    assert ours == pytest.approx(float(losses.softmax_loss(*TWO)))


def test_poly1_of_a_list_without_a_relevant_document_is_zero():
    assert losses.poly1_softmax_loss(jnp.array([1.0, 2.0]), jnp.zeros(2)) == 0.0


def test_listmle_is_a_distribution_over_permutations():
    scores = jnp.array([0.3, -1.0, 0.8, 0.1])
    labels = jnp.array([p for p in itertools.permutations(range(4))])
    values = losses.listmle_loss(jnp.broadcast_to(scores, (24, 4)), labels, reduce_fn=None)
    assert jnp.sum(jnp.exp(-values)) == pytest.approx(1.0, rel=1e-5)


def test_listmle_with_a_key_puts_ties_in_random_order():
    scores, labels = jnp.array([2.0, 0.0]), jnp.array([1.0, 1.0])
    values = {
        round(float(losses.listmle_loss(scores, labels, key=jax.random.key(seed))), 4)
        for seed in range(20)
    }
    first, second = (-log(exp(s) / (exp(2) + exp(0))) for s in (2, 0))
    assert values == {round(first, 4), round(second, 4)}


def test_p_listmle_shares_the_discount_among_ties():
    scores, labels = jnp.array([2.0, 0.0, 1.0]), jnp.array([1.0, 1.0, 0.0])
    total = log(exp(2) + exp(0) + exp(1))
    shared = (1 + 1 / np.log2(3)) / 2
    expected = shared * (total - 2) + shared * (total - 0)  # the last one has no competitor
    assert losses.p_listmle_loss(scores, labels) == pytest.approx(expected, rel=1e-5)


def test_arp2_is_logistic_with_label_differences():
    scores, labels = jnp.array([0.3, -1.0, 0.8]), jnp.array([2.0, 0.0, 1.0])
    weight = losses.labeldiff_lambdaweight()
    logistic = losses.pairwise_logistic_loss(
        scores, labels, lambdaweight_fn=weight, reduce_fn=jnp.sum
    )
    assert losses.arp2_loss(scores, labels) == pytest.approx(float(logistic) / log(2), rel=1e-5)


def test_arp1_bounds_the_relevance_position():
    scores, labels = jnp.array([0.3, -1.0, 0.8]), jnp.array([2.0, 0.0, 1.0])
    positions = 2 * 2 + 1 * 1  # ranks 2, 3, 1
    assert losses.arp1_loss(scores, labels) > positions


def test_rank_distil_without_a_key_is_listmle():
    scores, labels = jnp.array([0.3, -1.0, 0.8]), jnp.array([2.0, 0.0, 1.0])
    assert losses.rank_distil_loss(scores, labels) == losses.listmle_loss(scores, labels)


def test_rank_distil_draws_rankings_from_the_teacher():
    """The teacher ranks the first of two documents first with the softmax of its score."""
    scores, labels = jnp.array([1.0, 0.0]), jnp.array([0.5, 0.0])
    teacher, student = exp(0.5) / (exp(0.5) + 1), exp(1) / (exp(1) + 1)
    expected = -teacher * log(student) - (1 - teacher) * log(1 - student)
    ours = losses.rank_distil_loss(scores, labels, key=jax.random.key(0), samples=4000)
    # A sample's loss has standard deviation .48: 5 standard errors are .04.
    assert ours == pytest.approx(expected, abs=0.04)


def test_kl_is_that_of_the_distributions():
    scores, labels = jnp.array([0.3, -1.0, 0.8]), jnp.array([2.0, 0.0, 1.0])
    teacher, student = (jax.nn.softmax(x / 2.0) for x in (labels, scores))
    expected = 4.0 * jnp.sum(teacher * jnp.log(teacher / student))
    assert losses.kl_loss(scores, labels, temperature=2.0) == pytest.approx(
        float(expected), rel=1e-5
    )


@pytest.mark.parametrize("labels", [[0.0, 1e38, 3e38], [-3e38, 3e38, 1.0]])
@pytest.mark.parametrize(
    "loss_fn",
    [losses.pairwise_mse_loss, losses.margin_mse_loss, losses.arp1_loss, losses.arp2_loss],
)
def test_sums_of_large_labels_overflow_to_infinity_and_have_a_gradient(loss_fn, labels):
    loss, gradient = jax.value_and_grad(loss_fn)(jnp.array([0.5, -jnp.inf, 1.0]), jnp.array(labels))
    assert loss == jnp.inf
    assert not np.isnan(gradient).any()


def test_margin_mse_has_the_gradient_of_a_square_that_overflows():
    scores, labels = jnp.array([0.5, 0.0, 1.0]), jnp.array([1e20, 0.0, 2e20])
    gradient = jax.grad(losses.margin_mse_loss)(scores, labels)
    np.testing.assert_allclose(gradient, [1e20, 2e20, -3e20], rtol=1e-6)  # 2 (e_i - e_j) / 2


@pytest.mark.parametrize("loss_fn", [losses.pairwise_mse_loss, losses.margin_mse_loss])
def test_equal_labels_have_no_difference(loss_fn):
    scores = jnp.array([0.5, 0.0, 1.0])
    same = loss_fn(scores, jnp.full(3, 1e38))
    assert same == pytest.approx(float(loss_fn(scores, jnp.zeros(3))))


def test_margin_mse_of_a_longer_list():
    scores, labels = jnp.array([0.5, 2.0, 0.0]), jnp.array([0.0, 3.0, 1.0])
    expected = ((1.5 - 3) ** 2 + (2.0 - 2) ** 2) / 2
    assert losses.margin_mse_loss(scores, labels) == pytest.approx(expected)


def test_normalized_labels_sum_to_one_and_stay_zero_without_relevance():
    labels = jnp.array([[2.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    where = jnp.array([[True, True, False], [True, True, True]])
    expected = [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert losses.normalize_probabilities(labels, where=where).tolist() == expected


@pytest.mark.parametrize(("score", "expected"), [(17.0, 4.1399375e-08), (10.0, 4.5398e-05)])
def test_sigmoid_keeps_what_is_left_of_a_good_score(score, expected):
    for dtype in (jnp.float32, jnp.bfloat16):
        loss = losses.sigmoid_loss(jnp.array([score], dtype), jnp.array([1.0]))
        assert loss == pytest.approx(expected, rel=1e-4)


def test_mixture_is_the_sum_of_means_per_list():
    scores, labels = (
        jnp.array([[1.0, 0.0, 2.0], [0.5, 0.2, 9.0]]),
        jnp.array([[1, 0, 0], [0, 1, 0]]),
    )
    where = jnp.array([[True, True, True], [True, True, False]])
    mixed = losses.mixture([losses.pairwise_logistic_loss, losses.mse_loss], [2.0, 0.5])
    each = [
        2.0 * losses.pairwise_logistic_loss(s, y, where=w) + 0.5 * losses.mse_loss(s, y, where=w)
        for s, y, w in zip(scores, labels, where, strict=True)
    ]
    assert mixed(scores, labels, where=where) == pytest.approx(sum(map(float, each)) / 2, rel=1e-5)


def test_mixture_gives_each_loss_a_key_of_its_own():
    scores, labels, key = jnp.array([2.0, 0.0]), jnp.array([1.0, 1.0]), jax.random.key(0)
    alone = losses.mixture([losses.listmle_loss], [1.0])
    both = losses.mixture([losses.listmle_loss] * 8, [1 / 8] * 8)
    assert both(scores, labels, key=key) != alone(scores, labels, key=key)


def test_mixture_of_a_foreign_loss_is_an_error():
    import rax

    mixed = losses.mixture([rax.softmax_loss], [1.0])
    with pytest.raises(TypeError, match="'reduce_fn' has list_means"):
        mixed(*TWO)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.mixture([losses.mse_loss], [1.0, 2.0]), "'weights' has 2 numbers for 1"),
        (lambda: losses.with_temperature(losses.mse_loss, 0.0), "'temperature' has 0.0"),
        (lambda: losses.kl_loss(*TWO, temperature=-1.0), "'temperature' has -1.0"),
        (lambda: losses.neural_sort_loss(*TWO, temperature=0), "'temperature' has 0"),
        (lambda: losses.rank_distil_loss(*TWO, samples=0), "'samples' has 0"),
        (lambda: losses.pairwise_quantile_loss(*TWO, tau=0.0), "'tau' has 0.0"),
        (
            lambda: losses.metric_lambdaweight(losses.mse_loss)(*TWO, segments=jnp.zeros(2, int)),
            "'segments' has an array",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_function_of_ones_own_reduces_pairs():
    scores, labels = jnp.array([0.3, -1.0, 0.8]), jnp.array([2.0, 0.0, 1.0])
    largest = lambda values, where: jnp.max(values, where=where, initial=0.0)  # noqa: E731
    pairs = losses.pairwise_hinge_loss(scores, labels, reduce_fn=None)
    assert losses.pairwise_hinge_loss(scores, labels, reduce_fn=largest) == jnp.max(pairs)


@pytest.mark.parametrize("name", ["hinge", "logistic", "soft_zero_one", "quantile"])
def test_many_blocks_of_rows_give_the_same(name, monkeypatch):
    """Lists of 100 in blocks of 8 rows. The last block is not full."""
    from t5rank.ops import pairs

    rng = np.random.default_rng(0)
    scores = jnp.asarray(rng.normal(size=(2, 100)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 3, (2, 100)))
    loss_fn = getattr(losses, f"pairwise_{name}_loss")
    of_pairs = lambda s: jnp.sum(loss_fn(s, labels, reduce_fn=None))  # noqa: E731
    expected, whole = jax.jit(jax.value_and_grad(of_pairs))(scores)
    monkeypatch.setattr(pairs, "BLOCK_PAIRS", 1)
    streamed = lambda s: loss_fn(s, labels, reduce_fn=jnp.sum)  # noqa: E731
    value, gradient = jax.jit(jax.value_and_grad(streamed))(scores)
    assert value == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(gradient, whole, rtol=1e-4, atol=1e-4)


def test_memory_of_a_pairwise_loss_does_not_grow_with_the_square():
    scores, labels = jnp.zeros((8, 4096)), jnp.zeros((8, 4096))
    program = jax.jit(jax.value_and_grad(losses.pairwise_logistic_loss)).lower(scores, labels)
    assert program.compile().memory_analysis().temp_size_in_bytes < 64 * 2**20


def test_sum_and_count_of_pairs():
    scores, labels = jnp.array([[1.0, 0.0, 2.0]]), jnp.array([[1, 0, 0]])
    total, count = losses.pairwise_hinge_loss(scores, labels, reduce_fn=ops.sum_and_count)
    assert (float(total), float(count)) == (0.0 + 2.0, 2.0)
