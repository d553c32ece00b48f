"""The network of each project on one Docker Engine: a bridge of its own.

Containers of one project reach each other and the outside. Docker drops packets between bridges, so containers reach
neither other projects nor the nodes of clusters; the packet filter protects the machine itself (`clients.firewall`). If
that filter cannot be set, the network is closed: its containers reach each other only. An open network from the time
when the filter was set gets no new containers; as soon as nothing runs on it, it is replaced by a closed one, and vice
versa. The network's `Internal` on the Engine says whether it is open. Neighbours: `runtime`, which creates the
containers.
"""

import asyncio
import hashlib
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from ipaddress import IPv4Network, ip_network
from typing import Any

import structlog

from jeroboam.clients.addresses import HostRoute, list_routes
from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.clients.docker_types import DockerContainer, DockerError
from jeroboam.clients.firewall import shield_host
from jeroboam.domain import subnets
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.domain.owner_labels import KIND, ObjectKind, has_kind
from jeroboam.runtimes.docker.spec import OWNER, PROJECT

# Names of interfaces have at most 15 letters.
_BRIDGE = "jrb-"
_BRIDGE_LETTERS = 10
_PREFIX = 23
_TRIES = 32
_NO_NETWORK = re.compile(r"\bnetwork \S+ not found")

# How long a check of the packet filter's rules is valid.
_SHIELD_SECONDS = 10.0
_AT_REST = frozenset({"created", "exited", "dead"})
_EXPOSED = (
    "the project's network is an open one, and the packet filter that keeps its containers from the machine cannot be "
    "set any more; when none of the project's containers runs here, the network is recreated as a closed one"
)

log = structlog.get_logger("jeroboam.runtimes.docker.runtime")


class ProjectNetworks:
    """Creates networks when they are needed, and removes those that no container uses."""

    def __init__(self, engine: Callable[[], DockerClient], installation: str) -> None:
        self._engine = engine
        self._installation = installation
        self._making = asyncio.Lock()
        self._in_use: Counter[str] = Counter()
        self._looking = asyncio.Lock()
        self._look_again_at = 0.0
        self._missing: Sequence[str] | None = None
        """Why the packet filter could not be set at the last check; None before the first check."""
        self._exposing: frozenset[str] = frozenset()

    @asynccontextmanager
    async def hold_network(self, project: str) -> AsyncIterator[str]:
        """Create the project's network and yield its name; it is not removed while the context is open.

        Raises `Temporary` while an open network is in use and the packet filter does not protect the machine.
        """
        name = _network_name(self._installation, project)
        async with self._making:
            await self._ensure_network(name, project)
            self._in_use[name] += 1
        try:
            yield name
        finally:
            self._in_use[name] -= 1

    @asynccontextmanager
    async def hold_rejoined(self, container: DockerContainer) -> AsyncIterator[None]:
        """Attach a container that does not run to its project's present network.

        The network may have been removed or replaced since the container was created.
        """
        details = await container.show()
        if details["State"]["Running"]:
            yield
            return
        project = (details["Config"]["Labels"] or {}).get(PROJECT, "")
        # A project label may come from an image: then the name of the network does not match.
        if details["HostConfig"]["NetworkMode"] != _network_name(self._installation, project):
            raise Permanent("its network is gone, and it does not say whose it was: delete it and create it again")
        async with self.hold_network(project) as name:
            network = await self._engine().networks.get(name)
            endpoint = (details["NetworkSettings"]["Networks"] or {}).get(name) or {}
            if endpoint.get("NetworkID") != (await network.show())["Id"]:
                await network.disconnect({"Container": container.id, "Force": True})
                await network.connect({"Container": container.id})
            yield

    async def is_shielded(self, *, fresh: bool = False) -> bool:
        """Whether the packet filter protects the Engine's machine; a recent check is reused unless `fresh`.

        It sets the rules again: a restart of the machine removes them, but not the networks.
        """
        loop = asyncio.get_running_loop()
        async with self._looking:
            if fresh or self._missing is None or loop.time() >= self._look_again_at:
                missing = await self._set_packet_filter()
                self._look_again_at = loop.time() + _SHIELD_SECONDS
                if missing and missing != self._missing:
                    log.warning(
                        "containers get closed networks: the packet filter of the Engine's machine is not set for them",
                        missing=missing,
                    )
                elif self._missing and not missing:
                    log.info("containers get open networks: the packet filter of the Engine's machine is set for them")
                self._missing = missing
            return not self._missing

    async def tidy(self) -> None:
        """Set the packet filter again if there are networks, and remove those of projects without containers here.

        A network that cannot be removed does not stop the others; the first failure is raised in the end.
        """
        networks = await self._list_networks()
        if not networks:
            return
        self._log_exposed_networks(networks, is_shielded=await self.is_shielded(fresh=True))
        used_names = {container["HostConfig"]["NetworkMode"] for container in await self._list_containers()}
        failures = []
        for network in networks:
            if network["Name"] not in used_names:
                try:
                    await self._remove_unused(network)
                except DriverError as error:
                    failures.append(error)
        if failures:
            raise failures[0]

    def _log_exposed_networks(self, networks: Sequence[dict[str, Any]], *, is_shielded: bool) -> None:
        exposing_names = frozenset(network["Name"] for network in networks if not (is_shielded or network["Internal"]))
        if exposing_names - self._exposing:
            log.error("containers on open networks may reach the Engine's machine", networks=sorted(exposing_names))
        self._exposing = exposing_names

    async def _remove_unused(self, network: dict[str, Any]) -> None:
        """Remove the network unless a container uses it meanwhile.

        The Engine itself would remove a network that only stopped containers use, which could not be started then.
        """
        name = network["Name"]
        async with self._making:
            if self._in_use[name] or any(
                container["HostConfig"]["NetworkMode"] == name for container in await self._list_containers()
            ):
                return
            await self._remove_network(network["Id"])
            del self._in_use[name]

    async def _list_containers(self) -> Sequence[DockerContainer]:
        """Return all containers of this installation, in any state."""
        filters = {"label": [f"{OWNER}={self._installation}"]}
        with translate_errors("listing containers on the networks of projects"):
            return await self._engine().containers.list(all=True, filters=filters)

    async def _remove_network(self, ident: str) -> bool:
        """Remove the network; return whether it is gone. A container of somebody else may be attached to it."""
        with translate_errors("removing the network of a project"):
            try:
                await (await self._engine().networks.get(ident)).delete()
            except DockerError as error:
                if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT}:
                    raise
                return error.status == HTTPStatus.NOT_FOUND
        return True

    async def _list_networks(self) -> list[dict[str, Any]]:
        filters = {"label": [f"{OWNER}={self._installation}", f"{KIND}={ObjectKind.PROJECT_NETWORK}"]}
        with translate_errors("listing the networks of projects"):
            networks = await self._engine().networks.list(filters=filters)
        return [network for network in networks if self._is_ours(network)]

    def _is_ours(self, network: dict[str, Any]) -> bool:
        labels = network["Labels"] or {}
        has_our_name = network["Name"] == _network_name(self._installation, labels.get(PROJECT, ""))
        return has_our_name and has_kind(labels, ObjectKind.PROJECT_NETWORK)

    async def _ensure_network(self, name: str, project: str) -> None:
        """Create the project's network unless it exists: an open one if the machine is protected, else a closed one."""
        with translate_errors("making the project's network"):
            is_shielded = await self.is_shielded()
            networks = await self._engine().networks.list()
            network = next(
                (network for network in networks if network["Name"] == name and self._is_ours(network)), None
            )
            # The Engine calls a closed network `Internal`.
            if network is not None and network["Internal"] == is_shielded and await self._remove_if_idle(network):
                networks.remove(network)
                network = None
            if network is None:
                await self._make_network(name, project, networks, is_shielded=is_shielded)
            elif not (network["Internal"] or is_shielded):
                raise Temporary(_EXPOSED)

    async def _remove_if_idle(self, network: dict[str, Any]) -> bool:
        """Remove the network if nothing runs on it; stopped containers join the next one when they are started."""
        name = network["Name"]
        containers = [
            container for container in await self._list_containers() if container["HostConfig"]["NetworkMode"] == name
        ]
        is_idle = all(container["State"] in _AT_REST and PROJECT in container["Labels"] for container in containers)
        return is_idle and not self._in_use[name] and await self._remove_network(network["Id"])

    async def _make_network(
        self, name: str, project: str, networks: Sequence[dict[str, Any]], *, is_shielded: bool
    ) -> None:
        used_subnets = list_used_subnets(networks, list_routes())
        candidates = subnets.list_candidates(name, _PREFIX, used_subnets, subnets.PROJECTS)
        for subnet, _ in zip(candidates, range(_TRIES), strict=False):
            try:
                await self._engine().networks.create(self._build_config(name, project, subnet, is_shielded=is_shielded))
            except DockerError as error:
                if "overlap" in error.message.lower():
                    continue
                raise
            return
        raise Temporary(f"no free subnet for the project's network was found in {subnets.PROJECTS}")

    async def _set_packet_filter(self) -> tuple[str, ...]:
        """Set the rules; return why they could not be set, empty when they are."""
        # A filter on this machine does not protect another machine.
        if not await is_own_machine(self._engine()):
            return ("the Docker Engine is on another machine",)
        return await shield_host(_BRIDGE)

    def _build_config(self, name: str, project: str, subnet: IPv4Network, *, is_shielded: bool) -> dict[str, Any]:
        digest = hashlib.sha256(name.encode()).hexdigest()[:_BRIDGE_LETTERS]
        options = {"com.docker.network.bridge.name": f"{_BRIDGE}{digest}"}
        if not is_shielded:
            # A bridge without an address routes nothing.
            options["com.docker.network.bridge.inhibit_ipv4"] = "true"
        return {
            "Name": name,
            "CheckDuplicate": True,
            "Driver": "bridge",
            "Internal": not is_shielded,
            "IPAM": {"Config": [{"Subnet": str(subnet), "Gateway": str(subnet.network_address + 1)}]},
            "Options": options,
            "Labels": {KIND: ObjectKind.PROJECT_NETWORK.value, OWNER: self._installation, PROJECT: project},
        }


async def is_own_machine(engine: DockerClient) -> bool:
    """Whether the Engine runs on the machine of this process."""
    with translate_errors("asking the Engine for its machine"):
        info = await engine.system.info()
    return bool(info.get("Name") == os.uname().nodename)


def list_used_subnets(networks: Iterable[dict[str, Any]], routes: Iterable[HostRoute]) -> list[IPv4Network]:
    """Return the subnets that a new network may not overlap: the Engine's networks and the routes of this machine.

    A route through a gateway to the whole pool, such as `10.0.0.0/8` to a company's network, is ignored like a default
    route: otherwise no subnet would be free.
    """
    used_subnets = [subnet for network in networks for subnet in _subnets_of(network)]
    return used_subnets + [
        route.network for route in routes if not (route.has_gateway and subnets.PROJECTS.subnet_of(route.network))
    ]


def _network_name(installation: str, project: str) -> str:
    """Return the name of the project's network on the Engine, valid for any name of a project."""
    return f"jeroboam-project-{hashlib.sha256(f'{installation} {project}'.encode()).hexdigest()[:16]}"


def _subnets_of(network: dict[str, Any]) -> list[IPv4Network]:
    configs = (network["IPAM"] or {}).get("Config") or ()
    subnets_of_network = [ip_network(config["Subnet"], strict=False) for config in configs if config.get("Subnet")]
    return [subnet for subnet in subnets_of_network if isinstance(subnet, IPv4Network)]


async def start_unless_detached(container: DockerContainer) -> bool:
    """Start the container; return False when its network is gone."""
    try:
        await container.start()
    except DockerError as error:
        if error.status == HTTPStatus.NOT_FOUND and _NO_NETWORK.search(error.message):
            return False
        raise
    return True
