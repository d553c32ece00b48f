"""What the Engine has of one installation, asked of the Engine itself, and what it tells as it happens."""

import asyncio
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


async def happens(
    engine: aiodocker.Docker,
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
    async for event in client.events(engine, {"type": [kind], "event": [verb]}, since):
        told = event["Actor"]["Attributes"]
        if role and told.get("jeroboam.role") != role:
            continue
        if told.get(LABEL) == installation or not {told.get("name"), event["Actor"]["ID"]}.isdisjoint(names):
            times -= 1
            if times == 0:
                return


async def swarm_nodes(address: str, tls) -> list[dict]:
    """What a cluster's own API says of its nodes."""
    swarm = client.connect(address.replace("tcp://", "https://"), tls=tls)
    try:
        async with asyncio.timeout(10):
            return await swarm.nodes.list()
    finally:
        await swarm.close()
