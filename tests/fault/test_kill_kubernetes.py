"""`kill -9` of `jeroboam up` at every phase of one Kubernetes cluster's life: each goes on where it was.

Create, resize down, upgrade to the next minor version, rotation of all authorities, delete. Afterwards the Engine, the
cluster's own API and the rows are compared: nothing is lost, doubled or orphaned.
"""

import pytest

from jeroboam.clients.kubernetes import KubernetesApi
from tests.fault.change import ANEW, AT_ONCE, DRAINING, Change, Phase, of, on

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.long]

CONFIG = "[clusters]\nca_overlap_seconds = 4\n"
OLD, NEW = "v1.35.4", "v1.36.3"
SIZES = {"default-master": 1, "default-worker": 1}

CREATE = (AT_ONCE, on("container create"), on("container start"), Phase(seconds=1.5), Phase(seconds=3.0))
SMALLER = (AT_ONCE, DRAINING, on("container die"), on("container destroy"), on("volume destroy"))
UPGRADE = (AT_ONCE, DRAINING, *(on(action, role=role) for role in ("master", "worker") for action in ANEW))
ROTATION = (
    AT_ONCE,
    on("container restart"),
    Phase(said="nodes remove the old certificate authority"),
    on("container restart"),
    Phase(seconds=1.0),
)
GONE = (AT_ONCE, on("container die"), on("container destroy"), on("volume destroy"), on("network destroy"))


class KubernetesChange(Change):
    async def members(self, api: str, tls, nodes: list[dict]) -> None:
        async with KubernetesApi(api, tls) as kubernetes:
            found = (await kubernetes.get("/api/v1/nodes", "asking for nodes"))["items"]
        ours = {node["Labels"]["jeroboam.node"] for node in nodes}
        assert {each["metadata"]["labels"]["jeroboam.io/node"] for each in found} == ours
        assert len(found) == len(nodes)
        for each in found:
            ready = next(condition for condition in each["status"]["conditions"] if condition["type"] == "Ready")
            assert (ready["status"], each["spec"].get("unschedulable")) == ("True", None)
            assert "jeroboam.io/drained" not in each["metadata"]["annotations"]

    async def versions(self, tls) -> set[str]:
        async with KubernetesApi((await self.shown())["api_address"], tls) as kubernetes:
            found = (await kubernetes.get("/api/v1/nodes", "asking for nodes"))["items"]
        return {each["status"]["nodeInfo"]["kubeletVersion"] for each in found}


@pytest.fixture(scope="module")
def config():
    return CONFIG


@pytest.fixture
def change(shared, engine):
    return KubernetesChange(shared, engine, "k-kubernetes")


async def template(change, version: str) -> str:
    wish = {"name": f"kubernetes-{version}", "coe": "kubernetes", "image_id": "kubernetes-node"}
    wish |= {"labels": {"kube_tag": version}}
    return (await change.installation.good("POST", "/container-infra/v1/clustertemplates", wish))["uuid"]


async def test_the_life_of_a_cluster(change):
    old, new = await template(change, OLD), await template(change, NEW)
    await change.begun(2, phases=CREATE, cluster_template_id=old)
    await change.settled("CREATE_COMPLETE")
    tls = await change.credentials()
    made = await change.compare({"default-master": 1, "default-worker": 2}, tls)

    leaver = next(node for node in made if node["Labels"]["jeroboam.node-name"].endswith("worker-0"))
    body = {"node_count": 1, "nodes_to_remove": [leaver["Labels"]["jeroboam.node-name"]]}
    await change.ask("POST", f"{change.path}/actions/resize", body, phases=SMALLER)
    await change.settled("UPDATE_COMPLETE")
    smaller = await change.compare(SIZES, tls)
    assert {node["Id"] for node in smaller} == {node["Id"] for node in made} - {leaver["Id"]}

    body = {"cluster_template": new, "max_batch_size": 1}
    await change.ask("POST", f"{change.path}/actions/upgrade", body, phases=UPGRADE)
    await change.settled("UPDATE_COMPLETE")
    upgraded = await change.compare(SIZES, tls)
    assert await change.versions(tls) == {NEW}
    assert set(of(upgraded, "build").values()) == {"1"}
    assert of(upgraded, "address") == of(smaller, "address")

    certificates = change.installation.rows()["jeroboam.db:certificate"]
    await change.ask("PATCH", f"/container-infra/v1/certificates/{change.uuid}", phases=ROTATION)
    await change.settled("UPDATE_COMPLETE")
    with pytest.raises(Exception, match=r"(?i)certificate|ssl|tls"):
        await change.versions(tls)
    rotated = await change.compare(SIZES, await change.credentials())
    assert {node["Id"] for node in rotated} == {node["Id"] for node in upgraded}
    assert change.installation.rows()["jeroboam.db:certificate"] == certificates

    await change.ask("DELETE", change.path, phases=GONE)
    await change.gone()
    print(f"{change.name}: {change.kills} kills, gone")  # noqa: T201
    for uuid in (old, new):
        await change.installation.good("DELETE", f"/container-infra/v1/clustertemplates/{uuid}")
