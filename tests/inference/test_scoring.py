import threading

import jax.numpy as jnp
import numpy as np
import pytest

from t5rank.inference import scoring
from t5rank.inference.batching import BatchShapes
from t5rank.inference.scoring import ModelScorer, prefetched, run_chunks

LENGTHS = [5, 200, 33, 1, 64, 5, 130, 90, 31, 17, 48]


class MeanSine:
    """A model that takes one number as its parameters, for rows of one input or of several."""

    computes = None

    def score(self, params, tokens):
        return params * _means(tokens, tokens != 0)

    def results(self, params, batch):
        slots = jnp.arange(1, batch["label"].shape[1] + 1)
        real = batch["encoder_segment_ids"][:, None] == slots[:, None]
        return params * _means(batch["encoder_input_tokens"][:, None], real)


def _means(tokens, real):
    return jnp.sum(jnp.sin(tokens) * real, -1) / jnp.maximum(real.sum(-1), 1)


def make_scorer(batch_tokens=None):
    return ModelScorer(MeanSine(), jnp.float32(2.0), batch_tokens)


def in_numpy(tokens):
    real = tokens != 0
    return (2 * (np.sin(tokens) * real).sum(-1) / np.maximum(real.sum(-1), 1)).astype(np.float32)


def make_rows(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 100, length).astype(np.int32) for length in lengths]


def expected_scores(rows):
    return np.array([2 * np.sin(row).mean() for row in rows])


@pytest.mark.parametrize("batch_tokens", [1, 64, 500, 5000])
def test_scores_are_in_the_order_of_the_inputs_whatever_the_batches(batch_tokens):
    rows = make_rows(LENGTHS)
    scores = make_scorer(batch_tokens).score(rows)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected_scores(rows), atol=1e-5, rtol=0)


def test_order_of_the_inputs_changes_no_score():
    rows, scorer = make_rows(LENGTHS), make_scorer(200)
    order = np.random.default_rng(1).permutation(len(rows))
    shuffled = scorer.score([rows[i] for i in order])
    np.testing.assert_allclose(shuffled, scorer.score(rows)[order], atol=1e-5, rtol=0)


def test_any_function_of_tokens_is_a_backend():
    rows = make_rows(LENGTHS)
    (scores,) = run_chunks(in_numpy, BatchShapes(100, closed=False), [rows])
    np.testing.assert_allclose(scores, expected_scores(rows), atol=1e-5, rtol=0)


def test_a_backend_may_give_a_vector_for_each_input():
    def vectors(tokens):
        return np.stack([tokens[:, 0], in_numpy(tokens)], axis=-1)

    rows = make_rows(LENGTHS)
    first, none = run_chunks(vectors, BatchShapes(64), [rows, []])
    assert first.dtype == np.float32 and none.shape == (0,)
    expected = np.stack([[row[0] for row in rows], expected_scores(rows)], axis=-1)
    np.testing.assert_allclose(first, expected, atol=1e-5, rtol=0)


def test_no_input_has_no_score():
    assert make_scorer().score([]).shape == (0,)


def test_empty_row_is_scored_as_padding():
    rows = [np.array([7, 8], np.int32), np.array([], np.int32)]
    scores = make_scorer().score(rows)
    np.testing.assert_allclose(scores, [expected_scores(rows[:1])[0], 0.0], atol=1e-6)


def test_each_shape_is_compiled_once_whatever_the_inputs():
    scorer = make_scorer(256)
    for seed in range(3):
        scorer.score(make_rows(range(1, 140), seed))
    assert 0 < scorer.compiled <= len(scorer.shapes.all(140))


def test_progress_counts_every_input():
    class Progress:
        done = 0

        def update(self, count):
            self.done += count

    progress = Progress()
    make_scorer(200).score(make_rows(LENGTHS), progress)
    assert progress.done == len(LENGTHS)


def test_chunks_come_in_order_as_they_are_done():
    asked = []

    def chunks():
        for seed, lengths in enumerate([LENGTHS, [], [3], LENGTHS * 9, [4] * 9]):
            asked.append(seed)
            yield make_rows(lengths, seed)

    shapes = BatchShapes(64)
    for i, scores in enumerate(run_chunks(in_numpy, shapes, chunks())):
        rows = make_rows([LENGTHS, [], [3], LENGTHS * 9, [4] * 9][i], i)
        np.testing.assert_allclose(scores, expected_scores(rows), atol=1e-5, rtol=0)
        assert i < 3 or asked[-1] <= i + 1  # the first three have few batches


def test_batches_that_are_not_waited_for_are_bounded():
    given, taken = [], []

    class Result:
        def __init__(self, tokens):
            self.scores = in_numpy(tokens)
            given.append(self)

        def __array__(self, dtype=None, copy=None):
            taken.append(self)
            return self.scores

    def backend(tokens):
        assert len(given) - len(taken) <= scoring.IN_FLIGHT
        return Result(tokens)

    list(run_chunks(backend, BatchShapes(32), [make_rows(LENGTHS * 3)] * 2))
    assert given == taken


def test_prefetched_items_are_made_in_another_thread_ahead_of_use():
    made = threading.Event()

    def items():
        yield 0
        made.set()
        yield 1

    iterator = prefetched(items())
    assert next(iterator) == 0
    assert made.wait(timeout=60)  # nobody has asked for the second one
    assert list(iterator) == [1]


def test_an_error_of_the_thread_is_raised_where_its_item_was_due():
    def items():
        yield 0
        raise ValueError("broken")

    iterator = prefetched(items())
    assert next(iterator) == 0
    with pytest.raises(ValueError, match="broken"):
        next(iterator)
