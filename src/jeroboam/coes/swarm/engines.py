"""Requests to the Engines of a Swarm cluster over mutual TLS, and the node list of a manager.

Neighbours: the COE, which decides what should happen. No state is kept between calls, and no key is written to disk.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from jeroboam.clients.docker import DockerClient, connect, translate_errors
from jeroboam.coes.base import Authority
from jeroboam.coes.tls import build_client_tls
from jeroboam.domain.clusters import TemplateSpec
from jeroboam.domain.errors import DriverError, Temporary
from jeroboam.kit.clock import Clock

NODE_LABEL = "jeroboam.node"
NAME_LABEL = "jeroboam.node-name"
DRAINED_LABEL = "jeroboam.drained"
"""A node with this label was drained by us and accepts no work for a while. Its value is the former availability."""

API_PORT = 2376
RAFT_PORT = 2377
POLL_SECONDS = 0.05
# The limit of one request to an Engine that is up; a join waits 20 s inside the Engine.
_CALL_SECONDS = 30.0
_UPDATE_TRIES = 5


def api_port(template: TemplateSpec) -> int:
    """The port of the Engine API on each node."""
    return template.apiserver_port or API_PORT


@dataclass(frozen=True, kw_only=True, slots=True)
class SwarmNode:
    """A node as a manager shows it."""

    id: str
    version: int
    spec: Mapping[str, Any]
    hostname: str
    engine_labels: Mapping[str, str]
    state: str
    message: str
    manager: bool
    reachable: bool
    """Whether the other managers reach it; true for a worker."""

    @property
    def uuid(self) -> str | None:
        """Our uuid of the node; None until the node has sent its labels to the manager."""
        return self.engine_labels.get(NODE_LABEL)

    @property
    def name(self) -> str:
        """Our name of the node: host names may be truncated."""
        return self.engine_labels.get(NAME_LABEL, self.hostname)

    @property
    def ready(self) -> bool:
        return self.state == "ready" and self.reachable


@dataclass(frozen=True, kw_only=True, slots=True)
class SwarmTask:
    """A task as a manager shows it. `str` is its text for users: the start of its id, its image and its state."""

    id: str
    image: str
    state: str
    slot: str
    """The service, and which of its replicas. A task and the one that replaces it have the same slot."""
    waits: bool
    """It starts once the task that it replaces has ended, or after the service's restart delay."""
    unplaceable: bool

    def __str__(self) -> str:
        return f"{self.id[:12]} ({self.image or 'no container'}, {self.state})"


@dataclass(frozen=True, kw_only=True, slots=True)
class SwarmMembership:
    """The swarm membership of one Engine, as the Engine itself reports it."""

    state: str
    """inactive, pending, active, error or locked."""
    node_id: str
    manages: bool


class SwarmEngines:
    """Clients of a cluster's Engines; an asynchronous context that closes them."""

    def __init__(self, *, authority: Authority, port: int, clock: Clock, signer: Authority | None = None) -> None:
        """`authority` is trusted, and issues the client certificate unless `signer` is given."""
        self._tls = build_client_tls(authority, signer or authority, clock)
        self._port = port
        self._clock = clock
        self._clients: dict[str, DockerClient] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(client.close() for client in self._clients.values()))

    def client_of(self, address: str) -> DockerClient:
        """Return the client of the Engine at that address."""
        if address not in self._clients:
            self._clients[address] = connect(f"https://{address}:{self._port}", tls=self._tls)
        return self._clients[address]

    async def get_membership(self, address: str, *, patience: float) -> SwarmMembership:
        """Return the membership of that Engine; retry until it answers or `patience` seconds have passed."""
        deadline = self._clock.monotonic() + patience
        while True:
            try:
                async with _call(f"asking the Docker Engine of node {address}"):
                    info = await self.client_of(address).system.info()
            except Temporary as error:
                if self._clock.monotonic() >= deadline:
                    raise Temporary(f"the Docker Engine of node {address} does not answer yet") from error
                await self._clock.sleep(POLL_SECONDS)
            else:
                swarm = info["Swarm"]
                return SwarmMembership(
                    state=swarm["LocalNodeState"],
                    node_id=swarm.get("NodeID", ""),
                    manages=bool(swarm.get("ControlAvailable")),
                )

    async def can_authenticate(self, address: str) -> bool:
        """Whether the Engine answers, and both sides accept each other's certificates."""
        try:
            async with _call(f"asking the Docker Engine of node {address}"):
                await self.client_of(address).version()
        except DriverError:
            return False
        return True

    async def init(self, address: str) -> None:
        """Initialize a swarm on that Engine."""
        async with _call("founding the swarm"):
            await self.client_of(address).swarm.init(advertise_addr=address, listen_addr=f"0.0.0.0:{RAFT_PORT}")

    async def join(self, address: str, *, managers: Sequence[str], token: str) -> None:
        """Make the Engine at that address join the swarm of these managers."""
        remotes = [f"{manager}:{RAFT_PORT}" for manager in managers]
        async with _call(f"joining node {address} to the swarm"):
            await self.client_of(address).swarm.join(
                join_token=token,
                remote_addrs=remotes,
                advertise_addr=address,
                listen_addr=f"0.0.0.0:{RAFT_PORT}",
            )

    async def leave_swarm(self, address: str) -> None:
        """Make that Engine leave its swarm, whatever swarm it is."""
        async with _call(f"taking node {address} out of another swarm"):
            await self.client_of(address).swarm.leave(force=True)

    async def get_join_tokens(self, manager: str) -> tuple[str, str]:
        """Return the join tokens for managers and for workers."""
        async with _call("asking the swarm for its join tokens"):
            tokens = (await self.client_of(manager).swarm.inspect())["JoinTokens"]
        return tokens["Manager"], tokens["Worker"]

    async def nodes(self, manager: str) -> list[SwarmNode]:
        """Return all nodes of the swarm."""
        async with _call("asking the swarm for its nodes"):
            return [_read_node(item) for item in await self.client_of(manager).nodes.list()]

    async def version(self, manager: str) -> str:
        """Return the Engine's version, which is also Swarm's."""
        async with _call("asking the swarm for its version"):
            return str((await self.client_of(manager).version())["Version"])

    async def update(self, manager: str, node: SwarmNode, change: Mapping[str, Any]) -> None:
        """Update these fields of the node's spec. A node that is gone is no error.

        The swarm refuses an update of an old version, and nodes change by themselves while they start: so it retries.
        """
        for tries_left in reversed(range(_UPDATE_TRIES)):
            try:
                async with _call(f"changing node {node.name} of the swarm"):
                    await self.client_of(manager).nodes.update(
                        node_id=node.id, version=node.version, spec={**node.spec, **change}
                    )
            except DriverError:
                nodes = {node.id: node for node in await self.nodes(manager)}
                if node.id not in nodes:
                    return
                if not tries_left or nodes[node.id].version == node.version:
                    raise
                node = nodes[node.id]
            else:
                return

    async def list_running_tasks(self, manager: str, node: SwarmNode) -> list[SwarmTask]:
        """Return the tasks that still run on that node."""
        async with _call(f"asking what runs on node {node.name}"):
            answer = await self.client_of(manager).tasks.list(filters={"node": node.id})
        ended_states = {"complete", "shutdown", "failed", "rejected", "remove", "orphaned"}
        return [task for task in map(_read_task, answer) if task.state not in ended_states]

    async def list_starting_tasks(self, manager: str) -> list[SwarmTask]:
        """Return the tasks that start on some node or wait for their turn; tasks that no node can run do not count."""
        async with _call("asking the swarm for tasks that start"):
            answer = await self.client_of(manager).tasks.list(filters={"desired-state": ["ready", "running"]})
        return [task for task in map(_read_task, answer) if task.state != "running" and not task.unplaceable]

    async def remove_node(self, manager: str, node: SwarmNode) -> None:
        """Remove the node from the swarm. An unknown node is no error."""
        try:
            async with _call(f"removing node {node.name} from the swarm"):
                await self.client_of(manager).nodes.remove(node_id=node.id, force=True)
        except DriverError:
            if any(other.id == node.id for other in await self.nodes(manager)):
                raise


@asynccontextmanager
async def _call(action: str) -> AsyncIterator[None]:
    """Run one request to an Engine with a time limit."""
    with translate_errors(action):
        async with asyncio.timeout(_CALL_SECONDS):
            yield


def _read_node(answer: Mapping[str, Any]) -> SwarmNode:
    description = answer.get("Description") or {}
    engine = description.get("Engine") or {}
    return SwarmNode(
        id=answer["ID"],
        version=answer["Version"]["Index"],
        spec=answer["Spec"],
        hostname=description.get("Hostname", ""),
        engine_labels=engine.get("Labels") or {},
        state=answer["Status"]["State"],
        message=answer["Status"].get("Message", ""),
        manager="ManagerStatus" in answer,
        reachable=(answer.get("ManagerStatus") or {}).get("Reachability", "reachable") == "reachable",
    )


def _read_task(answer: Mapping[str, Any]) -> SwarmTask:
    status = answer["Status"]
    slot = answer.get("Slot") or answer.get("NodeID") or answer["ID"]
    return SwarmTask(
        id=answer["ID"],
        image=((answer.get("Spec") or {}).get("ContainerSpec") or {}).get("Image", "").partition("@")[0],
        state=status["State"],
        slot=f"{answer.get('ServiceID', '')}/{slot}",
        waits=answer.get("DesiredState") == "ready",
        unplaceable=status["State"] == "pending" and bool(status.get("Err")),
    )
