"""`kill -9` of `jeroboam up` at every phase of one change after another: each goes on where it was and ends as asked.

Where `test_kills` kills once in many operations, here one operation is killed many times, at each step that it takes:
upgrade, rotation of the authority, resize down, replacement of a node, delete of a node group, delete of a cluster.
"""

import pytest

from tests.fault.change import ANEW, AT_ONCE, DRAINING, Change, Phase, of, on
from tests.fault.engine import swarm_nodes

pytestmark = [pytest.mark.docker, pytest.mark.slow]

# Long enough for a kill to fall into it.
CONFIG = "[clusters]\nca_overlap_seconds = 4\n"
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
REPLACED = (AT_ONCE, on("container create"), on("container start"), on("container die"), on("volume destroy"))
GONE = (AT_ONCE, on("container die"), on("container destroy"), on("volume destroy"), on("network destroy"))


class SwarmChange(Change):
    async def members(self, api: str, tls, nodes: list[dict]) -> None:
        ours = {node["Labels"]["jeroboam.node"] for node in nodes}
        members = await swarm_nodes(api, tls)
        assert {each["Description"]["Engine"]["Labels"]["jeroboam.node"] for each in members} == ours
        assert len(members) == len(nodes)
        assert {(each["Status"]["State"], each["Spec"]["Availability"]) for each in members} == {("ready", "active")}
        assert not [each for each in members if "jeroboam.drained" in each["Spec"]["Labels"]]


@pytest.fixture(scope="module")
def config():
    return CONFIG


@pytest.fixture
def change(shared, engine, request):
    return SwarmChange(shared, engine, f"k-{request.node.name[5:].replace('_', '-')}")


@pytest.mark.long
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


@pytest.mark.long
async def test_replacement(change):
    before = await change.made(2)
    tls = await change.credentials()
    leaver = next(node for node in before if node["Labels"]["jeroboam.node-name"].endswith("worker-0"))
    # As the auto-healer of Kubernetes asks: the same size, and the machine's id without dashes.
    body = {"node_count": 2, "nodes_to_remove": [leaver["Labels"]["jeroboam.node"].replace("-", "").upper()]}
    await change.ask("POST", f"{change.path}/actions/resize", body, phases=REPLACED)
    await change.settled("UPDATE_COMPLETE")
    after = await change.compare({"default-master": 1, "default-worker": 2}, tls)
    assert {node["Id"] for node in before} - {node["Id"] for node in after} == {leaver["Id"]}
    assert len(after) == len(before)
    events = (await change.installation.good("GET", f"{change.path}/events"))["events"]
    name = leaver["Labels"]["jeroboam.node-name"]
    assert f"{name} to be replaced in default-worker." in [event["message"] for event in events]
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
