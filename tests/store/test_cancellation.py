"""A write that is cancelled, as a loop does with work whose wish was replaced, lets go of the database at once."""

import asyncio

import pytest

from tests import builders


async def test_a_cancelled_write_holds_no_lock(store):
    container = builders.container()
    async with store.write() as tx:
        await tx.containers.insert(container)

    async def look(has_begun: asyncio.Event) -> None:
        async with store.write() as tx:
            has_begun.set()
            while True:
                await tx.containers.get(container.uuid)

    # Their tracebacks have the cursors that were at work: while somebody keeps them, as a log may, those are open.
    kept = []
    for passes in range(0, 60, 3):
        has_begun = asyncio.Event()
        task = asyncio.ensure_future(look(has_begun))
        await has_begun.wait()
        for _ in range(passes):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        kept.append(cancelled)
        async with asyncio.timeout(5), store.write() as tx:
            await tx.containers.update(container)
