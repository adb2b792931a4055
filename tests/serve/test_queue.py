import numpy as np
import pytest

from t5rank.inference.batching import BatchShapes
from t5rank.serve.queue import Closed, Full, Queue, Request

SHAPES = BatchShapes(tokens=256)  # 8 rows of 32 tokens


def request(*lengths: int) -> Request:
    return Request([np.full(n, n, np.int32) for n in lengths], done=lambda _: None)


def put(queue: Queue, *lengths: int) -> Request:
    queue.reserve(sum(lengths))
    added = request(*lengths)
    queue.put(added, sum(lengths))
    return added


def drained(queue: Queue) -> list:
    batches = []
    while (batch := queue.take(wait=False)) is not None:
        batches.append(batch)
    return batches


def rows_of(batches, wanted: Request) -> list[int]:
    """In which batch each row was."""
    places = {
        int(row): place
        for place, batch in enumerate(batches)
        for owner, rows in batch.parts
        if owner is wanted
        for row in rows
    }
    return [places[i] for i in sorted(places)]


def test_every_row_is_taken_once_and_padded_to_a_shape():
    queue = Queue(SHAPES, 10_000)
    lengths = np.random.default_rng(0).integers(1, 60, 100)
    added = [put(queue, *part) for part in np.split(lengths, 7 * np.arange(1, 14))]
    batches = drained(queue)
    taken = [(id(owner), int(row)) for b in batches for owner, rows in b.parts for row in rows]
    assert sorted(taken) == sorted((id(r), i) for r in added for i in range(len(r.rows)))
    assert {batch.tokens.shape for batch in batches} <= set(SHAPES.all(64))
    for batch in batches:
        rows = [owner.rows[i] for owner, taken in batch.parts for i in taken]
        for row, padded in zip(rows, batch.tokens, strict=False):
            np.testing.assert_array_equal(padded[: len(row)], row)
            assert not padded[len(row) :].any()
        assert batch.used == sum(map(len, rows))
    assert queue.tokens == 0


def test_rows_of_several_requests_share_a_batch():
    queue = Queue(SHAPES, 10_000)
    for _ in range(8):
        put(queue, 30)
    (batch,) = drained(queue)
    assert len(batch.parts) == 8


def test_one_document_does_not_wait_for_a_thousand():
    queue = Queue(SHAPES, 100_000)
    many = put(queue, *[30] * 1000)
    queue.take(wait=False)
    one = put(queue, 20)
    batches = drained(queue)
    assert rows_of(batches, one) == [0]
    assert len(rows_of(batches, many)) == 992


def test_a_thousand_wait_for_no_more_later_work_than_their_own():
    queue = Queue(SHAPES, 10**9)
    many = put(queue, *[30] * 1000)
    served = 0
    while len(many.pending):
        put(queue, *[32] * 8)  # a stream of small requests that never ends
        served += queue.take(wait=False).used
    assert served <= 2 * 30_000 + 256


def test_requests_of_one_size_are_served_in_their_order():
    queue = Queue(SHAPES, 10_000)
    added = [put(queue, *[32] * 8) for _ in range(5)]
    batches = drained(queue)
    assert [rows_of(batches, r)[0] for r in added] == [0, 1, 2, 3, 4]


def test_requests_are_admitted_whole_or_not_at_all():
    queue = Queue(SHAPES, limit=100)
    put(queue, 30, 30)
    put(queue, *[30] * 10)
    with pytest.raises(Full):
        queue.reserve(1)
    drained(queue)
    queue.reserve(1)


@pytest.mark.parametrize("size", [1, 1000])
def test_whether_a_request_is_admitted_does_not_depend_on_its_size(size):
    queue = Queue(SHAPES, limit=100)
    queue.reserve(99)
    queue.reserve(size)
    with pytest.raises(Full):
        queue.reserve(size)


def test_what_is_dropped_makes_room():
    queue = Queue(SHAPES, limit=100)
    first = put(queue, 30, 60)
    queue.drop(first)
    assert (queue.tokens, queue.requests) == (0, 0)
    assert queue.take(wait=False) is None


def test_a_guess_is_replaced_by_what_it_was():
    queue = Queue(SHAPES, limit=1000)
    queue.reserve(500)
    queue.put(request(20), reserved=500)
    assert queue.tokens == 20
    queue.reserve(7)
    queue.release(7)
    assert queue.tokens == 20


def test_a_closed_queue_gives_what_was_admitted_and_admits_no_more():
    queue = Queue(SHAPES, limit=1000)
    queue.reserve(20)
    queue.close()
    with pytest.raises(Closed):
        queue.reserve(1)
    queue.put(request(20), reserved=20)
    assert queue.take(wait=True).used == 20
    assert queue.take(wait=True) is None
