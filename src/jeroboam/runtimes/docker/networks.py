"""The network of each project on one Docker Engine: a bridge of its own.

Containers of one project reach each other and the outside. Docker drops packets between bridges, so containers reach
neither other projects nor the nodes of clusters; the packet filter protects the machine itself (`clients.firewall`). If
that filter cannot be set, the network is closed: its containers reach each other only. An open network from the time
when the filter was set gets no new containers; as soon as nothing runs on it, it is replaced by a closed one, and vice
versa. The network's `Internal` on the Engine says whether it is open. Neighbours: `runtime`, which creates the
containers.
"""

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from ipaddress import IPv4Network
from typing import Any

import structlog

from jeroboam.clients import docker as client
from jeroboam.clients.addresses import list_routes
from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.clients.docker_types import DockerContainer, DockerError
from jeroboam.clients.firewall import shield_host
from jeroboam.domain import subnets
from jeroboam.domain.bridges import PREFIX
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.domain.host_ports import HostPort
from jeroboam.domain.networks import find_overlap
from jeroboam.runtimes.base import NetworkMissing
from jeroboam.runtimes.docker.bridges import (
    BridgePlan,
    build_config,
    build_endpoint,
    has_our_name,
    is_of_ports,
    is_ours,
    is_project_network,
    list_networks_of,
    list_subnets_of,
    list_used_subnets,
    plan_network,
    plan_project_network,
)
from jeroboam.runtimes.docker.spec import OWNER, PROJECT

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
        async with self.hold(plan_project_network(self._installation, project)) as name:
            yield name

    @asynccontextmanager
    async def hold(self, plan: BridgePlan) -> AsyncIterator[str]:
        """Create the network that is planned and yield its name, as `hold_network` does."""
        async with self._making:
            await self._ensure_network(plan)
            self._in_use[plan.name] += 1
        try:
            yield plan.name
        finally:
            self._in_use[plan.name] -= 1

    @asynccontextmanager
    async def hold_first(
        self, body: dict[str, Any], name: str, project: str, ports: Sequence[HostPort]
    ) -> AsyncIterator[None]:
        """Create the network that a container is created on, and write it into the body of the request."""
        plan = (
            plan_network(self._installation, project, ports[0])
            if ports
            else plan_project_network(self._installation, project)
        )
        async with self.hold(plan) as network:
            body["HostConfig"]["NetworkMode"] = network
            if ports:
                body["NetworkingConfig"] = {"EndpointsConfig": {network: build_endpoint(ports[0], name)}}
            yield

    async def plug_others(self, container: DockerContainer, name: str, project: str, ports: Sequence[HostPort]) -> None:
        """Put the container on the networks beside the first: the Engine creates a container on one."""
        if len(ports) > 1:
            await self.plug(container, name, project, ports)

    @asynccontextmanager
    async def hold_ports(self, project: str, ports: Sequence[HostPort]) -> AsyncIterator[dict[str, HostPort]]:
        """Create the networks of the ports and yield the ports by the names of these; without ports the project's."""
        async with AsyncExitStack() as stack:
            plans = [(plan_network(self._installation, project, port), port) for port in ports]
            yield {await stack.enter_async_context(self.hold(plan)): port for plan, port in plans}

    async def plug(self, container: DockerContainer, name: str, project: str, ports: Sequence[HostPort]) -> None:
        """Have the container on exactly the networks of these ports, with their addresses."""
        async with self.hold_ports(project, ports) as by_network:
            endpoints = ((await container.show())["NetworkSettings"] or {}).get("Networks") or {}
            for network in endpoints.keys() - by_network.keys():
                if has_our_name(network):
                    await self._disconnect(container, network)
            for network, port in by_network.items():
                network_id = (await (await self._engine().networks.get(network)).show())["Id"]
                if _is_plugged(endpoints.get(network), network_id, port):
                    continue
                if network in endpoints:
                    await self._disconnect(container, network)
                body = {"Container": container.id, "EndpointConfig": build_endpoint(port, name)}
                await client.post(self._engine(), f"networks/{network}/connect", body)

    async def _disconnect(self, container: DockerContainer, network: str) -> None:
        try:
            body = {"Container": container.id, "Force": True}
            await client.post(self._engine(), f"networks/{network}/disconnect", body)
        except DockerError as error:
            is_gone = "is not connected" in error.message or _NO_NETWORK.search(error.message)
            if error.status != HTTPStatus.NOT_FOUND and not is_gone:
                raise

    @asynccontextmanager
    async def hold_rejoined(self, container: DockerContainer) -> AsyncIterator[None]:
        """Attach a container that does not run to its project's present network.

        The network may have been removed or replaced since the container was created. Raises `NetworkMissing` for such
        a network of ports: the caller knows the ports.
        """
        details = await container.show()
        if details["State"]["Running"]:
            yield
            return
        if not is_project_network(details["HostConfig"]["NetworkMode"]):
            await self._check_networks((details["NetworkSettings"] or {}).get("Networks") or {})
            yield
            return
        project = (details["Config"]["Labels"] or {}).get(PROJECT, "")
        # A project label may come from an image: then the name of the network does not match.
        if details["HostConfig"]["NetworkMode"] != plan_project_network(self._installation, project).name:
            raise Permanent("its network is gone, and it does not say whose it was: delete it and create it again")
        async with self.hold_network(project) as name:
            network = await self._engine().networks.get(name)
            endpoint = (details["NetworkSettings"]["Networks"] or {}).get(name) or {}
            if endpoint.get("NetworkID") != (await network.show())["Id"]:
                await network.disconnect({"Container": container.id, "Force": True})
                await network.connect({"Container": container.id})
            yield

    async def _check_networks(self, endpoints: Mapping[str, Any]) -> None:
        """Raise `NetworkMissing` unless all these networks are there and may get a container that starts."""
        is_shielded = await self.is_shielded()
        networks = {network["Name"]: network for network in await self._list_networks()}
        for name, endpoint in endpoints.items():
            if not has_our_name(name):
                continue
            network = networks.get(name)
            is_open = network is not None and not network["Internal"]
            # A container that has never run names its networks by their names alone.
            if network is None or endpoint["NetworkID"] not in {"", network["Id"]} or (is_open and not is_shielded):
                raise NetworkMissing("a network of the container has to be made anew")

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
        used_names = {name for container in await self._list_containers() for name in list_networks_of(container)}
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
                name in list_networks_of(container) for container in await self._list_containers()
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
        filters = {"label": [f"{OWNER}={self._installation}"]}
        with translate_errors("listing the networks of projects"):
            networks = await self._engine().networks.list(filters=filters)
        return [network for network in networks if is_ours(self._installation, network)]

    async def _ensure_network(self, plan: BridgePlan) -> None:
        """Create the network unless it exists: an open one if the machine is protected, else a closed one."""
        name = plan.name
        with translate_errors("making the project's network"):
            is_shielded = await self.is_shielded()
            networks = await self._engine().networks.list()
            network = next(
                (network for network in networks if network["Name"] == name and is_ours(self._installation, network)),
                None,
            )
            # The Engine calls a closed network `Internal`.
            if network is not None and network["Internal"] == is_shielded and await self._remove_if_idle(network):
                networks.remove(network)
                network = None
            if network is None:
                await self._make_network(plan, networks, is_shielded=is_shielded)
            elif not (network["Internal"] or is_shielded):
                raise Temporary(_EXPOSED)

    async def _remove_if_idle(self, network: dict[str, Any]) -> bool:
        """Remove the network if nothing runs on it; stopped containers join the next one when they are started."""
        name = network["Name"]
        containers = [container for container in await self._list_containers() if name in list_networks_of(container)]
        is_idle = all(container["State"] in _AT_REST and PROJECT in container["Labels"] for container in containers)
        return is_idle and not self._in_use[name] and await self._remove_network(network["Id"])

    async def _make_network(
        self, plan: BridgePlan, networks: Sequence[Mapping[str, Any]], *, is_shielded: bool
    ) -> None:
        if plan.subnet is not None:
            networks = await self._clear_way(plan.subnet, networks)
            routes = [route.network for route in list_routes() if not route.has_gateway]
            used_subnets = [str(subnet) for network in networks for subnet in list_subnets_of(network)]
            if overlap := find_overlap(plan.subnet, [*used_subnets, *map(str, routes)]):
                raise Permanent(f"subnet {plan.subnet} overlaps {overlap}, which the Engine's machine uses already")
            await self._engine().networks.create(build_config(plan, plan.subnet, is_shielded=is_shielded))
            return
        candidates = subnets.list_candidates(
            plan.name, _PREFIX, list_used_subnets(networks, list_routes()), subnets.PROJECTS
        )
        for subnet, _ in zip(candidates, range(_TRIES), strict=False):
            try:
                await self._engine().networks.create(build_config(plan, subnet, is_shielded=is_shielded))
            except DockerError as error:
                if "overlap" in error.message.lower():
                    continue
                raise
            return
        raise Temporary(f"no free subnet for the project's network was found in {subnets.PROJECTS}")

    async def _clear_way(
        self, subnet: IPv4Network, networks: Sequence[Mapping[str, Any]]
    ) -> Sequence[Mapping[str, Any]]:
        """Remove networks of projects that are in the way and have no container any more. Return those that remain.

        A network that a user has deleted stays until the next `tidy`. Raises `Temporary` while containers use it.
        """
        in_the_way = [
            network
            for network in networks
            if is_ours(self._installation, network)
            and is_of_ports(network)
            and any(other.overlaps(subnet) for other in list_subnets_of(network))
        ]
        for network in in_the_way:
            containers = await self._list_containers()
            is_used = any(network["Name"] in list_networks_of(container) for container in containers)
            if is_used or self._in_use[network["Name"]] or not await self._remove_network(network["Id"]):
                raise Temporary(f"a former network with subnet {subnet} still has containers on this host")
        return [network for network in networks if network not in in_the_way]

    async def _set_packet_filter(self) -> tuple[str, ...]:
        """Set the rules; return why they could not be set, empty when they are."""
        # A filter on this machine does not protect another machine.
        if not await is_own_machine(self._engine()):
            return ("the Docker Engine is on another machine",)
        return await shield_host(PREFIX)


async def is_own_machine(engine: DockerClient) -> bool:
    """Whether the Engine runs on the machine of this process."""
    with translate_errors("asking the Engine for its machine"):
        info = await engine.system.info()
    return bool(info.get("Name") == os.uname().nodename)


async def start_unless_detached(container: DockerContainer) -> bool:
    """Start the container; return False when its network is gone."""
    try:
        await container.start()
    except DockerError as error:
        if error.status == HTTPStatus.NOT_FOUND and _NO_NETWORK.search(error.message):
            return False
        raise
    return True


def _is_plugged(endpoint: Mapping[str, Any] | None, network_id: str, port: HostPort) -> bool:
    """Whether the container's end is on that very network, with the port's address."""
    if endpoint is None or endpoint["NetworkID"] not in {"", network_id}:
        return False
    return bool((endpoint.get("IPAMConfig") or {}).get("IPv4Address") == port.address)
