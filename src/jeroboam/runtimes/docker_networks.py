"""The network of each project on one Docker Engine: a bridge of its own.

Containers of one project reach each other and the outside. Docker lets nothing pass from one bridge to another, so
that neither other projects nor the nodes of clusters are reached; the packet filter keeps the machine itself apart
(`clients.firewall`). Where that filter cannot be set, the network is a closed one: its containers reach each other
only. Neighbours: `docker`, which makes the containers.
"""

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from ipaddress import IPv4Network, ip_network
from typing import Any

import aiodocker
import structlog

from jeroboam.clients.addresses import connected_networks
from jeroboam.clients.docker import speaking
from jeroboam.clients.firewall import shield_host
from jeroboam.domain import subnets
from jeroboam.domain.errors import Temporary
from jeroboam.domain.marks import KIND, Kind, has_kind
from jeroboam.runtimes.docker_spec import OWNER

PROJECT = "jeroboam.project"

# Names of interfaces have at most 15 letters.
_BRIDGE = "jrb-"
_BRIDGE_LETTERS = 10
_PREFIX = 23
_TRIES = 32

log = structlog.get_logger("jeroboam.runtimes.docker")


class ProjectNetworks:
    """Makes networks when they are needed, and removes those that no container uses."""

    def __init__(self, engine: Callable[[], aiodocker.Docker], installation: str) -> None:
        self._engine = engine
        self._installation = installation
        self._making = asyncio.Lock()
        self._in_use: Counter[str] = Counter()
        self._told = False

    @asynccontextmanager
    async def of(self, project: str) -> AsyncIterator[str]:
        """The name of the project's network, which stays for as long as the context."""
        name = _network_name(self._installation, project)
        self._in_use[name] += 1
        try:
            async with self._making:
                await self._ensure(name, project)
            yield name
        finally:
            self._in_use[name] -= 1

    async def shield(self) -> None:
        """Set the rules of the packet filter again: a restart of the machine takes them away, and no network."""
        if await self._list():
            await self._shield()

    async def tidy(self) -> None:
        """Remove the networks of projects that have no container here."""
        with speaking("removing networks that nobody uses"):
            networks = await self._list()
            wanted = {"label": [f"{OWNER}={self._installation}"]}
            containers = await self._engine().containers.list(all=True, filters=wanted) if networks else []
            used = {container["HostConfig"]["NetworkMode"] for container in containers}
            for network in networks:
                name = network["Name"]
                async with self._making:
                    if name not in used and not self._in_use[name]:
                        await self._remove(network["Id"])

    async def _remove(self, ident: str) -> None:
        try:
            await (await self._engine().networks.get(ident)).delete()
        except aiodocker.DockerError as error:
            # Something of somebody else's is attached to it, or it is gone.
            if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT}:
                raise

    async def _list(self) -> list[dict[str, Any]]:
        wanted = {"label": [f"{OWNER}={self._installation}", f"{KIND}={Kind.PROJECT_NETWORK}"]}
        with speaking("listing the networks of projects"):
            listed = await self._engine().networks.list(filters=wanted)
        return [network for network in listed if self._is_ours(network)]

    def _is_ours(self, network: dict[str, Any]) -> bool:
        labels = network["Labels"] or {}
        named = network["Name"] == _network_name(self._installation, labels.get(PROJECT, ""))
        return named and has_kind(labels, Kind.PROJECT_NETWORK)

    async def _ensure(self, name: str, project: str) -> None:
        with speaking("making the project's network"):
            networks = await self._engine().networks.list()
            if any(network["Name"] == name and self._is_ours(network) for network in networks):
                return
            shielded = await self._shield()
            used = [subnet for network in networks for subnet in _subnets(network)]
            used += [network for network in connected_networks() if isinstance(network, IPv4Network)]
            candidates = subnets.list_candidates(name, _PREFIX, used, subnets.PROJECTS)
            for subnet, _ in zip(candidates, range(_TRIES), strict=False):
                try:
                    await self._engine().networks.create(self._config(name, project, subnet, shielded=shielded))
                except aiodocker.DockerError as error:
                    if "overlap" in error.message.lower():
                        continue
                    raise
                return
        raise Temporary(f"no free subnet for the project's network was found in {subnets.PROJECTS}")

    async def _shield(self) -> bool:
        info = await self._engine().system.info()
        # A filter on this machine is of no use to containers on another.
        here = info.get("Name") == os.uname().nodename
        shielded = here and await shield_host(_BRIDGE)
        if not shielded and not self._told:
            self._told = True
            log.warning("containers get closed networks: no packet filter can be set for them on the Engine's machine")
        return shielded

    def _config(self, name: str, project: str, subnet: IPv4Network, *, shielded: bool) -> dict[str, Any]:
        digest = hashlib.sha256(name.encode()).hexdigest()[:_BRIDGE_LETTERS]
        options = {"com.docker.network.bridge.name": f"{_BRIDGE}{digest}"}
        if not shielded:
            # A bridge without an address of its own leads nowhere.
            options["com.docker.network.bridge.inhibit_ipv4"] = "true"
        return {
            "Name": name,
            "CheckDuplicate": True,
            "Driver": "bridge",
            "Internal": not shielded,
            "IPAM": {"Config": [{"Subnet": str(subnet), "Gateway": str(subnet.network_address + 1)}]},
            "Options": options,
            "Labels": {KIND: Kind.PROJECT_NETWORK.value, OWNER: self._installation, PROJECT: project},
        }


def _network_name(installation: str, project: str) -> str:
    """The Engine's name for the project's network: of letters that it takes, whatever the project is called."""
    return f"jeroboam-project-{hashlib.sha256(f'{installation} {project}'.encode()).hexdigest()[:16]}"


def _subnets(network: dict[str, Any]) -> list[IPv4Network]:
    configs = (network["IPAM"] or {}).get("Config") or ()
    known = [ip_network(config["Subnet"], strict=False) for config in configs if config.get("Subnet")]
    return [subnet for subnet in known if isinstance(subnet, IPv4Network)]
