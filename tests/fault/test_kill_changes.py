"""`kill -9` of `jeroboam up` at every phase of one change after another: each goes on where it was and ends as asked.

Where `test_kills` kills once in many operations, here one operation is killed many times, at each step that it takes:
upgrade, rotation of the authority, resize down, delete of a node group, delete of a cluster.
"""

import asyncio
import time
from dataclasses import dataclass

import pytest

from tests.fault.engine import NOTHING, happens, swarm_nodes, things
from tests.fault.installation import Installation, until
from tests.fault.member import authority, credentials

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SETTLED_SECONDS = 90.0
CLUSTERS = "/container-infra/v1/clusters"
# Long enough for a kill to fall into it.
CONFIG = "[clusters]\nca_overlap_seconds = 4\n"


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

UPGRADE = (AT_ONCE, DRAINING, *(on(action, role=role) for role in ("master", "worker") for action in ANEW))
ROTATION = (
    AT_ONCE,
    on("container kill"),
    on("container restart"),
    Phase(said="old and new certificates are accepted"),
    on("container kill"),
    on("container restart", 0.3),
)
SMALLER = (AT_ONCE, DRAINING, on("container die"), on("container destroy"), on("volume destroy"))
GONE = (AT_ONCE, on("container die"), on("container destroy"), on("volume destroy"), on("network destroy"))


class Change:
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

    async def made(self, workers: int) -> list[dict]:
        """The cluster, complete; its node containers."""
        self.uuid = await self.installation.cluster(self.name, master_count=1, node_count=workers)
        self.path = f"{CLUSTERS}/{self.uuid}"
        await self.settled("CREATE_COMPLETE")
        return await self.nodes()

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
        for phase in phases:
            await self._come(phase, since)
            if phase.said:
                since = time.time()
            self.installation.kill()
            self.kills += 1
            await self.installation.up()

    async def _come(self, phase: Phase, since: float) -> None:
        if phase.said:
            await until(lambda: self._says(phase.said), 30, what=lambda: phase.said)
        if phase.action:
            try:
                async with asyncio.timeout(30):
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
        members = await swarm_nodes(shown["api_address"], tls)
        assert {each["Description"]["Engine"]["Labels"]["jeroboam.node"] for each in members} == ours
        assert len(members) == len(nodes)
        assert {(each["Status"]["State"], each["Spec"]["Availability"]) for each in members} == {("ready", "active")}
        assert not [each for each in members if "jeroboam.drained" in each["Spec"]["Labels"]]
        return nodes

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


@pytest.fixture(scope="module")
def config():
    return CONFIG


@pytest.fixture
def change(shared, engine, request):
    return Change(shared, engine, f"k-{request.node.name[5:].replace('_', '-')}")


def of(nodes: list[dict], label: str) -> dict[str, str]:
    return {node["Labels"]["jeroboam.node"]: node["Labels"][f"jeroboam.{label}"] for node in nodes}


async def test_upgrade(change):
    before = await change.made(1)
    tls = await change.credentials()
    ids = {node["ID"] for node in await swarm_nodes((await change.shown())["api_address"], tls)}
    template = await change.installation.good(
        "POST",
        "/container-infra/v1/clustertemplates",
        {"name": "next", "coe": "swarm", "image_id": "swarm-node", "insecure_registry": "r:5000"},
    )
    body = {"cluster_template": template["uuid"], "max_batch_size": 1}
    await change.ask("POST", f"{change.path}/actions/upgrade", body, phases=UPGRADE)
    shown = await change.settled("UPDATE_COMPLETE")
    assert shown["cluster_template_id"] == template["uuid"]
    after = await change.compare({"default-master": 1, "default-worker": 1}, tls)
    assert set(of(before, "build").values()) == {"0"}
    assert set(of(after, "build").values()) == {"1"}
    assert of(after, "address") == of(before, "address")
    assert {node["Id"] for node in before}.isdisjoint(node["Id"] for node in after)
    members = await swarm_nodes(shown["api_address"], tls)
    assert {node["ID"] for node in members} == ids, "the same members of the same swarm, on the same disks"
    await change.end()
    await change.installation.good("DELETE", f"/container-infra/v1/clustertemplates/{template['uuid']}")


async def test_rotation(change):
    before = await change.made(1)
    old = await change.credentials()
    await change.ask("PATCH", f"/container-infra/v1/certificates/{change.uuid}", phases=ROTATION)
    shown = await change.settled("UPDATE_COMPLETE")
    tls = await change.credentials()
    after = await change.compare({"default-master": 1, "default-worker": 1}, tls)
    assert {node["Id"] for node in before} == {node["Id"] for node in after}
    with pytest.raises(Exception, match=r"(?i)certificate|ssl|tls"):
        await swarm_nodes(shown["api_address"], old)
    assert change.installation.rows()["jeroboam.db:certificate"] == 1
    await change.end()


async def test_resize_down(change):
    before = await change.made(2)
    tls = await change.credentials()
    leaver = next(node for node in before if node["Labels"]["jeroboam.node-name"].endswith("worker-0"))
    body = {"node_count": 1, "nodes_to_remove": [leaver["Labels"]["jeroboam.node-name"]]}
    await change.ask("POST", f"{change.path}/actions/resize", body, phases=SMALLER)
    await change.settled("UPDATE_COMPLETE")
    after = await change.compare({"default-master": 1, "default-worker": 1}, tls)
    assert {node["Id"] for node in after} == {node["Id"] for node in before} - {leaver["Id"]}
    await change.end()


async def test_delete_of_a_group(change):
    await change.made(1)
    tls = await change.credentials()
    await change.installation.good("POST", f"{change.path}/nodegroups", {"name": "extra", "node_count": 2})
    await change.settled("UPDATE_COMPLETE")
    before = await change.compare({"default-master": 1, "default-worker": 1, "extra": 2}, tls)
    await change.ask("DELETE", f"{change.path}/nodegroups/extra", phases=SMALLER)
    await change.settled("UPDATE_COMPLETE")
    after = await change.compare({"default-master": 1, "default-worker": 1}, tls)
    assert {node["Id"] for node in after} < {node["Id"] for node in before}
    await change.end()


async def test_delete_of_a_cluster(change):
    await change.made(2)
    await change.ask("DELETE", change.path, phases=GONE)
    await change.gone()
    print(f"{change.name}: {change.kills} kills, gone")  # noqa: T201
