"""Names of the service's own marks are refused from users, wherever a user may name something."""

import pytest

from tests.api.test_bad_input import refused

pytestmark = pytest.mark.security

NAMES = ["jeroboam.node", "jeroboam.kind", "jeroboam.installation", "Jeroboam.X", " jeroboam.x", "jeroboam.io/node",
         "jeroboam/x"]  # fmt: skip
NODE_NAMES = ["jeroboam.node", "jeroboam.io/group", "x.jeroboam.io/group"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", ["labels", "hints"])
async def test_of_containers(zun, field, name):
    refused(await zun.post("/v1/containers", {"image": "busybox", field: {"a": "b", name: "x"}}), field, name.strip())
    assert (await zun.get("/v1/containers")).json()["containers"] == []


@pytest.mark.parametrize("name", NAMES)
async def test_of_templates_and_clusters(infra, make, name):
    body = {"name": "t", "coe": "swarm", "image_id": "node", "labels": {name: "x"}}
    refused(await infra.post("/v1/clustertemplates", body), "labels", name.strip())
    template = (await make.template())["uuid"]
    body = {"name": "c", "cluster_template_id": template, "labels": {name: "x"}}
    refused(await infra.post("/v1/clusters", body), "labels", name.strip())
    assert (await infra.get("/v1/clusters")).json()["clusters"] == []


@pytest.mark.parametrize("name", NODE_NAMES)
async def test_of_nodes(infra, make, name):
    cluster = await make.cluster()
    path = f"/v1/clusters/{cluster}/nodegroups"
    refused(await infra.post(path, {"name": "g", "node_labels": {name: "x"}}), "node_labels", name)
    taint = {"key": name, "value": "x", "effect": "NoSchedule"}
    refused(await infra.post(path, {"name": "g", "node_taints": [taint]}), "node_taints", name)
    change = [{"op": "replace", "path": "/node_labels", "value": f'{{"{name}": "x"}}'}]
    refused(await infra.patch(f"{path}/default-worker", change), name)
