"""Passes over many objects in one transaction: one batch at a time, and an object at fault stops no other."""

import asyncio

import pytest

from jeroboam.conductor.batches import MAX_OBJECTS, Batches
from jeroboam.store import StoreUnavailable
from tests.clock import settle


class Work:
    """Holds each batch until it may go on."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.leave = asyncio.Semaphore(0)
        self.faulty: set[str] = set()
        self.error: Exception = ValueError("a bug")

    def let_all_go(self) -> None:
        for _ in range(100):
            self.leave.release()

    async def run(self, keys):
        self.batches.append(list(keys))
        await self.leave.acquire()
        if self.faulty & set(keys):
            raise self.error
        return {key: float(len(key)) for key in keys}


@pytest.fixture
def work():
    return Work()


def start(batches: Batches, keys) -> dict[str, asyncio.Task]:
    return {key: asyncio.ensure_future(batches.run(key)) for key in keys}


async def gather(work: Work, keys) -> dict[str, asyncio.Task]:
    """These keys wait for one batch, while the batch of another key is worked on."""
    batches = Batches(work.run)
    first = start(batches, ["first"])
    await settle()
    tasks = start(batches, keys)
    await settle()
    work.leave.release()
    await first["first"]
    await settle()
    assert work.batches.pop(0) == ["first"]
    return tasks


async def test_what_comes_while_a_batch_is_worked_on_is_the_next_batch(work):
    tasks = await gather(work, ["a", "bb", "ccc"])
    work.let_all_go()
    assert {key: await task for key, task in tasks.items()} == {"a": 1, "bb": 2, "ccc": 3}
    assert work.batches == [["a", "bb", "ccc"]]


async def test_a_batch_has_a_limit(work):
    tasks = await gather(work, [f"k{number}" for number in range(MAX_OBJECTS + 5)])
    work.let_all_go()
    await asyncio.gather(*tasks.values())
    assert [len(batch) for batch in work.batches] == [MAX_OBJECTS, 5]


async def test_an_object_at_fault_stops_no_other(work):
    work.faulty = {"b"}
    tasks = await gather(work, ["a", "b", "c"])
    work.let_all_go()
    results = await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert results == [1, work.error, 1]
    assert work.batches == [["a", "b", "c"], ["a"], ["b"], ["c"]]


async def test_without_the_store_no_object_is_tried_alone(work):
    work.faulty, work.error = {"a"}, StoreUnavailable("it does not answer")
    tasks = await gather(work, ["a", "b", "c"])
    work.let_all_go()
    assert await asyncio.gather(*tasks.values(), return_exceptions=True) == [work.error] * 3
    assert len(work.batches) == 1


async def test_the_others_go_on_when_the_one_that_runs_the_batch_is_cancelled(work):
    tasks = await gather(work, ["a", "b", "c"])
    tasks["a"].cancel()
    tasks["b"].cancel()
    await settle()
    work.let_all_go()
    assert await tasks["c"] == 1
    assert work.batches == [["a", "b", "c"], ["c"]]
    for key in "ab":
        with pytest.raises(asyncio.CancelledError):
            await tasks[key]
