"""Properties of every metric: ties, empty lists, documents that were not retrieved, errors."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import metrics
from t5rank.metrics import (
    alpha_dcg_metric,
    ap_metric,
    arp_metric,
    bpref_metric,
    dcg_metric,
    err_metric,
    hits_metric,
    mrr_metric,
    ndcg_metric,
    opa_metric,
    precision_ia_metric,
    precision_metric,
    recall_metric,
)

INF, NAN = float("inf"), float("nan")
METRICS = [getattr(metrics, name) for name in metrics.__all__]
OF_SUBTOPICS = [alpha_dcg_metric, precision_ia_metric]
ADDITIVE = [dcg_metric, ndcg_metric, precision_metric, recall_metric, ap_metric, arp_metric]
WEIGHTED = [*ADDITIVE, mrr_metric, opa_metric]
NO_AVERAGE = [err_metric, bpref_metric, alpha_dcg_metric]


def over(functions):
    return pytest.mark.parametrize("metric", functions, ids=lambda metric: metric.__name__)


every = over(METRICS)


def shaped(metric, labels):
    """Labels as the metric takes them: subtopics are those of at least 1, and of at least 2."""
    labels = np.asarray(labels, np.float32)
    return np.stack([labels, labels - 1], axis=-1) if metric in OF_SUBTOPICS else labels


def cut(metric, topn):
    return {} if metric is arp_metric else {"topn": topn}


@functools.cache
def compiled(metric, **options):
    """Compiled once for each shape. Tests share shapes if they can."""
    return jax.jit(functools.partial(metric, **options))


TIES = ("order", "average", "optimistic", "pessimistic")


def without_formula(metric, topn=None):
    if metric is alpha_dcg_metric or (metric is opa_metric and topn):
        return ["average", "optimistic", "pessimistic"]
    return ["average"] if metric in NO_AVERAGE else []


def orders(size):
    return np.array(list(itertools.permutations(range(size))))


TIED = [
    ([1.0, 1.0, 1.0, 1.0, 1.0], [1, 0, 2, 0, 0]),
    ([2.0, 1.0, 1.0, 1.0, 0.0], [0, 1, 0, 3, 1]),
    ([0.0, -0.0, 3.0, -INF, -INF], [1, 0, 0, 1, 2]),
    ([1.0, 1.0, 2.0, 2.0, 2.0], [2, 2, 0, 1, 1]),
    ([1.0, 1.0, 2.0, 2.0, 2.0], [0, 1, 0, 0, 0]),
]


@functools.cache
def of_all_ties(metric, **options):
    """A metric for each kind of ties: one program, as compiling is what costs."""

    @jax.jit
    def values(*arrays, **more):
        call = functools.partial(metric, *arrays, **options, **more)
        without = without_formula(metric, options.get("topn"))
        return {ties: call(ties=ties) for ties in TIES if ties not in without}

    return values


@pytest.mark.parametrize("topn", [None, 1, 3])
@every
def test_ties_are_those_of_all_orders(metric, topn):
    kwargs, every_order = cut(metric, topn) | {"reduce_fn": None}, orders(5)
    best, worst = (np.min, np.max) if metric is arp_metric else (np.max, np.min)
    expected = {"average": np.mean, "optimistic": best, "pessimistic": worst}
    for scores, labels in TIED:
        scores, labels = np.array(scores), shaped(metric, labels)
        # Without negative zeros, whose order is that of the next test.
        values = compiled(metric, **kwargs)((scores + 0.0)[every_order], labels[every_order])
        for ties, ours in of_all_ties(metric, **kwargs)(scores, labels).items():
            if ties in expected:
                assert ours == pytest.approx(float(expected[ties](values)), rel=1e-5), ties


@pytest.mark.parametrize("run", [lambda f: f, jax.jit])
def test_zeros_of_both_signs_are_in_order_of_the_list(run):
    scores, labels = np.array([[0.0, -0.0], [-0.0, 0.0]]), np.array([[1, 0], [1, 0]])
    values = run(functools.partial(ap_metric, topn=2, reduce_fn=None))
    assert values(scores, labels).tolist() == [1.0, 1.0]
    assert values(scores, labels[:, ::-1]).tolist() == [0.5, 0.5]


@over(ADDITIVE)
def test_average_ties_take_weights(metric):
    scores, labels = np.array([1.0, 1.0, 1.0, 0.0]), np.array([2, 0, 1, 1])
    weights, every_order = np.array([3.0, 1.0, 0.5, 2.0]), orders(4)
    of_orders = (array[every_order] for array in (scores, labels))
    expected = compiled(metric)(*of_orders, weights=weights[every_order])
    ours = compiled(metric, ties="average")(scores, labels, weights=weights)
    assert ours == pytest.approx(float(expected), rel=1e-5)


@every
def test_ties_are_in_order_of_the_list_or_of_the_key(metric):
    scores, labels = np.zeros((500, 3)), shaped(metric, np.tile([0, 0, 2], (500, 1)))
    third_second_first = np.array([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [2.0, 1.0, 3.0]])
    each, key = compiled(metric, reduce_fn=None), jax.random.key(0)
    by_rank = np.asarray(each(third_second_first, labels[:3]))
    assert compiled(metric)(scores[0], labels[0]) == by_rank[0]
    random = compiled(metric, reduce_fn=None, ties="random")(scores, labels, key=key)
    random = np.asarray(random)
    np.testing.assert_array_equal(random, each(scores, labels, key=key))
    # A third is expected at each rank; .11 is 5 standard deviations.
    for value in by_rank:
        share, ranks = np.mean(np.isclose(random, value)), np.sum(np.isclose(by_rank, value))
        assert abs(share - ranks / 3) < 0.11


@over(NO_AVERAGE)
def test_average_ties_without_a_formula_are_an_error(metric):
    with pytest.raises(ValueError, match="'ties' has 'average'; expected one of 'order', 'random'"):
        metric(np.zeros(2), shaped(metric, [1, 0]), ties="average")


def test_combinations_without_a_formula_are_an_error():
    with pytest.raises(ValueError, match=r"'ties' has 'average'; .* for MRR with weights"):
        mrr_metric(np.zeros(2), np.ones(2), weights=np.ones(2), ties="average")
    with pytest.raises(ValueError, match=r"'ties' has 'average'; .* for OPA with 'topn'"):
        opa_metric(np.zeros(2), np.ones(2), topn=1, ties="average")
    with pytest.raises(ValueError, match=r"'ties' has 'average'; .* for ARP with 'topn'"):
        arp_metric(np.zeros(2), np.ones(2), topn=1, ties="average")


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("ties", "first", "'ties' has 'first'; expected one of 'order', 'random', "),
        ("ties", "random", "'key' has None; expected a PRNG key"),
        ("empty", 2, "'empty' has 2; expected one of 0, 1, 'skip'"),
        ("topn", 0, "'topn' has 0; expected None"),
    ],
)
@every
def test_bad_choice_is_an_error_that_names_it(metric, argument, value, message):
    with pytest.raises(ValueError, match=message):
        metric(np.ones(2), shaped(metric, [1, 0]), **{argument: value})


@over([precision_metric, recall_metric, ap_metric, precision_ia_metric])
def test_bad_denominator_is_an_error(metric):
    with pytest.raises(ValueError, match="'denominator' has 'all'; expected one of"):
        metric(np.ones(2), shaped(metric, [1, 0]), denominator="all")


@over(WEIGHTED)
def test_weights_of_one_change_nothing(metric):
    scores, labels = np.array([2.0, 1.0, 3.0]), np.array([1, 0, 2])
    expected = compiled(metric)(scores, labels)
    for weights in (np.ones(3), np.float32(1.0)):
        assert compiled(metric)(scores, labels, weights=weights) == expected


@over([metric for metric in METRICS if metric not in WEIGHTED])
def test_weights_without_a_meaning_are_an_error(metric):
    with pytest.raises(ValueError, match="'weights' has an array; expected None"):
        metric(np.ones(3), shaped(metric, [1, 0, 2]), weights=np.ones(3))


@every
def test_lists_without_anything_to_find(metric):
    scores, labels = np.array([[2.0, 1.0]] * 3), shaped(metric, [[2, 0], [0, 0], [2, 0]])
    where = np.array([[True, True], [True, True], [False, False]])
    full = float(compiled(metric)(scores[0], labels[0]))

    @jax.jit
    def values(scores, labels, where):
        call = functools.partial(metric, scores, labels, where=where)
        empties = (0, 1, "skip")
        each = [call(empty=empty, reduce_fn=None) for empty in empties]
        return [call(), *(call(empty=empty) for empty in empties)], each

    means, each = values(scores, labels, where)
    assert [*map(float, means)] == pytest.approx([full / 2, full / 2, (full + 1) / 2, full])
    for found, value in zip(each, (0.0, 1.0, 0.0), strict=True):
        assert found.tolist() == pytest.approx([full, value, 0.0])


@every
def test_flat_lists_give_the_same(metric):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (4, 6)).astype(np.float32)
    scores[0, 2] = -INF
    labels, where = shaped(metric, rng.integers(-1, 3, (4, 6))), rng.uniform(size=(4, 6)) < 0.8
    ids, mixed = np.repeat([3, 0, 7, 5], 6), np.argsort(np.tile(np.arange(6), 4), kind="stable")
    scores_, labels_, where_ = (x.reshape(24, *x.shape[2:])[mixed] for x in (scores, labels, where))
    for topn in [None, 2]:
        call = of_all_ties(metric, **cut(metric, topn), empty="skip")
        expected = call(scores, labels, where=where)
        assert call(scores_, labels_, where=where_, segments=ids[mixed]) == pytest.approx(
            {ties: float(value) for ties, value in expected.items()}, rel=1e-5
        )


@every
def test_document_that_was_not_retrieved_has_no_rank(metric):
    labels = shaped(metric, [0, 2, 1])
    call = compiled(metric)
    lost, none = (call(np.array([first, -INF, -INF]), labels) for first in (1.0, -INF))
    if metric is arp_metric:
        assert lost == none == pytest.approx((2 * 2 + 3 * 1) / 3)
    else:
        assert lost == none == 0.0
        assert call(np.array([0.5, 1.0, -INF]), labels) > 0.0


@over([recall_metric, ap_metric, ndcg_metric, opa_metric])
def test_document_that_was_not_retrieved_should_have_been(metric):
    labels = np.array([1, 0, 1], np.float32)
    assert 0.0 < compiled(metric)(np.array([2.0, 1.0, -INF]), labels) < 1.0


@every
def test_nan_is_not_hidden(metric):
    for spoiled in ("scores", "labels"):
        arrays = {"scores": np.array([[2.0, 1.0]] * 2), "labels": shaped(metric, [[1, 0]] * 2)}
        arrays[spoiled][0, 1] = NAN
        for values in of_all_ties(metric, empty="skip", reduce_fn=None)(*arrays.values()).values():
            assert np.isnan(values).tolist() == [True, False]


@over([metric for metric in METRICS if metric not in OF_SUBTOPICS])
def test_labels_with_subtopics_are_an_error(metric):
    with pytest.raises(ValueError, match="'labels' has shape"):
        metric(np.ones((2, 3)), np.ones((2, 3, 4)))


@over(OF_SUBTOPICS)
def test_labels_without_subtopics_are_an_error(metric):
    with pytest.raises(
        ValueError, match=r"'labels' has rank 2; expected \[\.\.\., list, subtopics"
    ):
        metric(np.ones((2, 3)), np.ones((2, 3)))


@over([precision_metric, recall_metric, ap_metric, mrr_metric, hits_metric])
def test_threshold_is_the_smallest_label_of_a_relevant_document(metric):
    scores, labels, kwargs = np.array([3.0, 2.0, 1.0]), np.array([1, 2, 0.5]), {"topn": 1}
    expected = compiled(metric, **kwargs)(scores, np.array([1, 1, 0.0]))
    assert compiled(metric, **kwargs)(scores, labels) == expected
    assert compiled(metric, threshold=2, **kwargs)(scores, labels) == 0.0


@every
def test_topn_beyond_the_list_is_the_whole_list(metric):
    scores, labels = np.array([1.0, 3.0, 2.0]), shaped(metric, [1, 2, 0])
    expected = float(compiled(metric)(scores, labels))
    assert compiled(metric, topn=100)(scores, labels) == pytest.approx(expected)


@over([hits_metric, ap_metric, recall_metric, opa_metric])
def test_ties_and_cuts_are_compiled_and_mapped(metric):
    scores = jnp.asarray(np.random.default_rng(0).integers(0, 3, (3, 5)), jnp.float32)
    labels = jnp.asarray(np.random.default_rng(1).integers(0, 3, (3, 5)))
    kwargs = {} if metric is opa_metric else {"topn": 2}
    one = functools.partial(metric, ties="average", reduce_fn=None, **kwargs)
    np.testing.assert_allclose(jax.jit(jax.vmap(one))(scores, labels), one(scores, labels))
