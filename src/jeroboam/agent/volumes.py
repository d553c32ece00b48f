"""Volumes on this host: provided to containers before they are made or started, removed as the server wishes.

One task a removal, which ends with a report. A report that is lost costs nothing: the server sends the wish again, and
a volume that is gone is removed at once. Neighbours: `executor`, which asks for volumes; `session`, which receives the
wishes; `jeroboam.storage`.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from jeroboam.domain.containers import ContainerSpec, list_volume_mounts
from jeroboam.domain.errors import DriverError, Permanent
from jeroboam.kit.attempts import RetryPolicy
from jeroboam.kit.clock import Clock
from jeroboam.kit.tasks import Tasks
from jeroboam.protocol.volumes import VolumeReport, VolumeWish
from jeroboam.runtimes.base import HostMount
from jeroboam.storage.base import Storage

_pause_after = RetryPolicy(first_seconds=0.2, longest_seconds=10.0).pause_after

log = structlog.get_logger(__name__)


class HostVolumes:
    """The volumes of this host. `send` drops reports while there is no session; without storage there are none."""

    def __init__(
        self, *, storage: Storage | None, clock: Clock, send: Callable[[VolumeReport], Awaitable[object]]
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._send = send
        self._removals: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks(_report)

    async def provide(self, spec: ContainerSpec) -> tuple[HostMount, ...]:
        """Return the folders that the container mounts; volumes that are not there are made."""
        mounts = list_volume_mounts(spec)
        if not mounts:
            return ()
        if self._storage is None:
            raise Permanent("this host has no storage for volumes")
        return tuple(
            [
                HostMount(
                    source=await self._storage.provide(mount.volume_id, size=mount.size),
                    destination=mount.destination,
                    is_read_only=mount.is_read_only,
                )
                for mount in mounts
            ]
        )

    def are_ready(self, spec: ContainerSpec) -> bool:
        """Whether the container can use its volumes; after a restart of the machine they have to be provided first."""
        storage = self._storage
        return storage is None or all(storage.is_ready(mount.volume_id) for mount in list_volume_mounts(spec))

    def take(self, wish: VolumeWish) -> None:
        """Begin with the removal, unless it is under way."""
        task = self._removals.get(wish.uuid)
        if task is None or task.done():
            self._removals[wish.uuid] = self._tasks.start(f"volume {wish.uuid}", self._remove(wish.uuid))

    async def close(self) -> None:
        """End all work. The server sends the wishes again."""
        await self._tasks.close()

    async def _remove(self, uuid: str) -> None:
        failures = 0
        try:
            while self._storage is not None:
                try:
                    await self._storage.remove(uuid)
                except DriverError as error:
                    failures += 1
                    await self._send(VolumeReport(uuid=uuid, error=error.reason))
                    await self._clock.sleep(_pause_after(failures))
                else:
                    await self._send(VolumeReport(uuid=uuid))
                    return
        finally:
            self._removals.pop(uuid, None)


def _report(name: str, error: BaseException) -> None:
    log.error("agent.task-failed", task=name, error=repr(error))
