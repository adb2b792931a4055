import queue as queues
import threading

import numpy as np
import pytest

from t5rank.inference.batching import BatchShapes
from t5rank.inference.packing import PackedShapes
from t5rank.inference.reranker import Reranker
from t5rank.serve.engine import Engine
from t5rank.serve.queue import Request


class Letters:
    """A vocabulary whose tokens are letters."""

    def __len__(self):
        return 2


class Encoder:
    max_length = 32
    vocabulary = Letters()


def reranker(score_tokens) -> Reranker:
    return Reranker(Encoder(), score_tokens, BatchShapes(128))


def first_tokens(tokens):
    return tokens[:, 0].astype(np.float32)


def rows(*values: int) -> list[np.ndarray]:
    return [np.full(20, value, np.int32) for value in values]


@pytest.mark.parametrize(
    ("shapes", "tokens"), [(PackedShapes(128), 2 * 32), (BatchShapes(128), 128)]
)
def test_a_cpu_is_measured_by_one_short_input_and_a_device_by_a_full_batch(shapes, tokens):
    sizes = []

    def score(tokens):
        sizes.append(tokens.size)
        return first_tokens(tokens)

    Engine([Reranker(Encoder(), score, shapes)], max_wait=1.0).close()
    assert sum(sizes) == tokens


@pytest.fixture
def finished():
    return queues.Queue()


def ask(engine: Engine, finished, *values: int) -> Request:
    request = Request(rows(*values), finished.put)
    size = int(request.lengths.sum())
    engine.queue.reserve(size)
    engine.queue.put(request, size)
    return request


@pytest.mark.parametrize("replicas", [1, 3])
def test_every_request_gets_its_own_scores(replicas, finished):
    engine = Engine([reranker(first_tokens)] * replicas, max_wait=1e6)
    for i in range(20):
        ask(engine, finished, *range(i, i + 10))
    done = [finished.get(timeout=60) for _ in range(20)]
    engine.close()
    assert sorted(request.results.array[0] for request in done) == list(range(20))
    for request in done:
        scores = request.results.array
        np.testing.assert_array_equal(scores, scores[0] + np.arange(10))


def test_closing_scores_what_was_accepted(finished):
    gate = threading.Event()
    held = threading.Event()

    def waiting(tokens):
        if held.is_set():
            gate.wait(10)
        return first_tokens(tokens)

    engine = Engine([reranker(waiting)], max_wait=1e6)
    held.set()
    for i in range(5):
        ask(engine, finished, i)
    threading.Timer(0.05, gate.set).start()
    engine.close()
    assert sorted(finished.get_nowait().results.array[0] for _ in range(5)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("when", ["while it is given to the device", "when it is waited for"])
def test_a_batch_that_fails_fails_its_requests_only(when, finished):
    class Broken:
        def __array__(self, *args, **kwargs):
            raise MemoryError("no room")

    def scores(tokens):
        if 13 not in tokens:
            return first_tokens(tokens)
        if when == "while it is given to the device":
            raise MemoryError("no room")
        return Broken()

    engine = Engine([reranker(scores)], max_wait=1e6)
    bad = ask(engine, finished, *[13] * 30)
    assert finished.get(timeout=60) is bad and isinstance(bad.error, MemoryError)
    good = ask(engine, finished, 5)
    assert finished.get(timeout=60) is good and good.error is None
    engine.close()
    assert engine.queue.tokens == 0 and finished.empty()


def test_scores_that_are_not_finite_are_an_error(finished):
    def scores(tokens):
        return np.where(tokens[:, 0] == 13, np.nan, 1.0)

    engine = Engine([reranker(scores)], max_wait=1e6)
    bad = ask(engine, finished, 13)
    finished.get(timeout=60)
    engine.close()
    assert "not finite" in str(bad.error)


def test_batches_are_counted(finished):
    seen = []
    engine = Engine([reranker(first_tokens)], 1e6, seen.append)
    ask(engine, finished, 1, 2, 3)
    finished.get(timeout=60)
    engine.close()
    assert [(batch.rows, batch.used, batch.size) for batch in seen] == [(3, 60, 128)]


def test_the_queue_holds_the_work_of_some_seconds():
    engine = Engine([reranker(first_tokens)], max_wait=2.0)
    assert engine.queue.limit == pytest.approx(2 * engine.rate, rel=1e-6, abs=1)
    engine.close()
