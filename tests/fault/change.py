"""One cluster, and one thing after another that is asked of it while the service is killed at every step.

Neighbours: `test_kill_changes` and `test_kill_kubernetes`, which say what is asked, and when to kill.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

import pytest

from tests.fault.engine import NOTHING, happens, things
from tests.fault.installation import Installation, until
from tests.fault.member import authority, credentials

SETTLED_SECONDS = 90.0
CLUSTERS = "/container-infra/v1/clusters"


@dataclass(frozen=True)
class Phase:
    """When to kill: when the Engine tells that something happened once more, on what the status says, after a time."""

    action: str = ""
    role: str = ""
    """Of the node that it has to happen to; any of them where there is none."""
    said: str = ""
    seconds: float = 0.0


def on(action: str, seconds: float = 0.0, role: str = "") -> Phase:
    return Phase(action=action, seconds=seconds, role=role)


AT_ONCE = Phase()
DRAINING = Phase(seconds=0.1)
# What making one node anew does to the Engine, in order.
ANEW = ("container kill", "container die", "container destroy", "container create", "container start")


class Change(ABC):
    """One cluster, and one thing that is asked of it."""

    def __init__(self, installation: Installation, engine, name: str) -> None:
        self.installation = installation
        self.engine = engine
        self.name = name
        self.uuid = ""
        self.path = ""
        self.kills = 0
        self.names: set[str] = set()
        """What the cluster has on the Engine besides containers."""

    async def made(self, workers: int, **more: object) -> list[dict]:
        """The cluster, complete; its node containers."""
        await self.begun(workers, **more)
        await self.settled("CREATE_COMPLETE")
        return await self.nodes()

    async def begun(self, workers: int, *, phases: tuple[Phase, ...] = (), **more: object) -> None:
        """Ask for the cluster, and kill the service at each of these phases."""
        since = time.time()
        self.uuid = await self.installation.cluster(self.name, master_count=1, node_count=workers, **more)
        self.path = f"{CLUSTERS}/{self.uuid}"
        await self._killed_at(phases, since)

    async def nodes(self) -> list[dict]:
        seen = await things(self.engine, self.installation.id)
        assert not seen.others
        nodes = seen.nodes.get(self.uuid, [])
        self.names = {f"jeroboam-{self.uuid}", *(f"jeroboam-{node['Labels']['jeroboam.node']}" for node in nodes)}
        return nodes

    async def ask(self, method: str, path: str, body: object = None, *, phases: tuple[Phase, ...]) -> None:
        """Ask for it, and kill the service at each of these phases.

        A phase that the Engine came to by itself after the last kill counts at once: the next kill follows then.
        """
        since = time.time()
        await self.installation.good(method, path, body)
        await self._killed_at(phases, since)

    async def _killed_at(self, phases: tuple[Phase, ...], since: float) -> None:
        for phase in phases:
            await self._come(phase, since)
            if phase.said:
                since = time.time()
            self.installation.kill()
            self.kills += 1
            await self.installation.up()

    async def _come(self, phase: Phase, since: float) -> None:
        if phase.said:
            await until(lambda: self._says(phase.said), SETTLED_SECONDS, what=lambda: phase.said)
        if phase.action:
            try:
                async with asyncio.timeout(SETTLED_SECONDS):
                    await happens(
                        self.engine,
                        self.installation.id,
                        phase.action,
                        times=1,
                        since=since,
                        names=self.names,
                        role=phase.role,
                    )
            except TimeoutError:
                pytest.fail(f"no {phase.action} after kill {self.kills}: {await self.shown()}")
        await asyncio.sleep(phase.seconds)

    async def _says(self, text: str) -> bool:
        return text in ((await self.shown())["status_reason"] or "")

    async def shown(self) -> dict:
        return (await self.installation.ask("GET", self.path)).body

    async def settled(self, status: str) -> dict:
        async def reached() -> dict | None:
            shown = await self.shown()
            assert not shown["status"].endswith("FAILED"), shown
            return shown if shown["status"] == status else None

        last = await until(reached, SETTLED_SECONDS, what=lambda: status)
        print(f"{self.name}: {self.kills} kills, {last['status']}")  # noqa: T201
        return last

    async def compare(self, sizes: dict[str, int], tls) -> list[dict]:
        """The groups have these sizes, as wished, as seen, on the Engine, in the Swarm; the nodes on the Engine."""
        groups = (await self.installation.good("GET", f"{self.path}/nodegroups"))["nodegroups"]
        assert {group["name"]: group["node_count"] for group in groups} == sizes
        assert not [group for group in groups if not group["status"].endswith("COMPLETE")]
        nodes = await self.nodes()
        assert len(nodes) == sum(sizes.values())
        assert {node["State"] for node in nodes} == {"running"}
        seen = await things(self.engine, self.installation.id)
        ours = {node["Labels"]["jeroboam.node"] for node in nodes}
        assert seen.volumes[self.uuid] == ours
        assert seen.networks[self.uuid] == [f"jeroboam-{self.uuid}"]
        shown = await self.shown()
        addresses = sorted(node["Labels"]["jeroboam.address"] for node in nodes)
        assert sorted(shown["master_addresses"] + shown["node_addresses"]) == addresses
        await self.members(shown["api_address"], tls, nodes)
        return nodes

    @abstractmethod
    async def members(self, api: str, tls, nodes: list[dict]) -> None:
        """The cluster's own API knows these nodes and no others, all ready, none emptied."""

    async def credentials(self):
        ca = await authority(self.installation, self.uuid)
        return await credentials(self.installation, self.uuid, ca)

    async def end(self) -> None:
        await self.installation.good("DELETE", self.path)
        await self.gone()

    async def gone(self) -> None:
        async def away() -> bool:
            return (await self.installation.ask("GET", self.path)).status == 404

        await until(away, SETTLED_SECONDS, what=lambda: "gone")
        assert await things(self.engine, self.installation.id) == NOTHING
        assert set(self.installation.rows().values()) == {0}
        self.installation.clean = True


def of(nodes: list[dict], label: str) -> dict[str, str]:
    return {node["Labels"]["jeroboam.node"]: node["Labels"][f"jeroboam.{label}"] for node in nodes}
