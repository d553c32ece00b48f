"""What the Engine has of one installation, asked of the Engine itself, and what it tells as it happens."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass

import aiodocker

from jeroboam.clients import docker as client

LABEL = "jeroboam.installation"


@dataclass(frozen=True)
class Things:
    """Everything with an installation's label."""

    nodes: dict[str, list[dict]]
    """Node containers by cluster uuid."""
    containers: dict[str, list[dict]]
    """Users' containers by their uuid."""
    others: list[str]
    """Containers that are neither, nor the provider's own short try at what the Engine gives."""
    networks: dict[str, list[str]]
    """By cluster uuid."""
    volumes: dict[str, set[str]]
    """The nodes' uuids, by cluster uuid."""


NOTHING = Things(nodes={}, containers={}, others=[], networks={}, volumes={})


async def things(engine: aiodocker.Docker, installation: str) -> Things:
    having = {"label": [f"{LABEL}={installation}"]}
    seen = Things(nodes={}, containers={}, others=[], networks={}, volumes={})
    for found in await engine.containers.list(all=True, filters=having):
        shown, labels = found._container, found["Labels"]
        if "jeroboam.cluster" in labels:
            seen.nodes.setdefault(labels["jeroboam.cluster"], []).append(shown)
        elif "jeroboam.container" in labels:
            seen.containers.setdefault(labels["jeroboam.container"], []).append(shown)
        elif "jeroboam.probe" not in labels:
            seen.others.append(found.id)
    for network in await engine.networks.list(filters=having):
        if "jeroboam.project" in network["Labels"]:
            # It stays for a minute after its last container.
            continue
        seen.networks.setdefault(network["Labels"]["jeroboam.cluster"], []).append(network["Name"])
    for volume in (await engine.volumes.list(filters=having))["Volumes"] or ():
        labels = volume["Labels"]
        seen.volumes.setdefault(labels["jeroboam.cluster"], set()).add(labels["jeroboam.node"])
    return seen


class WatchedEngine(aiodocker.Docker):
    """Keeps what the Engine tells from the start on: the Engine itself remembers 256 events, of all who use it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict] = []
        self.is_told = asyncio.Condition()

    async def watch(self) -> None:
        """Listen until cancelled."""
        async for event in client.events(self, {"type": ["container", "volume", "network"]}, time.time()):
            if not event["Action"].startswith("exec_"):
                async with self.is_told:
                    self.told.append(event)
                    self.is_told.notify_all()


async def happens(
    engine: WatchedEngine,
    installation: str,
    action: str,
    *,
    times: int,
    since: float,
    names: Collection[str] = (),
    role: str = "",
) -> None:
    """Return once that has happened to so many of the installation's containers, or of things with these names.

    With a role only nodes of that role count.

    The Engine tells the labels of containers alone; a volume's name is its id.
    """
    kind, _, verb = action.partition(" ")

    def counts(event: dict) -> bool:
        told = event["Actor"]["Attributes"]
        if (event["Type"], event["Action"]) != (kind, verb) or event["timeNano"] < since * 1e9:
            return False
        if role and told.get("jeroboam.role") != role:
            return False
        return told.get(LABEL) == installation or not {told.get("name"), event["Actor"]["ID"]}.isdisjoint(names)

    async with engine.is_told:
        await engine.is_told.wait_for(lambda: sum(map(counts, engine.told)) >= times)


async def swarm_nodes(address: str, tls) -> list[dict]:
    """What a cluster's own API says of its nodes."""
    swarm = client.connect(address.replace("tcp://", "https://"), tls=tls)
    try:
        async with asyncio.timeout(10):
            return await swarm.nodes.list()
    finally:
        await swarm.close()
