import asyncio
import threading

import pytest

from t5rank.serve.departure import ClientGone, unless_gone
from t5rank.serve.workers import Workers, once

LONG = 1 << 20


@pytest.fixture(scope="module")
def workers():
    return Workers(threads=2)


def test_a_task_gives_its_result_or_its_error(workers):
    def failing():
        yield 1
        raise ValueError("no")

    assert asyncio.run(workers.run(once(lambda: 3), 1)) == 3
    with pytest.raises(ValueError, match="no"):
        asyncio.run(workers.run(failing(), 1))


def test_a_short_task_never_waits_for_long_pieces(workers):
    gate = threading.Event()

    async def main():
        long = [asyncio.create_task(workers.run(once(lambda: gate.wait(60)), LONG)) for _ in "abc"]
        await asyncio.sleep(0.05)
        short = await asyncio.wait_for(workers.run(once(lambda: "done"), 1), 30)
        assert not any(task.done() for task in long)
        gate.set()
        await asyncio.gather(*long)
        return short

    assert asyncio.run(main()) == "done"


def test_a_task_is_closed_when_nobody_waits_for_it(workers):
    closed, begun, gate = threading.Event(), threading.Event(), threading.Event()

    def task():
        try:
            begun.set()
            gate.wait(30)
            yield 1
            raise AssertionError("went on")
        finally:
            closed.set()

    async def main():
        gone = asyncio.Event()
        running = asyncio.create_task(unless_gone(workers.run(task(), 1), gone))
        await asyncio.to_thread(begun.wait, 30)
        gone.set()
        with pytest.raises(ClientGone):
            await running
        gate.set()
        assert await asyncio.to_thread(closed.wait, 30)

    asyncio.run(main())


def test_a_result_that_comes_too_late_is_handed_over(workers):
    begun, gate, late = threading.Event(), threading.Event(), []

    def task():
        begun.set()
        gate.wait(30)
        return "result"
        yield 0

    async def main():
        running = asyncio.create_task(workers.run(task(), 1, unclaimed=late.append))
        await asyncio.to_thread(begun.wait, 30)
        running.cancel()
        await asyncio.wait([running])
        gate.set()
        while not late:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 30))
    assert late == ["result"]
