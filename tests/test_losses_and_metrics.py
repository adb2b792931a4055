"""What holds for every loss, metric, lambda weight and transformation, padded and flat.

Compilation takes most of the time. The tests share the programs of `compiled`. A property that the
same code has for every function (types, noise, eager calls) is tested on one function per kind.
"""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import losses, metrics, ops
from t5rank.losses import transformations as t

NAN, INF = float("nan"), float("inf")
KEY = jax.random.key(0)
SIZE, SUBTOPICS = 6, 2


def public(module, ending):
    return {name: getattr(module, name) for name in module.__all__ if name.endswith(ending)}


LOSSES = public(losses, "_loss")
# The first needs a function of the user; the other pairwise losses are made with it. The second
# takes no scores above 0 (tests/losses/test_pointwise.py).
for other in ("pairwise_loss", "log_probability_loss"):
    del LOSSES[other]
METRICS = public(metrics, "_metric")
OF_SUBTOPICS = {name for name in METRICS if name.startswith(("alpha_dcg", "precision_ia"))}
# Approximations replace ranks and cutoffs. Two metrics have neither, and lower is better for ARP.
NOT_SMOOTH = {"opa_metric", "bpref_metric", "arp_metric"}
SMOOTH = {name: METRICS[name] for name in METRICS if name not in NOT_SMOOTH}
LAMBDAWEIGHTS = {
    "labeldiff": losses.labeldiff_lambdaweight(),
    "dcg": losses.dcg_lambdaweight(normalize=True, topn=3),
    "dcg_smooth": losses.dcg_lambdaweight(smooth_fraction=0.3),
    "dcg2": losses.dcg2_lambdaweight(topn=3),
    "ndcg2pp": losses.ndcg2pp_lambdaweight(),
    "precision": losses.precision_lambdaweight(topn=2),
    "mrr": losses.mrr_lambdaweight(),
    "ap": losses.ap_lambdaweight(),
}


def with_topn(metric):
    return functools.partial(metric, topn=3)


# One function for each way of computation.
KINDS = [
    "sigmoid_loss",  # document by document
    "softmax_loss",
    "xendcg_loss",  # with noise
    "pairwise_logistic_loss",  # in blocks of pairs
    "listmle_loss",  # sorted
    "neural_ndcg_loss",  # with matrices
    "ndcg_metric",
    "alpha_dcg_metric",  # of subtopics
]
TRANSFORMED = (
    {f"approx {name}": t.approx_t12n(with_topn(m)) for name, m in SMOOTH.items()}
    | {f"bound {name}": t.bound_t12n(with_topn(m)) for name, m in SMOOTH.items()}
    | {
        f"gumbel {name}": functools.partial(
            t.gumbel_t12n((LOSSES | METRICS)[name], samples=2), key=KEY
        )
        for name in KINDS
    }
    | {
        f"gumbel approx {name}": functools.partial(
            t.gumbel_t12n(t.approx_t12n(with_topn(SMOOTH[name])), samples=2), key=KEY
        )
        for name in ("ndcg_metric", "alpha_dcg_metric")
    }
)
COMBINED = {
    f"logistic with {name}": functools.partial(losses.pairwise_logistic_loss, lambdaweight_fn=w)
    for name, w in LAMBDAWEIGHTS.items()
} | {
    "hinge with dcg": functools.partial(
        losses.pairwise_hinge_loss, lambdaweight_fn=LAMBDAWEIGHTS["dcg"]
    ),
    "mse with dcg2": functools.partial(
        losses.pairwise_mse_loss, lambdaweight_fn=LAMBDAWEIGHTS["dcg2"]
    ),
    "normalized softmax": functools.partial(
        losses.softmax_loss, label_fn=losses.normalize_probabilities
    ),
    "calibrated softmax": functools.partial(losses.softmax_loss, virtual_label=0.5),
    "softmax at 2": losses.with_temperature(losses.softmax_loss, 2.0),
    "logistic per list": losses.per_list(losses.pairwise_logistic_loss),
    "mixture": losses.mixture([losses.softmax_loss, losses.pairwise_hinge_loss], [1.0, 0.5]),
    "ndcg@2": functools.partial(metrics.ndcg_metric, topn=2),
    "ndcg of averaged ties": functools.partial(metrics.ndcg_metric, ties="average"),
    "mrr of averaged ties": functools.partial(metrics.mrr_metric, ties="average"),
}
CASES = LOSSES | METRICS | COMBINED | TRANSFORMED
# Noise depends on the index: it does not move with the documents, and differs in other shapes.
PLAIN = {name: case for name, case in CASES.items() if "gumbel" not in name}
PAIRWISE = {
    n: c
    for n, c in (LOSSES | COMBINED).items()
    if n.startswith(("pair", "logistic with", "hinge", "mse w"))
}


def every(cases):
    return pytest.mark.parametrize("name", sorted(cases))  # in the same order in every worker


def subtopics(name):
    return any(metric in name for metric in OF_SUBTOPICS)


def differentiable(name):
    metric = "metric" in name or name.startswith(("ndcg@", "ndcg of", "mrr of"))
    return not metric or "approx" in name or "bound" in name


def batch(name, lists=4, seed=0):
    """Scores without ties, grades 0 to 2, and a mask of lists of different sizes, one empty."""
    rng = np.random.default_rng(seed)
    scores = (rng.permutation(lists * SIZE).reshape(lists, SIZE) - 10.5).astype(np.float32) / 7
    shape = (lists, SIZE, SUBTOPICS) if subtopics(name) else (lists, SIZE)
    labels = rng.choice([0.0, 0.0, 1.0, 2.0], size=shape).astype(np.float32)
    where = np.arange(SIZE) < rng.integers(2, SIZE + 1, (lists, 1))
    where = rng.permuted(where, axis=1)
    where[-1] = False
    return scores, labels, where


@functools.cache
def compiled(name):
    """`(value, gradient)` of a case; a metric's gradient is 0."""

    @jax.jit
    def call(scores, labels, where):
        return jax.value_and_grad(lambda s: CASES[name](s, labels, where=where))(scores)

    return call


@pytest.mark.parametrize("transformation", [t.approx_t12n, t.bound_t12n])
@every(NOT_SMOOTH)
def test_transformation_without_a_gradient_is_an_error(name, transformation):
    with pytest.raises(ValueError, match=f"Metric '{name}' takes neither"):
        transformation(METRICS[name])


def assert_close(ours, expected, rtol=2e-5, atol=2e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol, atol), ours, expected)


@every(LOSSES | METRICS)
def test_signature_is_that_of_rax(name):
    parameters = list(inspect.signature(CASES[name]).parameters.values())
    assert [p.name for p in parameters[:2]] == ["scores", "labels"]
    keywords = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    shared = {"where", "segments", "weights", "reduce_fn"} | (
        {"topn", "key"} if name in METRICS else set()
    )
    assert shared <= keywords.keys()
    assert keywords["reduce_fn"] is jnp.mean


@every(CASES)
def test_value_and_gradient_are_finite_and_move(name):
    moves = False
    for seed in range(60):  # a bound is flat for most lists
        value, gradient = compiled(name)(*batch(name, seed=seed))
        assert np.all(np.isfinite(value))
        assert np.all(np.isfinite(gradient))
        moves = moves or bool(np.any(gradient != 0))
        if moves and seed >= 3:
            break
    assert moves == differentiable(name)


@every(CASES)
def test_garbage_in_masked_entries_changes_nothing(name):
    scores, labels, where = batch(name)
    expected = compiled(name)(scores, labels, where)
    for garbage in (NAN, INF, -INF, 1e30, -1e30):
        spoiled = np.where(where, scores, garbage).astype(np.float32)
        mask = where[..., None] if subtopics(name) else where
        spoiled_labels = np.where(mask, labels, garbage).astype(np.float32)
        ours = compiled(name)(spoiled, spoiled_labels, where)
        jax.tree.map(np.testing.assert_array_equal, ours, expected)
    assert not np.any(expected[1][~where])


@every(CASES)
def test_minus_infinity_at_an_irrelevant_document_is_finite(name):
    scores, labels, where = batch(name)
    row = np.argmax(where.sum(axis=1))
    slot = np.flatnonzero(where[row])[0]
    scores[row, slot], labels[row, slot] = -INF, 0.0
    value, gradient = compiled(name)(scores, labels, where)
    # A regression on the score is infinite. XE-NDCG's noise makes the document relevant.
    if name.split(" ")[-1] in ("mse_loss", "kl_loss") or name == "gumbel xendcg_loss":
        assert value == INF
    else:
        assert np.all(np.isfinite(value))
        assert np.all(np.isfinite(gradient))


@every(CASES)
def test_nan_is_not_hidden(name):
    scores, labels, where = batch(name)
    row, slot = np.argwhere(where)[0]
    spoiled = scores.copy()
    spoiled[row, slot] = NAN
    assert np.isnan(compiled(name)(spoiled, labels, where)[0])
    labels = labels.copy()
    labels[row, slot] = NAN
    assert np.isnan(compiled(name)(scores, labels, where)[0])


@every(PLAIN)
def test_order_of_the_documents_changes_nothing(name):
    scores, labels, where = batch(name)
    value, gradient = compiled(name)(scores, labels, where)
    order = np.array([3, 1, 5, 0, 2, 4])
    ours = compiled(name)(scores[:, order], labels[:, order], where[:, order])
    assert_close(ours, (value, gradient[:, order]))


@every(PLAIN)
def test_padding_and_types_change_nothing(name):
    """Wider rows of bfloat16 scores, integer labels and a numeric mask."""
    scores, labels, where = batch(name)
    half = jnp.asarray(scores, jnp.bfloat16)
    arrays = (half, labels.astype(np.int32), where.astype(np.float32))
    wide = [jnp.pad(x, [(0, 0), (0, 6)] + [(0, 0)] * (x.ndim - 2)) for x in arrays]
    value = jax.jit(lambda s, y, w: CASES[name](s, y, where=w))(*wide)
    assert value.dtype == jnp.float32
    assert_close(value, compiled(name)(half.astype(jnp.float32), labels, where)[0])


@every(PLAIN)
def test_flat_lists_equal_padded_ones(name):
    """Two rows of two lists each, mixed, with list ids in no order."""
    scores, labels, where = batch(name)
    order = np.random.default_rng(1).permuted(np.arange(24).reshape(2, 12), axis=1)
    segments = np.repeat([7, 2, 2, 4], SIZE)[order]

    @jax.jit
    def flat(scores):
        return CASES[name](
            scores.reshape(-1)[order],
            labels.reshape(-1, *labels.shape[2:])[order],
            where=where.reshape(-1)[order],
            segments=segments,
        )

    ours = jax.value_and_grad(flat)(jnp.asarray(scores))
    assert_close(ours, compiled(name)(scores, labels, where))


@every(PLAIN)
def test_microbatches_add_up_to_the_batch(name):
    scores, labels, where = batch(name)
    sums = jax.jit(lambda s, y, w: CASES[name](s, y, where=w, reduce_fn=ops.sum_and_count))
    halves = [sums(scores[half], labels[half], where[half]) for half in (slice(2), slice(2, 4))]
    total, count = sum(halves)
    assert_close(total / count, compiled(name)(scores, labels, where)[0])


@every(KINDS)
def test_a_mapped_function_is_that_of_the_batch(name):
    scores, labels, where = batch(name)
    one = lambda s, y, w: CASES[name](s, y, where=w, reduce_fn=ops.sum_and_count)  # noqa: E731
    expected = jax.jit(one)(scores, labels, where)
    assert_close(jnp.sum(jax.jit(jax.vmap(one))(scores, labels, where), axis=0), expected)


@every(KINDS)
def test_eager_equals_compiled_and_leaves_the_callers_arrays_alone(name):
    arrays = batch(name)
    copies = [array.copy() for array in arrays]
    scores, labels, where = arrays
    value = CASES[name](scores, labels, where=where)
    assert_close(value, compiled(name)(*arrays)[0])
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@every(KINDS)
def test_small_types_of_labels_change_nothing(name):
    scores, labels, where = batch(name)
    value = jax.jit(lambda labels: CASES[name](scores, labels, where=where))
    binary = np.minimum(labels, 1.0)
    assert_close(value(labels.astype(np.uint8)), compiled(name)(scores, labels, where)[0])
    assert_close(value(binary.astype(bool)), compiled(name)(scores, binary, where)[0])


@every(LOSSES | METRICS)
def test_every_function_takes_segments_itself(name):
    assert t.segment_t12n(CASES[name]) is CASES[name]


@every(CASES)
@pytest.mark.parametrize("labels", [(3, 1, 1), (2, 4), (4,)])
def test_shapes_are_not_broadcast(name, labels):
    with pytest.raises(ValueError, match=r"'labels' has (shape|rank)"):
        CASES[name](jnp.ones((2, 3)), jnp.ones(labels))


@every(CASES)
def test_batch_without_a_document_is_zero(name):
    scores, labels, where = batch(name)
    value, gradient = compiled(name)(scores, labels, np.zeros_like(where))
    assert value == 0.0
    assert not np.any(gradient)


@every(PAIRWISE)
def test_all_pairs_reduce_to_the_streamed_totals(name):
    scores, labels, where = batch(name)

    @jax.jit
    def values(scores):
        call = functools.partial(CASES[name], scores, labels, where=where)
        return call(reduce_fn=None), call(reduce_fn=jnp.sum)

    pairs, total = values(scores)
    assert pairs.shape == (4, SIZE, SIZE)
    assert_close(jnp.sum(pairs), total)


def floats(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


@every(LOSSES | METRICS | COMBINED | {"approx ndcg_metric": None})
def test_results_are_float32_under_x64(name):
    """Traced, not computed: the types show what JAX_ENABLE_X64 makes float64."""
    scores, labels, where = batch(name)
    segments = np.arange(scores.size) // SIZE

    def values(scores):
        call = functools.partial(CASES[name], labels=labels.astype(np.float64), where=where)
        flat = CASES[name](
            scores.reshape(-1),
            labels.reshape(-1, *labels.shape[2:]),
            where=where.reshape(-1),
            segments=segments,
            reduce_fn=None,
        )
        return call(scores), flat, jax.grad(call)(scores.astype(jnp.float32))

    with jax.enable_x64(True):
        result = jax.eval_shape(values, jax.ShapeDtypeStruct(scores.shape, jnp.float64))
        assert floats(result) == {jnp.dtype("float32")}


@every(LOSSES | METRICS)
def test_lists_of_size_zero_are_lists(name):
    subtopic = (SUBTOPICS,) if subtopics(name) else ()

    def value_and_gradient(scores, segments=None):
        call = lambda s: CASES[name](s, jnp.zeros(s.shape + subtopic), segments=segments)  # noqa: E731
        return jax.value_and_grad(call)(scores)

    for shape, segments in (((0,), jnp.zeros(0, jnp.int32)), ((2, 0), None)):
        value, gradient = jax.eval_shape(value_and_gradient, jnp.zeros(shape), segments)
        assert (value.shape, gradient.shape) == ((), shape)


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
@pytest.mark.parametrize(
    "name", ["softmax_loss", "pairwise_logistic_loss", "adr_mse_loss", "ap_metric"]
)
def test_lists_of_size_zero_have_the_value_0(name, shape):
    assert jax.jit(CASES[name])(jnp.zeros(shape), jnp.zeros(shape)) == 0.0


# Losses with a custom derivative, or a derivative through blocks of pairs.
TWICE = ("pairwise_logistic_loss", "pairwise_hinge_loss", "sigmoid_loss", "adr_mse_loss")


@every(TWICE)
def test_hessian_is_the_slope_of_the_gradient(name):
    scores, labels, where = batch(name, seed=3)
    scores[0, np.argmax(where[0])] = 0.0  # where |s| has no slope

    @jax.jit
    def derivatives(scores):
        loss = functools.partial(CASES[name], labels=labels, where=where)
        step = jnp.cos(jnp.arange(scores.size, dtype=jnp.float32)).reshape(scores.shape)
        forward = jax.jvp(loss, (scores,), (step,))[1]
        twice = jax.jvp(jax.grad(loss), (scores,), (step,))[1]
        return step, jax.grad(loss)(scores), forward, twice

    step, gradient, forward, twice = derivatives(scores)
    assert forward == pytest.approx(float(np.sum(step * gradient)), rel=1e-4, abs=1e-6)
    slope = (derivatives(scores + 0.01 * step)[1] - derivatives(scores - 0.01 * step)[1]) / 0.02
    np.testing.assert_allclose(twice, slope, rtol=0.01, atol=2e-4)


def test_temperature_divides_in_float32():
    scores = np.array([3.0, 60_000.0, 2.0], np.float16)
    loss = losses.with_temperature(losses.softmax_loss, 0.01)
    expected = loss(scores.astype(np.float32), np.array([1, 0, 0]))
    assert float(loss(scores, np.array([1, 0, 0]))) == float(expected) == pytest.approx(5_999_700)


@every(set(LOSSES) - {"circle_loss"})  # a part of its gradient is left out on purpose
def test_slope_in_float64_is_the_gradient(name):
    """Central differences of the loss itself, along random directions."""
    scores, labels, where = batch(name, seed=3)
    rng = np.random.default_rng(0)
    gradient = compiled(name)(scores, labels, where)[1]
    value = lambda s: float(compiled(name)(s.astype(np.float32), labels, where)[0])  # noqa: E731
    for _ in range(3):
        direction = rng.normal(size=scores.shape)
        slope = (value(scores + 0.01 * direction) - value(scores - 0.01 * direction)) / 0.02
        assert slope == pytest.approx(float(np.sum(gradient * direction)), rel=0.02, abs=3e-3)
