"""Who waits for whom, simulated: a server that scores one batch at a time."""

import numpy as np
import pytest

from t5rank.inference.batching import BatchShapes
from t5rank.serve.queue import Queue, Request

SHAPES = BatchShapes(tokens=256)  # 8 rows of 32 tokens
LARGE, SMALL = [32] * 1000, [32] * 5


def put(queue: Queue, lengths, client: str = "") -> Request:
    request = Request([np.ones(n, np.int32) for n in lengths], lambda _: None, client=client)
    queue.reserve(sum(lengths))
    queue.put(request, sum(lengths))
    return request


def served_until(queue: Queue, request: Request, before_each=lambda: None) -> int:
    """Tokens that are scored until a request is done."""
    served = 0
    while len(request.pending):
        before_each()
        served += queue.take(wait=False).used
    return served


@pytest.mark.parametrize("large", [1, 4, 20])
@pytest.mark.parametrize("after", [0, 7, 400])
def test_a_small_request_waits_for_two_batches_beside_any_number_of_large_ones(large, after):
    queue = Queue(SHAPES, 10**9)
    for _ in range(large):
        put(queue, LARGE)
    for _ in range(min(after, 100 * large)):
        queue.take(wait=False)
    for _ in range(10):
        assert served_until(queue, put(queue, SMALL)) <= 2 * 256


@pytest.mark.parametrize("batches", [1, 3])
def test_a_large_request_gets_half_beside_a_flood_of_small_ones(batches):
    queue = Queue(SHAPES, 10**9)

    def flood():
        for _ in range(2 * batches):  # more than can be scored
            put(queue, SMALL)

    for _ in range(50):
        flood()
    assert served_until(queue, put(queue, LARGE), flood) <= 2.1 * sum(LARGE)


def test_sizes_of_a_flood_share_what_they_get():
    queue = Queue(SHAPES, 10**9)
    sizes = [1, 5, 20, 100, 400]  # documents: five flows beside the large one's

    def flood():
        for size in sizes:
            put(queue, [32] * size)

    flood()
    share = 1 / (len(sizes) + 1)
    assert served_until(queue, put(queue, LARGE), flood) <= 1.2 * sum(LARGE) / share


def test_clients_share_whatever_one_of_them_sends():
    queue = Queue(SHAPES, 10**9)
    for _ in range(50):
        put(queue, LARGE, "greedy")
    assert served_until(queue, put(queue, LARGE, "modest")) <= 2.1 * sum(LARGE)


def test_large_requests_of_one_client_are_served_in_their_order():
    queue = Queue(SHAPES, 10**9)
    first, second = put(queue, LARGE), put(queue, LARGE)
    served_until(queue, first)
    assert len(second.pending) == 1000


def test_what_was_dropped_holds_up_nobody():
    queue = Queue(SHAPES, 10**9)
    dropped = [put(queue, LARGE) for _ in range(50)]
    large = put(queue, LARGE)
    for request in dropped:
        queue.drop(request)
    flow = put(queue, LARGE)
    served_until(queue, large, lambda: put(queue, SMALL))
    assert served_until(queue, flow, lambda: put(queue, SMALL)) <= 2.1 * sum(LARGE)


def test_an_idle_time_is_no_credit():
    queue = Queue(SHAPES, 10**9)
    served_until(queue, put(queue, LARGE, "early"))
    first, second = put(queue, LARGE, "late"), put(queue, LARGE, "early")
    assert served_until(queue, second) <= 2.1 * sum(LARGE)
    assert len(first.pending) <= 20
