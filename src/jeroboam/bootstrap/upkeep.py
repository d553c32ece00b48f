"""Maintenance of an installation from outside its service: show it, remove it.

The removal covers the Engine that `DOCKER_HOST` names now, and the state folder: the state does not remember the
Engine. Rows in a PostgreSQL of the operator's stay there. Neighbours: `cli`; `state`; `drivers`.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from jeroboam.bootstrap import drivers
from jeroboam.bootstrap.database import open_store
from jeroboam.bootstrap.state import StateFolder
from jeroboam.domain.errors import DriverError, Temporary
from jeroboam.domain.hosts import Host, ServiceRecord
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.words import format_count
from jeroboam.runtimes.base import Runtime, SupportsCleanup, SupportsClose
from jeroboam.runtimes.sandboxes import SupportsSandboxes
from jeroboam.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectSummary:
    """A cluster or a container, in short."""

    uuid: str
    name: str
    status: str
    reason: str
    size: str


@dataclass(frozen=True, kw_only=True, slots=True)
class InstallationSummary:
    """The objects of an installation."""

    clusters: tuple[ObjectSummary, ...]
    containers: tuple[ObjectSummary, ...]
    hosts: tuple[Host, ...]
    services: tuple[ServiceRecord, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """What was removed of an installation."""

    clusters: Mapping[str, str]
    """Names by uuid; empty: unknown."""
    containers: Mapping[str, str]
    known_clusters: Collection[str]
    """The uuids of these clusters, and of others that the store had."""


async def read_summary(settings: Settings) -> InstallationSummary:
    """Return the summary, read from the store. The service need not run.

    Raises `ValueError` that names the database if it cannot be read.
    """
    async with open_store(settings) as store, store.read() as tx:
        clusters = await tx.clusters.select()
        groups = await tx.nodegroups.groups_of(*[cluster.uuid for cluster in clusters])
        sizes = {uuid: sum(group.spec.node_count for group in members) for uuid, members in groups.items()}
        containers = await tx.containers.select()
        capsules = await tx.capsules.select()
        hosts, services = await tx.hosts.select(), await tx.services.select()
    return InstallationSummary(
        clusters=tuple(
            ObjectSummary(
                uuid=cluster.uuid,
                name=cluster.name,
                status=cluster.status,
                reason=cluster.status_reason or "",
                size=format_count(sizes[cluster.uuid], "node"),
            )
            for cluster in clusters
        ),
        containers=tuple(
            ObjectSummary(
                uuid=container.uuid,
                name=container.name,
                status=container.status,
                reason=container.status_reason or "",
                size=f"{format_count(container.spec.cpu, 'core')}, {container.spec.memory} MiB",
            )
            for container in containers
        )
        + tuple(
            ObjectSummary(
                uuid=capsule.uuid,
                name=capsule.name,
                status=capsule.status,
                reason=capsule.status_reason or "",
                size=f"capsule of {format_count(len(capsule.spec.members), 'container')}",
            )
            for capsule in capsules
        ),
        hosts=tuple(hosts),
        services=tuple(services),
    )


async def remove(
    settings: Settings, folder: StateFolder, show_removed: Callable[[str, str, str], None] = lambda *_: None
) -> Removal:
    """Remove all objects of the installation, then its state.

    `show_removed` receives the kind, the uuid and the name of each object as soon as it is gone. The caller holds the
    folder's lock, so no object is created meanwhile. What cannot be removed keeps the others not from it. Raises
    `DriverError` if the Engine does not answer, or in the end for what is left. The state is kept then, so that the
    command can be repeated.
    """
    names = await _read_names(settings)
    clusters: list[str] = []
    containers: list[str] = []
    faults: list[DriverError] = []
    for provider in drivers.make_providers(settings, folder.installation(), SystemClock()).values():
        try:
            for uuid in await provider.list_owned():
                with _note_fault(faults):
                    await provider.destroy(uuid)
                    clusters.append(uuid)
                    show_removed("cluster", uuid, names.clusters.get(uuid, ""))
        finally:
            await provider.close()
    runtime = drivers.make_runtime(settings, folder.installation())
    try:
        async for kind, uuid in _empty_runtime(runtime, faults):
            containers.append(uuid)
            show_removed(kind, uuid, names.containers.get(uuid, ""))
        if faults:
            left = format_count(len(faults), "object")
            raise Temporary(f"{faults[0].reason}; {left} could not be removed: run it again")
        if isinstance(runtime, SupportsCleanup):
            # Shared objects of the removed containers are removed too.
            await runtime.tidy()
        storage = drivers.make_storage(settings)
        if storage is not None:
            await storage.release()
    finally:
        if isinstance(runtime, SupportsClose):
            await runtime.close()
    networking = drivers.make_networking(settings, folder.installation())
    if networking is not None:
        # No port is left, so neither is a rule of any.
        await networking.set_ports([], is_fresh=True)
        await networking.close()
    await asyncio.to_thread(shutil.rmtree, folder.path)
    return Removal(
        clusters={uuid: names.clusters.get(uuid, "") for uuid in clusters},
        containers={uuid: names.containers.get(uuid, "") for uuid in containers},
        known_clusters=names.clusters.keys() | set(clusters),
    )


async def _empty_runtime(runtime: Runtime, faults: list[DriverError]) -> AsyncIterator[tuple[str, str]]:
    """Remove all containers and sandboxes; yield the kind and the uuid of each that is gone."""
    for container in await runtime.list_owned():
        with _note_fault(faults):
            await runtime.remove(container.uuid, force=True)
            yield "container", container.uuid
    if isinstance(runtime, SupportsSandboxes):
        for sandbox in await runtime.list_sandboxes():
            with _note_fault(faults):
                await runtime.remove_sandbox(sandbox.uuid)
                yield "capsule", sandbox.uuid


@contextlib.contextmanager
def _note_fault(faults: list[DriverError]) -> Iterator[None]:
    try:
        yield
    except DriverError as error:
        faults.append(error)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Names:
    """Names by uuid."""

    clusters: Mapping[str, str] = field(default_factory=dict)
    containers: Mapping[str, str] = field(default_factory=dict)


async def _read_names(settings: Settings) -> _Names:
    """Return the names in the store; none if it cannot be read, which keeps nobody from removing."""
    try:
        summary = await read_summary(settings)
    except ValueError:
        return _Names()
    return _Names(
        clusters={cluster.uuid: cluster.name for cluster in summary.clusters},
        containers={container.uuid: container.name for container in summary.containers},
    )
