import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import ops

SCORES, LABELS = jnp.array([[3.0, 1.0, 2.0]]), jnp.array([[0.0, 1.0, 0.0]])
WHERE = jnp.array([[True, True, False]])


def test_masked_entries_are_zero():
    scores, labels, weights, lists = ops.as_lists(SCORES, LABELS, WHERE, weights=jnp.full(3, 2.0))
    assert scores.tolist() == [[3.0, 1.0, 0.0]]
    assert labels.tolist() == [[0.0, 1.0, 0.0]]
    assert lists.where.tolist() == WHERE.tolist()
    assert weights.tolist() == [[2.0, 2.0, 0.0]]


def test_everything_is_real_and_weighs_one_by_default():
    _, _, weights, lists = ops.as_lists(SCORES, LABELS)
    assert lists.where.tolist() == [[True] * 3]
    assert weights.tolist() == [[1.0] * 3]


@pytest.mark.parametrize("shape", [(3,), (1, 2), (1, 1), (2, 3), (1, 3, 1)])
@pytest.mark.parametrize("name", ["labels", "where"])
def test_other_shape_is_an_error_that_names_the_argument(name, shape):
    arguments = {"labels": LABELS, "where": WHERE} | {name: jnp.ones(shape)}
    with pytest.raises(ValueError, match=rf"'{name}' has shape .*; expected the scores' \(1, 3\)"):
        ops.as_lists(SCORES, **arguments)


def test_scores_without_a_list_axis_are_an_error():
    with pytest.raises(ValueError, match="'scores' has rank 0"):
        ops.as_lists(jnp.array(1.0), jnp.array(1.0))


def test_weights_that_do_not_broadcast_are_an_error():
    with pytest.raises(ValueError):
        ops.as_lists(SCORES, LABELS, weights=jnp.ones(2))


def test_segments_that_are_no_integers_are_an_error():
    with pytest.raises(TypeError, match="'segments' has dtype float32; expected integers"):
        ops.as_lists(SCORES, LABELS, segments=jnp.zeros((1, 3)))


def test_segments_of_another_shape_are_an_error():
    with pytest.raises(ValueError, match=r"'segments' has shape \(3,\)"):
        ops.as_lists(SCORES, LABELS, segments=jnp.zeros(3, int))


VALUES = jnp.array([1.0, 10.0, 4.0])
VALID = jnp.array([True, False, True])


@pytest.mark.parametrize(
    ("reduce_fn", "expected"),
    [
        (None, [1.0, 0.0, 4.0]),
        (jnp.sum, 1.0 + 4.0),
        (jnp.mean, (1.0 + 4.0) / 2),
        (jnp.max, 4.0),
        (ops.sum_and_count, [1.0 + 4.0, 2.0]),
    ],
)
def test_reduce_leaves_out_invalid_places(reduce_fn, expected):
    if reduce_fn is jnp.max:
        reduce_fn = lambda values, where: jnp.max(values, where=where, initial=-jnp.inf)  # noqa: E731
    assert ops.reduce(VALUES, VALID, reduce_fn).tolist() == expected


@pytest.mark.parametrize("reduce_fn", [jnp.sum, jnp.mean, ops.sum_and_count])
def test_reduction_of_nothing_is_zero(reduce_fn):
    assert not jnp.any(ops.reduce(VALUES, jnp.zeros(3, bool), reduce_fn))


@pytest.mark.parametrize("reduce_fn", [jnp.sum, jnp.mean])
def test_gradient_of_a_reduction_of_nothing_is_zero(reduce_fn):
    gradient = jax.grad(lambda x: ops.reduce(x, jnp.zeros(3, bool), reduce_fn))(VALUES)
    assert gradient.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("reduce_fn", [jnp.sum, jnp.mean])
def test_nan_among_valid_values_is_not_hidden(reduce_fn):
    assert jnp.isnan(ops.reduce(VALUES.at[0].set(jnp.nan), VALID, reduce_fn))


def test_sum_and_count_of_everything():
    assert ops.sum_and_count(VALUES).tolist() == [1.0 + 10.0 + 4.0, 3.0]


def test_list_means_is_for_our_losses_only():
    with pytest.raises(TypeError, match="'reduce_fn' has list_means"):
        ops.reduce(VALUES, VALID, ops.list_means)


# Two lists, 3 and 7, mixed in one row; the last document of list 7 is masked.
FLAT = ops.as_lists(
    jnp.zeros(6), jnp.zeros(6), jnp.array([1, 1, 1, 1, 0, 1]), jnp.array([7, 3, 7, 3, 7, 3])
)[3]
PADDED = ops.as_lists(jnp.zeros((2, 3)), jnp.zeros((2, 3)), jnp.array([[1, 1, 1], [1, 1, 0]]))[3]
X, Y = jnp.array([3.0, 1.0, 2.0, 5.0, 9.0, 0.0]), jnp.array([[1.0, 5.0, 0.0], [3.0, 2.0, 9.0]])


@pytest.mark.parametrize(
    ("operation", "of_3", "of_7"),
    [
        ("sum", 1 + 5 + 0, 3 + 2),
        ("max", 5, 3),
        ("min", 0, 2),
        ("mean", 2, 2.5),
        ("logsumexp", np.log(np.exp([1, 5, 0]).sum()), np.log(np.exp([3, 2]).sum())),
    ],
)
def test_operation_per_list(operation, of_3, of_7):
    flat = jnp.broadcast_to(getattr(FLAT, operation)(X), (6,))
    np.testing.assert_allclose(flat, [of_7, of_3] * 3, rtol=1e-6)
    padded = getattr(PADDED, operation)(Y)
    np.testing.assert_allclose(padded[:, 0], [of_3, of_7], rtol=1e-6)


def test_sorted_lists_are_laid_side_by_side():
    order, (x,) = FLAT.sort([X], [X])
    assert x.tolist() == [0.0, 1.0, 5.0, 2.0, 3.0, 0.0]  # list 3, list 7, and the masked one
    assert order.where.tolist() == [True] * 5 + [False]
    assert order.position.tolist() == [0, 1, 2, 0, 1, 2]
    assert order.cumsum(x).tolist() == [0.0, 1.0, 6.0, 2.0, 5.0, 5.0]
    assert order.cumsum(x, reverse=True).tolist()[:5] == [6.0, 6.0, 5.0, 5.0, 3.0]
    assert FLAT.from_sorted(order.sum(x)).tolist() == [5.0, 6.0] * 3
    padded, (y,) = PADDED.sort([Y], [Y])
    assert y.tolist() == [[0.0, 1.0, 5.0], [2.0, 3.0, 0.0]]
    assert padded.cumsum(y, reverse=True).tolist() == [[6.0, 6.0, 5.0], [5.0, 3.0, 0.0]]


@pytest.mark.parametrize(("equal", "expected"), [(False, [1, 0, 2]), (True, [2, 0, 3])])
def test_search_counts_what_is_below(equal, expected):
    lists, ordered = ops.Padded(jnp.ones(4, bool)), jnp.array([1.0, 2.0, 4.0, 8.0])
    found = lists.search(ordered, jnp.array([2.0, 0.0, 4.0, 9.0]), equal=equal)
    assert found.tolist() == [*expected, 4]


def test_ties_share_a_start_and_a_mean():
    lists, keys = ops.Padded(jnp.ones(4, bool)), jnp.array([1.0, 1.0, 3.0, 3.0])
    assert lists.tie_start(keys).tolist() == [0, 0, 2, 2]
    assert lists.tie_mean(jnp.array([1.0, 2.0, 5.0, 7.0]), keys).tolist() == [1.5, 1.5, 6.0, 6.0]


def ranked(scores, where=None, key=None):
    """The documents of one list, best first."""
    scores = jnp.asarray(scores)
    lists = ops.Padded(jnp.ones(scores.shape, bool) if where is None else where)
    return jnp.argsort(lists.ranks(scores, key), axis=-1)


def test_best_score_is_first():
    assert ranked([1.0, 3.0, 2.0]).tolist() == [1, 2, 0]


def test_masked_slots_are_last_whatever_their_score():
    where = jnp.array([False, True, True])
    assert ranked([9.0, -jnp.inf, 2.0], where).tolist() == [2, 1, 0]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("scores", [[5.0, 5.0, 5.0], [0.0, -0.0, 0.0], [-0.0, 0.0, -0.0]])
def test_ties_keep_their_order_and_both_zeros_tie(scores, compiled):
    order = jax.jit(ranked) if compiled else ranked
    assert order(jnp.array(scores)).tolist() == [0, 1, 2]


def test_key_puts_ties_in_random_order():
    scores = jnp.zeros((3000, 3))
    first = np.asarray(ranked(scores, key=jax.random.key(0))[:, 0])
    counts = np.bincount(first, minlength=3)
    # 1000 expected each; 5 standard deviations of a binomial(3000, 1/3) are 129.
    assert np.abs(counts - 1000).max() < 129


def test_key_does_not_change_the_order_of_different_scores():
    assert ranked([1.0, 3.0, 2.0], key=jax.random.key(0)).tolist() == [1, 2, 0]


def test_order_with_one_key_is_repeatable():
    scores = jnp.zeros(100)
    orders = [ranked(scores, key=jax.random.key(seed)).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
