"""`kill -9` of `jeroboam up` at any moment, then `up` again: everything becomes what was asked, once.

Each round makes a cluster and two containers, changes them, deletes them, and kills the service in the midst of each.
"""

import asyncio
import time
from dataclasses import dataclass

import pytest

from tests.fault.engine import NOTHING, happens, swarm_nodes, things
from tests.fault.installation import Installation, until
from tests.fault.member import authority, credentials

pytestmark = [pytest.mark.docker, pytest.mark.slow]

# Long enough for a creation that has to begin again.
SETTLED_SECONDS = 60.0
# Ends at once when it is asked to, and says each time that it starts.
COMMAND = ("sh", "-c", "echo started; trap 'exit 0' TERM; sleep 600 & wait")


@dataclass(frozen=True)
class Moment:
    """When to kill: so long after the 202, or when the Engine tells of something for the n-th time."""

    seconds: float = 0.0
    action: str = ""
    times: int = 1

    async def come(self, engine, installation: Installation, since: float, cluster: str) -> None:
        if self.action:
            async with asyncio.timeout(20):
                await happens(
                    engine,
                    installation.id,
                    self.action,
                    times=self.times,
                    since=since,
                    names={f"jeroboam-{cluster}"},
                )
        await asyncio.sleep(self.seconds)


def at(seconds: float) -> Moment:
    return Moment(seconds=seconds)


def on(action: str, times: int = 1, after: float = 0.0) -> Moment:
    return Moment(action=action, times=times, seconds=after)


@dataclass(frozen=True)
class Round:
    """The moments of its three kills, how many workers the resize goes from and to, and what is asked of containers."""

    create: Moment
    change: Moment
    delete: Moment
    workers: tuple[int, int] = (1, 2)
    first: str = "stop"
    second: str = "delete"


ROUNDS = {
    "at-once": Round(create=at(0), change=at(0), delete=at(0)),
    "network": Round(
        create=on("network create"), change=on("container create"), delete=on("container die"), second="reboot"
    ),
    "first-made": Round(
        create=on("container create"), change=on("container start"), delete=on("container destroy"), first="start"
    ),
    "second-made": Round(
        create=on("container create", 3), change=on("network connect"), delete=on("container destroy", 3), second="kill"
    ),
    "first-runs": Round(
        create=on("container start"), change=at(0.3), delete=on("container destroy", 2), workers=(2, 1), first="reboot"
    ),
    "joining": Round(
        create=on("container start", 4, 0.3),
        change=on("container start", 1, 0.4),
        delete=at(0.25),
        workers=(2, 1),
        second="start",
    ),
    "late": Round(create=at(1.4), change=at(1.6), delete=at(0.6), second="stop"),
}
EACH_TIME = {"at-once", "first-made", "joining"}
"""The rounds of `make test`; `make test-long` has the others."""


class Life:
    """One cluster and two containers, and what a user knows of them."""

    def __init__(self, installation: Installation, engine, name: str, round_: Round) -> None:
        self.installation = installation
        self.engine = engine
        self.name = name
        self.round = round_
        self.cluster = ""
        self.containers: list[str] = []
        self.status = ["Running", "Running"]
        self.starts = [1, 1]
        self.ca: str | None = None
        self.tls = None
        self.ids: dict[str, str] = {}

    async def killed(self, moment: Moment, since: float) -> None:
        """Let the moment come, kill, start again. A user who looks meanwhile may see the cluster's authority."""
        looking = asyncio.ensure_future(until(self.see_authority))
        await moment.come(self.engine, self.installation, since, self.cluster)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        self.installation.kill()
        await self.installation.up()

    async def see_authority(self) -> bool:
        self.ca = self.ca or await authority(self.installation, self.cluster)
        return self.ca is not None

    async def create(self) -> None:
        since = time.time()
        masters, workers = 1, self.round.workers[0]
        self.cluster = await self.installation.cluster(self.name, master_count=masters, node_count=workers)
        for number in (1, 2):
            self.containers.append(await self.installation.container(f"{self.name}-{number}", *COMMAND))
        await self.killed(self.round.create, since)
        await self.expect("CREATE_COMPLETE", workers)

    async def change(self) -> None:
        for number, action in enumerate((self.round.first, self.round.second)):
            if action == "start":
                await self.ask_container(number, "stop")
                await self.expect("CREATE_COMPLETE", self.round.workers[0])
        since = time.time()
        path = f"/container-infra/v1/clusters/{self.cluster}/actions/resize"
        await self.installation.good("POST", path, {"node_count": self.round.workers[1]})
        for number, action in enumerate((self.round.first, self.round.second)):
            await self.ask_container(number, action)
        await self.killed(self.round.change, since)
        await self.expect("UPDATE_COMPLETE", self.round.workers[1])

    async def ask_container(self, number: int, action: str) -> None:
        path = f"/container/v1/containers/{self.containers[number]}"
        if action == "delete":
            await self.installation.good("DELETE", f"{path}?stop=true")
        else:
            await self.installation.good("POST", f"{path}/{action}")
        wanted = {"stop": "Stopped", "kill": "Stopped", "start": "Running", "reboot": "Running", "delete": "gone"}
        self.status[number] = wanted[action]
        self.starts[number] += action in {"start", "reboot"}

    async def delete(self) -> None:
        since = time.time()
        await self.installation.good("DELETE", f"/container-infra/v1/clusters/{self.cluster}")
        for uuid, status in zip(self.containers, self.status, strict=True):
            if status != "gone":
                await self.installation.good("DELETE", f"/container/v1/containers/{uuid}?stop=true")
        await self.killed(self.round.delete, since)
        await until(self.all_gone, SETTLED_SECONDS, what=lambda: f"gone: {self.installation.rows()}")
        assert await things(self.engine, self.installation.id) == NOTHING
        assert set(self.installation.rows().values()) == {0}

    async def all_gone(self) -> bool:
        paths = [f"/container-infra/v1/clusters/{self.cluster}"]
        paths += [f"/container/v1/containers/{uuid}" for uuid in self.containers]
        return all([(await self.installation.ask("GET", path)).status == 404 for path in paths])

    async def expect(self, status: str, workers: int) -> None:
        """Wish and reality are equal, once the API says that they are."""
        last = {}

        async def settled() -> bool:
            shown = await self.installation.good("GET", f"/container-infra/v1/clusters/{self.cluster}")
            last.update(cluster=(shown["status"], shown["status_reason"]))
            assert not shown["status"].endswith("FAILED"), shown
            containers = [await self.shown(uuid) for uuid in self.containers]
            last.update(containers=containers)
            reached = [(each["status"] if each else "gone") for each in containers] == self.status
            idle = not any(each and each["task_state"] for each in containers)
            return shown["status"] == status and reached and idle

        await until(settled, SETTLED_SECONDS, what=lambda: f"{status} {self.status}: {last}")
        await self.compare(workers)

    async def shown(self, uuid: str) -> dict | None:
        answer = await self.installation.ask("GET", f"/container/v1/containers/{uuid}")
        return None if answer.status == 404 else answer.body

    async def compare(self, workers: int) -> None:
        seen = await things(self.engine, self.installation.id)
        assert not seen.others
        nodes = seen.nodes.pop(self.cluster)
        assert not seen.nodes
        assert [node["State"] for node in nodes] == ["running"] * (workers + 1), nodes
        assert seen.networks == {self.cluster: [f"jeroboam-{self.cluster}"]}
        assert seen.volumes == {self.cluster: {node["Labels"]["jeroboam.node"] for node in nodes}}
        await self.compare_swarm(nodes, workers)
        await self.compare_containers(seen.containers)

    async def compare_swarm(self, nodes: list[dict], workers: int) -> None:
        """The cluster's own API answers to what a user was given first, and has these nodes and no other."""
        prefix = f"/container-infra/v1/clusters/{self.cluster}"
        cluster = await self.installation.good("GET", prefix)
        groups = (await self.installation.good("GET", f"{prefix}/nodegroups"))["nodegroups"]
        assert sorted((group["role"], group["node_count"]) for group in groups) == [("master", 1), ("worker", workers)]
        addresses = sorted(node["Labels"]["jeroboam.address"] for node in nodes)
        assert sorted(cluster["master_addresses"] + cluster["node_addresses"]) == addresses
        ca = await authority(self.installation, self.cluster)
        self.ca = self.ca or ca
        assert ca == self.ca
        self.tls = self.tls or await credentials(self.installation, self.cluster, self.ca)
        members = await swarm_nodes(cluster["api_address"], self.tls)
        assert sorted(node["Description"]["Engine"]["Labels"]["jeroboam.node"] for node in members) == sorted(
            node["Labels"]["jeroboam.node"] for node in nodes
        )
        assert {node["Status"]["State"] for node in members} == {"ready"}

    async def compare_containers(self, seen: dict[str, list[dict]]) -> None:
        """Each is on the Engine once, has stayed the same, and was started as often as it was asked to."""
        there = {uuid for uuid, status in zip(self.containers, self.status, strict=True) if status != "gone"}
        assert seen.keys() == there
        words = {"Running": "running", "Stopped": "exited"}
        for uuid, status, starts in zip(self.containers, self.status, self.starts, strict=True):
            if uuid in there:
                (real,) = seen[uuid]
                assert real["State"] == words[status]
                assert self.ids.setdefault(uuid, real["Id"]) == real["Id"]
                printed = await self.engine.containers.container(real["Id"]).log(stdout=True)
                assert "".join(printed).count("started") == starts


@pytest.mark.parametrize(
    "name", [name if name in EACH_TIME else pytest.param(name, marks=pytest.mark.long) for name in ROUNDS]
)
async def test_wish_and_reality_are_equal_after_every_kill(shared, engine, name):
    life = Life(shared, engine, f"k-{name}", ROUNDS[name])
    await life.create()
    await life.change()
    await life.delete()
    shared.clean = True
