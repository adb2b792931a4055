"""MaxSim: by hand, against sentence-transformers, and over a mesh of devices."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5rank import ops

QUERIES, SLOTS, DIM = 3, 3, 4
# Two rows: documents 1 and 2 and padding; documents 1 and 3, of which one lies in two parts.
SEGMENTS = np.array([[1, 1, 1, 2, 2, 0, 0], [1, 3, 3, 1, 0, 3, 0]])
IDS = np.array([2, 0, 0, -1, 1, 1, 1, 3])  # the fourth and the last are no query's


def vectors(seed=0):
    rng = np.random.default_rng(seed)
    shapes = (len(IDS), DIM), (*SEGMENTS.shape, DIM)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


@jax.jit
def scores_of(tokens, rows, segments=SEGMENTS, ids=IDS):
    return ops.maxsim(tokens, ids, rows, segments, queries=QUERIES, slots=SLOTS)


def documents():
    """`(row, slot, places)` of those that there are."""
    for row, segments in enumerate(SEGMENTS):
        for slot in range(SLOTS):
            places = np.flatnonzero(segments == slot + 1)
            if len(places):
                yield row, slot, places


def test_a_score_is_the_sum_of_the_largest_products():
    tokens, rows = vectors()
    scores = scores_of(tokens, rows)
    assert scores.shape == (QUERIES, 2, SLOTS) and scores.dtype == jnp.float32
    for row, slot, places in documents():
        largest = np.max(tokens @ rows[row, places].T, axis=1)
        expected = [largest[query == IDS].sum() for query in range(QUERIES)]
        np.testing.assert_allclose(scores[:, row, slot], expected, rtol=1e-5)


def test_padding_never_wins_over_negative_products():
    """Products of -1 and -2 in the document, of 0 and 5 outside of it."""
    rows = jnp.array([[[-1.0], [-2.0], [0.0], [5.0]]])
    segments = jnp.array([[1, 1, 0, 2]])
    score = ops.maxsim(jnp.ones((2, 1)), jnp.zeros(2, int), rows, segments, queries=1, slots=1)
    assert score.tolist() == [[[-2.0]]]


def test_a_document_without_tokens_scores_lowest_and_a_query_without_scores_0():
    tokens, rows = vectors()
    scores = jax.jit(scores_of)(tokens, rows, ids=np.where(IDS == 1, -1, IDS))
    missing = np.ones((2, SLOTS), bool)
    for row, slot, _ in documents():
        missing[row, slot] = False
    assert np.all(scores[:, missing] == ops.LOG_ZERO)
    assert not np.any(scores[1, ~missing])


def test_gradient_goes_to_the_first_of_equal_products():
    rows = jnp.array([[[1.0, 0.0], [0.0, 9.0], [1.0, 5.0]]])
    segments, tokens = jnp.array([[1, 1, 1]]), jnp.array([[2.0, 0.0]])
    score = lambda t, r: ops.maxsim(t, jnp.array([0]), r, segments, queries=1, slots=1).sum()  # noqa: E731
    of_tokens, of_rows = jax.grad(score, argnums=(0, 1))(tokens, rows)
    assert of_tokens.tolist() == [[1.0, 0.0]]
    assert of_rows.tolist() == [[[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]]


def test_garbage_in_padding_changes_nothing():
    def value_and_gradient(tokens, rows):
        mask = np.isin(SEGMENTS[:, :1], [1])  # a cotangent that differs by query
        weigh = jnp.arange(1.0, 1 + QUERIES)[:, None, None] * mask
        return jax.value_and_grad(lambda t, r: jnp.sum(weigh * scores_of(t, r)), (0, 1))(
            tokens, rows
        )

    tokens, rows = vectors()
    expected = value_and_gradient(tokens, rows)
    tokens[(IDS < 0) | (IDS >= QUERIES)], rows[SEGMENTS == 0] = np.nan, np.inf
    found = value_and_gradient(tokens, rows)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert not np.any(found[1][1][SEGMENTS == 0])


def test_scores_and_gradients_are_those_of_sentence_transformers():
    torch = pytest.importorskip("torch")
    similarity = pytest.importorskip("sentence_transformers.util.similarity")
    rng = np.random.default_rng(1)
    query_lengths, lengths = [5, 1, 8], [40, 3, 70, 1, 33]
    rows, segments = np.zeros((2, 120, DIM), np.float32), np.zeros((2, 120), np.int32)
    documents = [-np.abs(rng.normal(size=(n, DIM)).astype(np.float32)) for n in lengths]
    queries = [np.abs(rng.normal(size=(n, DIM)).astype(np.float32)) for n in query_lengths]
    slots = [(0, 1, 0), (0, 2, 40), (0, 3, 43), (1, 1, 0), (1, 2, 1)]
    for document, (row, slot, start) in zip(documents, slots, strict=True):
        rows[row, start : start + len(document)] = document
        segments[row, start : start + len(document)] = slot
    tokens, ids = np.concatenate(queries), np.repeat(np.arange(3), query_lengths)
    cotangent = rng.normal(size=(3, 5)).astype(np.float32)
    where = np.array([row for row, _, _ in slots]), np.array([slot - 1 for _, slot, _ in slots])

    @jax.jit
    def ours(tokens, rows):
        scores = ops.maxsim(tokens, ids, rows, segments, queries=3, slots=3)
        scores = scores[:, where[0], where[1]]
        return jnp.sum(scores * cotangent), scores

    (_, scores), gradients = jax.value_and_grad(ours, (0, 1), has_aux=True)(tokens, rows)
    theirs = [
        [torch.tensor(x, requires_grad=True) for x in texts] for texts in (queries, documents)
    ]
    expected = similarity.maxsim(*theirs)
    torch.sum(expected * torch.tensor(cotangent)).backward()
    assert np.all(scores < 0)
    np.testing.assert_allclose(scores, expected.detach(), rtol=1e-5)
    found = np.split(gradients[0], np.cumsum(query_lengths)[:-1])
    found += [
        gradients[1][row, start : start + n]
        for (row, _, start), n in zip(slots, lengths, strict=True)
    ]
    for ours_, theirs_ in zip(found, [*theirs[0], *theirs[1]], strict=True):
        np.testing.assert_allclose(ours_, theirs_.grad, rtol=1e-5, atol=1e-6)


def test_scores_of_lists_are_those_of_each_documents_own_query():
    tokens, rows = vectors()
    query_of = np.array([[1, 0, 0], [2, 0, 1]])
    padded, mask = np.full((QUERIES, 4, DIM), np.nan, np.float32), np.zeros((QUERIES, 4), bool)
    for query in range(QUERIES):
        own = tokens[query == IDS]
        padded[query, 1 : 1 + len(own)], mask[query, 1 : 1 + len(own)] = own, True

    @jax.jit
    def of_lists(padded, rows):
        return ops.maxsim_of_lists(padded, mask, rows, SEGMENTS, query_of)

    cotangent = np.random.default_rng(2).normal(size=query_of.shape).astype(np.float32)
    there = np.array([[1, 1, 0], [1, 0, 1]], bool)
    all_scores, pull_back = jax.vjp(scores_of, tokens, rows)
    own = np.take_along_axis(np.asarray(all_scores), query_of[None], axis=0)[0]
    found, pull_back_own = jax.vjp(of_lists, padded, rows)
    np.testing.assert_allclose(found[there], own[there], rtol=1e-6)
    assert np.all(found[~there] == ops.LOG_ZERO)
    of_all = (np.arange(QUERIES)[:, None, None] == query_of) * cotangent
    of_padded, of_rows = pull_back_own(cotangent)
    of_tokens, expected = pull_back(of_all.astype(np.float32))
    np.testing.assert_allclose(of_rows, expected, rtol=1e-5, atol=1e-6)
    for query in range(QUERIES):
        np.testing.assert_allclose(
            of_padded[query][mask[query]], of_tokens[query == IDS], rtol=1e-5, atol=1e-6
        )


ON_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from t5rank import ops
rng = np.random.default_rng(0)
tokens, rows = (rng.normal(size=s).astype(np.float32) for s in ((12, 4), (16, 40, 4)))
segments = np.sort(rng.integers(0, 4, (16, 40)), axis=1)
ids, cotangent = np.arange(12) % 5, rng.normal(size=(5, 16, 3)).astype(np.float32)
there = (segments[:, None] == np.arange(1, 4)[:, None]).any(-1)
def value(tokens, rows, segments):
    scores = ops.maxsim(tokens, ids, rows, segments, queries=5, slots=3)
    return jnp.sum(jnp.where(there, scores * cotangent, 0.0))
mesh = Mesh(np.array(jax.devices()), ("data",))
put = lambda x, *axes: jax.device_put(x, NamedSharding(mesh, P(*axes)))
arrays = put(tokens), put(rows, "data"), put(segments, "data")
program = jax.jit(jax.value_and_grad(value, (0, 1))).lower(*arrays).compile()
v, (t, r) = program(*arrays)
scores = np.zeros((5, 16, 3))
of_tokens, of_rows = np.zeros(tokens.shape), np.zeros(rows.shape)
total = 0.0
for i, s in zip(*np.nonzero(there)):
    places = np.flatnonzero(segments[i] == s + 1)
    products = tokens @ rows[i, places].T
    for token, place in enumerate(places[products.argmax(1)]):
        g = cotangent[ids[token], i, s]
        total += g * products[token].max()
        of_tokens[token] += g * rows[i, place]
        of_rows[i, place] += g * tokens[token]
assert len(jax.devices()) == 8 and r.sharding.spec[0] == "data", r.sharding
np.testing.assert_allclose(v, total, rtol=1e-5)
np.testing.assert_allclose(t, of_tokens, rtol=1e-5, atol=1e-5)
np.testing.assert_allclose(r, of_rows, rtol=1e-5, atol=1e-5)
assert " all-gather(" not in program.as_text()
"""


def test_devices_share_the_rows_and_give_what_one_gives():
    """Rows stay where they are: nothing is gathered."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run(
        [sys.executable, "-c", ON_DEVICES],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
