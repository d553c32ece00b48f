"""Passes over many objects in one transaction.

While one batch is worked on the next one gathers, so a batch is as large as the load and nothing waits for a timer.
Neighbour: `containers.loop`, where the objects of a batch share what is read of the hosts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice

from jeroboam.store import StoreUnavailable

Result = float | None
"""In how many seconds to look again, or None."""
MAX_OBJECTS = 100


class Batches:
    """Works on keys in batches, one batch at a time."""

    def __init__(self, work: Callable[[Sequence[str]], Awaitable[Mapping[str, Result]]]) -> None:
        """`work` returns a result for each key. If it raises it has changed nothing."""
        self._work = work
        self._waiting: dict[str, asyncio.Future[Result]] = {}
        self._turn = asyncio.Lock()

    async def run(self, key: str) -> Result:
        """Work on the key in the next batch. Raises what its work raises."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        try:
            async with self._turn:
                # Turns are taken in order of arrival, so this key is among the first or was in another one's batch.
                if not future.done():
                    await self._run_batch()
            return future.result()
        finally:
            if self._waiting.get(key) is future:
                del self._waiting[key]
            future.cancel()

    async def _run_batch(self) -> None:
        batch = dict(islice(self._waiting.items(), MAX_OBJECTS))
        try:
            results = await self._work(list(batch))
        except StoreUnavailable as error:
            self._finish(batch, error)
        except Exception as error:  # noqa: BLE001  (whoever waits for the key gets it)
            if len(batch) == 1:
                self._finish(batch, error)
                return
            # One of them is at fault. Alone, it stops no other.
            for key, future in batch.items():
                await self._run_alone(key, future)
        else:
            for key, future in batch.items():
                self._finish({key: future}, results[key])

    async def _run_alone(self, key: str, future: "asyncio.Future[Result]") -> None:
        try:
            results = await self._work([key])
        except Exception as error:  # noqa: BLE001  (whoever waits for the key gets it)
            self._finish({key: future}, error)
        else:
            self._finish({key: future}, results[key])

    def _finish(self, batch: Mapping[str, "asyncio.Future[Result]"], result: Result | Exception) -> None:
        for key, future in batch.items():
            self._waiting.pop(key, None)
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
