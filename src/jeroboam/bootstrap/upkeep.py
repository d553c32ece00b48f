"""Maintenance of an installation from outside its service: show it, examine the machine, remove it.

The removal covers the Engine that `DOCKER_HOST` names now, and the state folder: the state does not remember the
Engine. Rows in a PostgreSQL of the operator's stay there. Neighbours: `cli`; `state`; `drivers`.
"""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

from jeroboam.bootstrap import drivers
from jeroboam.bootstrap.database import open_store
from jeroboam.bootstrap.state import StateFolder
from jeroboam.clients.docker import asks_registry, connect, translate_errors
from jeroboam.domain.conditions import Condition
from jeroboam.domain.errors import DriverError
from jeroboam.domain.hosts import Host, ServiceRecord
from jeroboam.kit.clock import SystemClock
from jeroboam.runtimes.base import SupportsCleanup, SupportsClose
from jeroboam.settings import Settings

MIN_FREE_GIB = 5
PROBE_IMAGE = "hello-world"
REGISTRY_SECONDS = 10.0


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


async def read_summary(settings: Settings) -> InstallationSummary:
    """Return the summary, read from the store. The service need not run.

    Raises `ValueError` that names the database if it cannot be read.
    """
    async with open_store(settings) as store, store.read() as tx:
        clusters = await tx.clusters.select()
        groups = await tx.nodegroups.groups_of(*[cluster.uuid for cluster in clusters])
        sizes = {uuid: sum(group.spec.node_count for group in members) for uuid, members in groups.items()}
        containers = await tx.containers.select()
        hosts, services = await tx.hosts.select(), await tx.services.select()
    return InstallationSummary(
        clusters=tuple(
            ObjectSummary(
                uuid=cluster.uuid,
                name=cluster.name,
                status=cluster.status,
                reason=cluster.status_reason or "",
                size=f"{sizes[cluster.uuid]} nodes",
            )
            for cluster in clusters
        ),
        containers=tuple(
            ObjectSummary(
                uuid=container.uuid,
                name=container.name,
                status=container.status,
                reason=container.status_reason or "",
                size=f"{container.spec.cpu:g} cores, {container.spec.memory} MiB",
            )
            for container in containers
        ),
        hosts=tuple(hosts),
        services=tuple(services),
    )


async def examine(settings: Settings) -> list[Condition]:
    """Return what on this machine limits the service, as conditions; status True means no limit."""
    conditions: list[Condition] = []
    for name, provider in drivers.make_providers(settings, "doctor", SystemClock()).items():
        try:
            conditions += await provider.limits()
        except DriverError as error:
            conditions.append(
                Condition(type=f"{name.title()}Provider", status=False, reason="Unreachable", message=error.reason)
            )
        finally:
            await provider.close()
    conditions += [await _check_registry(settings), await asyncio.to_thread(_check_disk, settings.state)]
    return conditions


async def _check_registry(settings: Settings) -> Condition:
    """Return whether the Engine can pull images from its default registry, as a condition."""
    try:
        docker = connect(settings.docker_url)
        try:
            with translate_errors("asking the Engine for a registry"):
                trouble = await asyncio.wait_for(asks_registry(docker, PROBE_IMAGE), REGISTRY_SECONDS)
        finally:
            await docker.close()
    except DriverError as error:
        return Condition(type="Registry", status=None, reason="Unreachable", message=error.reason)
    except TimeoutError:
        trouble = f"no answer within {REGISTRY_SECONDS:g} s"
    if trouble is None:
        return Condition(type="Registry", status=True, reason="Answers")
    message = f"Images cannot be pulled ({trouble}): load or import them, or name a registry of your own in front."
    return Condition(type="Registry", status=False, reason="Unreachable", message=message)


def _check_disk(path: Path) -> Condition:
    free = _free_gib(path)
    has_room = free >= MIN_FREE_GIB
    message = f"{free} GiB are free in {path}" + ("" if has_room else "; free some, nodes and images need it")
    return Condition(type="StateDisk", status=has_room, reason="Enough" if has_room else "Low", message=message)


def _free_gib(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free >> 30


async def remove(settings: Settings, folder: StateFolder) -> tuple[int, int]:
    """Remove all objects of the installation, then its state. Return the numbers of clusters and of containers.

    The caller holds the folder's lock, so no object is created meanwhile. Raises `DriverError` if the Engine does not
    answer. The state is kept then, so that the command can be repeated.
    """
    clusters = containers = 0
    for provider in drivers.make_providers(settings, folder.installation(), SystemClock()).values():
        try:
            for uuid in await provider.list_owned():
                await provider.destroy(uuid)
                clusters += 1
        finally:
            await provider.close()
    runtime = drivers.make_runtime(settings, folder.installation())
    try:
        for container in await runtime.list_owned():
            await runtime.remove(container.uuid, force=True)
            containers += 1
        if isinstance(runtime, SupportsCleanup):
            # Shared objects of the removed containers are removed too.
            await runtime.tidy()
    finally:
        if isinstance(runtime, SupportsClose):
            await runtime.close()
    await asyncio.to_thread(shutil.rmtree, folder.path)
    return clusters, containers
