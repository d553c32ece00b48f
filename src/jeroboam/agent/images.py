"""Pulls and removes images on this host as the server wishes, beside all work on containers.

One task an image, which ends with a report. A report that is lost costs nothing: the server sends the wish again, and a
pull or a removal that was done already ends at once. Neighbours: `session`, which receives the wishes;
`image_access`, through which images are pulled.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from jeroboam.agent.image_access import ImageAccess
from jeroboam.agent.image_pulls import PULL_SECONDS
from jeroboam.agent.worker import pause_after
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.host_images import ImageProgress, ImageStatus
from jeroboam.kit.attempts import seconds_left
from jeroboam.kit.clock import Clock
from jeroboam.kit.tasks import Tasks
from jeroboam.protocol.images import ImageReport, ImageWish
from jeroboam.runtimes.base import ImageRegistryUnreachable, Runtime, SupportsImages

log = structlog.get_logger(__name__)

REPORT_SECONDS = 2.0
"""The time between two reports of how far a pull is."""
_NO_IMAGES = "this host's runtime cannot manage images"


class ImageWorker:
    """Carries wishes for images out. `send` drops reports while there is no session."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        access: ImageAccess,
        clock: Clock,
        send: Callable[[ImageReport], Awaitable[object]],
    ) -> None:
        self._runtime = runtime
        self._access = access
        self._clock = clock
        self._send = send
        self._running: dict[str, tuple[ImageStatus, asyncio.Task[None]]] = {}
        self._tasks = Tasks(_report)

    def take(self, wish: ImageWish) -> None:
        """Begin with the wish, unless it is being carried out. It replaces another wish for the same image."""
        status, task = self._running.get(wish.uuid, (None, None))
        if task is not None and not task.done():
            if status is wish.status:
                return
            task.cancel()
        self._running[wish.uuid] = wish.status, self._tasks.start(f"image {wish.uuid}", self._work(wish, task))

    async def close(self) -> None:
        """End all work. The server sends the wishes again."""
        await self._tasks.close()

    async def _work(self, wish: ImageWish, former: asyncio.Task[None] | None) -> None:
        if former is not None:
            await asyncio.wait({former})
        try:
            if not isinstance(self._runtime, SupportsImages):
                raise Permanent(_NO_IMAGES)
            if wish.status is ImageStatus.DELETING:
                await self._remove(self._runtime, wish)
            else:
                await self._pull(self._runtime, wish)
        except Permanent as error:
            await self._tell(wish, ImageProgress(status=ImageStatus.ERROR, reason=error.reason))
        except Exception:
            log.exception("agent.bug", image=wish.uuid)
            reason = "the agent had an internal error; its log has the details"
            await self._tell(wish, ImageProgress(status=ImageStatus.ERROR, reason=reason))
        finally:
            if self._running.get(wish.uuid, (None, None))[1] is asyncio.current_task():
                del self._running[wish.uuid]

    async def _tell(self, wish: ImageWish, progress: ImageProgress) -> None:
        await self._send(ImageReport(uuid=wish.uuid, progress=progress))

    async def _remove(self, runtime: SupportsImages, wish: ImageWish) -> None:
        failures = 0
        while True:
            try:
                await runtime.remove_image(wish.reference)
            except Temporary as error:
                failures += 1
                await self._tell(wish, ImageProgress(status=ImageStatus.DELETING, reason=error.reason))
                await self._clock.sleep(pause_after(failures))
            else:
                await self._tell(wish, ImageProgress(status=ImageStatus.DELETING, is_removed=True))
                return

    async def _pull(self, runtime: SupportsImages, wish: ImageWish) -> None:
        """Pull until it is done, cannot be done, or its time is over."""
        work = self._tasks.start(f"pull {wish.uuid}", self._pull_patiently(wish))
        tasks: set[asyncio.Task[None]] = {work}
        if wish.deadline_at is not None:
            seconds = seconds_left(wish.deadline_at, self._clock.now())
            tasks.add(self._tasks.start(f"deadline of pull {wish.uuid}", self._clock.sleep(seconds)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise Permanent("the pull was not done by its deadline")
            work.result()
        finally:
            for task in tasks:
                task.cancel()
        local = await runtime.find_image(wish.reference)
        if local is None:
            raise Permanent(f"image {wish.reference} was removed from outside")
        done = ImageProgress(status=ImageStatus.AVAILABLE, image_id=local.image_id, size=local.size)
        await self._tell(wish, done)

    async def _pull_patiently(self, wish: ImageWish) -> None:
        since, failures = self._clock.monotonic(), 0
        while True:
            try:
                await self._pull_once(wish)
            except Temporary as error:
                waited = self._clock.monotonic() - since
                if isinstance(error, ImageRegistryUnreachable) and waited >= PULL_SECONDS:
                    raise Permanent(error.reason) from error
                failures += 1
                await self._tell(wish, ImageProgress(status=ImageStatus.PULLING, reason=error.reason))
                await self._clock.sleep(pause_after(failures))
            else:
                return

    async def _pull_once(self, wish: ImageWish) -> None:
        """Pull the image, and report at intervals how far it is."""
        latest: list[str] = []

        async def tell_progress() -> None:
            last = None
            while True:
                await self._clock.sleep(REPORT_SECONDS)
                if latest and latest[-1] != last:
                    last = latest[-1]
                    latest.clear()
                    await self._tell(wish, ImageProgress(status=ImageStatus.PULLING, reason=last))

        teller = self._tasks.start(f"progress {wish.uuid}", tell_progress())
        try:
            await self._access.provide(
                wish.reference, "always", project=wish.project_id, login=None, report=latest.append
            )
        finally:
            teller.cancel()


def _report(name: str, error: BaseException) -> None:
    if not isinstance(error, Permanent | Temporary):
        log.error("agent.task-failed", task=name, error=repr(error))
