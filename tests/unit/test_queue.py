"""The keyed queue: one piece of work a key at a time, many keys at once, later again after a failure."""

import asyncio

import pytest

from jeroboam.kit.queue import KeyedQueue
from tests.clock import ManualClock, settle


class Worker:
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.again: dict[str, float] = {}
        self.errors: list[str] = []
        self.raises: set[str] = set()

    async def handle(self, key: str) -> float | None:
        self.started.append(key)
        if key in self.gates:
            await self.gates[key].wait()
        if key in self.raises:
            raise RuntimeError(key)
        return self.again.pop(key, None)

    def on_error(self, what: str, error: BaseException) -> None:
        self.errors.append(f"{what}: {error}")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
async def queue(clock, worker):
    queue = KeyedQueue("q", worker.handle, clock=clock, parallel=2, on_error=worker.on_error)
    running = asyncio.ensure_future(queue.run())
    yield queue
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_key_added_often_while_it_waits_is_worked_on_once(queue, worker):
    for _ in range(5):
        queue.add("a")
    await settle()
    assert worker.started == ["a"]
    assert len(queue) == 0


async def test_a_key_added_while_it_is_worked_on_is_worked_on_once_more_afterwards(queue, worker):
    worker.gates["a"] = asyncio.Event()
    queue.add("a")
    await settle()
    queue.add("a")
    queue.add("a")
    await settle()
    assert worker.started == ["a"]
    assert queue.is_working_on("a")
    worker.gates["a"].set()
    await settle()
    assert worker.started == ["a", "a"]


async def test_other_keys_go_on_but_no_more_than_may_at_once(queue, worker):
    for key in "abc":
        worker.gates[key] = asyncio.Event()
        queue.add(key)
    await settle()
    assert worker.started == ["a", "b"]
    worker.gates["a"].set()
    await settle()
    assert worker.started == ["a", "b", "c"]


async def test_later_means_later_and_the_earlier_of_two_wins(queue, worker, clock):
    queue.add("a", 10)
    queue.add("a", 5)
    await clock.advance(4.9)
    assert worker.started == []
    await clock.advance(0.2)
    assert worker.started == ["a"]
    await clock.advance(10)
    assert worker.started == ["a"]


async def test_what_work_returns_is_when_it_is_looked_at_again(queue, worker, clock):
    worker.again["a"] = 30.0
    queue.add("a")
    await clock.advance(29)
    assert worker.started == ["a"]
    await clock.advance(1)
    assert worker.started == ["a", "a"]


async def test_a_failure_is_reported_and_waited_out_longer_each_time(queue, worker, clock):
    worker.raises.add("a")
    queue.add("a")
    await clock.advance(0.5)
    assert worker.errors == ["q:a: a"]
    for count, wait in enumerate((1, 2, 4), start=2):
        await clock.advance(wait - 0.6)
        assert len(worker.errors) == count - 1
        await clock.advance(0.6)
        assert len(worker.errors) == count
    worker.raises.clear()
    await clock.advance(8)
    assert len(worker.errors) == 4
    assert worker.started.count("a") == 5


async def test_the_end_of_the_queue_ends_its_work(clock, worker):
    queue = KeyedQueue("q", worker.handle, clock=clock, parallel=2, on_error=worker.on_error)
    worker.gates["a"] = asyncio.Event()
    running = asyncio.ensure_future(queue.run())
    queue.add("a")
    await settle()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not queue.is_working_on("a")
