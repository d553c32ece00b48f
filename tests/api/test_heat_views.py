"""What the cluster autoscaler (provider `magnum`) and the magnum-auto-healer of Kubernetes call, in their order.

Learnt from their sources: kubernetes/autoscaler `cloudprovider/magnum/magnum_manager_impl.go` and
kubernetes/cloud-provider-openstack `pkg/autohealing/cloudprovider/openstack/provider.go`.
"""

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from jeroboam.api.app import create_app
from jeroboam.domain.clusters import NodeState
from tests.api.client import Client
from tests.api.loops import place_nodes, settle

HEAT = "/v1/p1"


@pytest.fixture
def parts(parts):
    return replace(parts, options=replace(parts.options, heat_views=True))


@pytest.fixture
def heat(app):
    """As gophercloud asks Heat: without any version."""
    return Client(app, "/orchestration", version=None)


@pytest.fixture
async def cluster(make, store):
    """A cluster with workers 3 and 4, both up."""
    uuid = await make.cluster(node_count=2, labels={"auto_healing_enabled": "true"})
    await settle(store, uuid)
    nodes = await place_nodes(store, uuid)
    return uuid, nodes


async def found(heat, ident: str) -> dict:
    """`stacks.Find`: the stack by its id alone."""
    answer = await heat.get(f"{HEAT}/stacks/{ident}")
    assert answer.status == 200, answer.body
    return answer.json()["stack"]


async def minions_of(heat, group: dict) -> tuple[str, str]:
    """How the autoscaler comes from a node group to the stack of its nodes: name and id."""
    stack = await found(heat, group["stack_id"])
    path = f"{HEAT}/stacks/{stack['stack_name']}/{group['stack_id']}/resources/kube_minions"
    minions = (await heat.get(path)).json()["resource"]["physical_resource_id"]
    return (await found(heat, minions))["stack_name"], minions


async def instances(heat, group: dict) -> dict[str, tuple[str, str]]:
    """The autoscaler's `getNodes`: by index the server and the status."""
    name, ident = await minions_of(heat, group)
    resources = (await heat.get(f"{HEAT}/stacks/{name}/{ident}/resources")).json()["resources"]
    outputs = (await heat.get(f"{HEAT}/stacks/{name}/{ident}")).json()["stack"]["outputs"]
    [refs] = [output["output_value"] for output in outputs if output["output_key"] == "refs_map"]
    return {each["resource_name"]: (refs[each["resource_name"]], each["resource_status"]) for each in resources}


async def discovered(infra) -> list[dict]:
    """The autoscaler's `autoDiscoverNodeGroups`, without masters."""
    listed = (await infra.get("/v1/clusters/c/nodegroups")).json()["nodegroups"]
    workers = [group for group in listed if group["role"] != "master"]
    return [(await infra.get(f"/v1/clusters/c/nodegroups/{group['uuid']}")).json() for group in workers]


async def test_the_cluster_autoscaler(infra, heat, cluster, store):
    uuid, nodes = cluster
    magnum = infra.at("1.9")
    assert (await magnum.get("/v1/clusters/c")).json()["uuid"] == uuid
    patch = [{"op": "add", "path": "/max_node_count", "value": 5}]
    assert (await infra.patch("/v1/clusters/c/nodegroups/default-worker", patch)).status == 202
    await settle(store, uuid)
    [group] = await discovered(magnum)
    assert (group["max_node_count"], group["node_count"]) == (5, 2)
    assert await instances(heat, group) == {
        "3": (nodes[0].uuid, "CREATE_COMPLETE"),
        "4": (nodes[1].uuid, "CREATE_COMPLETE"),
    }
    # It grows, and sees a node that is on its way under a name that is none of a server's.
    resize = "/v1/clusters/c/actions/resize"
    assert (await magnum.post(resize, {"node_count": 3, "nodegroup": group["uuid"]})).status == 202
    new = await plan_one_more(store, uuid)
    assert (await instances(heat, group))["5"] == ("kube-minion", "CREATE_IN_PROGRESS")
    # One that cannot be made is removed by its index, one that works by its SystemUUID.
    body = {"node_count": 2, "nodes_to_remove": ["5"], "nodegroup": group["uuid"]}
    assert (await magnum.post(resize, body)).status == 202
    assert (await instances(heat, group))["5"][1] == "DELETE_IN_PROGRESS"
    body = {"node_count": 1, "nodes_to_remove": [nodes[0].uuid.upper()], "nodegroup": group["uuid"]}
    assert (await magnum.post(resize, body)).status == 202
    async with store.read() as tx:
        spec = (await tx.nodegroups.get(group["uuid"])).spec
    assert set(spec.nodes_to_remove) == {new.uuid, nodes[0].uuid}


async def plan_one_more(store, uuid: str):
    """What the cluster loop writes before it makes a node."""
    async with store.write() as tx:
        group = next(each for each in (await tx.nodegroups.groups_of(uuid))[uuid] if each.spec.role == "worker")
        node = replace(group.desired[0], uuid="00000000-0000-4000-8000-000000000005", name=f"c-{uuid[:8]}-worker-5")
        seen = replace(group.observed[0], uuid=node.uuid, name=node.name, state=NodeState.CREATING, server_id=None)
        desired, observed = (*group.desired, node), (*group.observed, replace(seen, ready=False))
        await tx.nodegroups.update(replace(group, desired=desired, observed=observed))
    return node


async def test_a_node_that_cannot_be_made_tells_the_autoscaler_why(infra, heat, cluster, store):
    uuid, _ = cluster
    await plan_one_more(store, uuid)
    async with store.write() as tx:
        row = await tx.clusters.get(uuid)
        await tx.clusters.update(replace(row, status="UPDATE_FAILED", status_reason="the quota is used up"))
        for group in (await tx.nodegroups.groups_of(uuid))[uuid]:
            await tx.nodegroups.update(replace(group, status="UPDATE_FAILED"))
    [group] = await discovered(infra)
    name, ident = await minions_of(heat, group)
    resources = (await heat.get(f"{HEAT}/stacks/{name}/{ident}/resources")).json()["resources"]
    assert {each["resource_name"]: each["resource_status"] for each in resources} == {
        "3": "CREATE_COMPLETE",
        "4": "CREATE_COMPLETE",
        "5": "CREATE_FAILED",
    }
    assert "quota" in resources[2]["resource_status_reason"]
    inner = (await heat.get(f"{HEAT}/stacks/{resources[0]['physical_resource_id']}/resources")).json()["resources"]
    assert {each["resource_name"]: each["resource_status"] for each in inner} == {
        "kube-minion": "CREATE_COMPLETE",
        "node_config_deployment": "CREATE_COMPLETE",
    }


async def test_another_group_has_a_stack_of_its_own(infra, heat, cluster, store):
    uuid, nodes = cluster
    assert (await infra.post("/v1/clusters/c/nodegroups", {"name": "a.group_of-sorts", "node_count": 1})).status == 202
    await settle(store, uuid)
    workers, other = await discovered(infra)
    assert workers["stack_id"] == uuid
    assert other["stack_id"] not in {uuid, workers["uuid"]}
    assert await instances(heat, other) == {}
    assert {server for server, _ in (await instances(heat, workers)).values()} == {node.uuid for node in nodes}


async def test_the_auto_healer(infra, heat, cluster):
    _, nodes = cluster
    # Enabled(): the cluster is complete and says so, and so is its stack.
    shown = (await infra.get("/v1/clusters/c")).json()
    assert shown["status"].endswith("_COMPLETE")
    assert shown["labels"]["auto_healing_enabled"] == "true"
    name = (await found(heat, shown["stack_id"]))["stack_name"]
    path = f"{HEAT}/stacks/{name}/{shown['stack_id']}"
    assert (await heat.get(path)).json()["stack"]["stack_status"] == "CREATE_COMPLETE"
    # It reports what it sees.
    reason = "{'updated_at':'2026-11-29 02:00:00 +0000 UTC m=+0.1','c-worker-3.NodeCondition':'error'}"
    patch = [
        {"op": "replace", "path": "/health_status", "value": "UNHEALTHY"},
        {"op": "replace", "path": "/health_status_reason", "value": reason},
    ]
    assert (await infra.patch("/v1/clusters/c", patch)).status == 202
    shown = (await infra.get("/v1/clusters/c")).json()
    assert (shown["health_status"], shown["status"]) == ("UNHEALTHY", "CREATE_COMPLETE")
    assert shown["health_status_reason"]["c-worker-3.NodeCondition"] == "error"
    # Repair() of a worker: the group by the node's address, then a resize to the same size.
    groups = (await infra.get("/v1/clusters/c/nodegroups")).json()["nodegroups"]
    whole = [(await infra.get(f"/v1/clusters/c/nodegroups/{group['uuid']}")).json() for group in groups]
    [group] = [each for each in whole if "172.20.0.10" in each["node_addresses"]]
    body = {"node_count": group["node_count"], "nodes_to_remove": [nodes[0].uuid], "nodegroup": group["name"]}
    assert (await infra.post("/v1/clusters/c/actions/resize", body)).status == 202
    assert (await infra.get("/v1/clusters/c")).json()["status"] == "UPDATE_IN_PROGRESS"
    assert (await heat.get(path)).json()["stack"]["stack_status"] == "UPDATE_IN_PROGRESS"


async def test_the_auto_healer_marks_a_server_unhealthy(infra, heat, cluster, store):
    uuid, nodes = cluster
    stack = await found(heat, uuid)
    listed = await heat.get(f"{HEAT}/stacks/{stack['stack_name']}/{uuid}/resources?nested_depth=2")
    servers = {}
    for each in listed.json()["resources"]:
        if each["resource_type"] == "OS::Nova::Server":
            for link in each["links"]:
                if link["rel"] != "self":
                    servers[each["physical_resource_id"]] = urlsplit(link["href"]).path.split("/")[-2:]
    assert servers.keys() == {node.uuid for node in nodes}
    parent, parent_id = servers[nodes[1].uuid]
    body = {"mark_unhealthy": True, "resource_status_reason": "Mark resource unhealthy by autohealing service"}
    path = f"{HEAT}/stacks/{parent}/{parent_id}/resources/{nodes[1].uuid}"
    assert (await heat.as_("reader").patch(path, body)).status == 403
    assert (await heat.patch(path, body | {"mark_unhealthy": False})).status == 200
    assert (await infra.get("/v1/clusters/c")).json()["status"] == "CREATE_COMPLETE"
    assert (await heat.patch(path, body)).status == 200
    async with store.read() as tx:
        group = await tx.nodegroups.get(parent_id)
    assert (group.spec.nodes_to_remove, group.spec.node_count) == ((nodes[1].uuid,), 2)
    assert (await infra.get("/v1/clusters/c")).json()["status"] == "UPDATE_IN_PROGRESS"


async def test_who_may_only_read_other_projects_replaces_no_node_of_theirs(parts, cluster, tmp_path):
    uuid, _ = cluster
    rules = tmp_path / "policy.yaml"
    rules.write_text('"cluster:get_one_all_projects": "role:reader"\n"cluster:resize": "role:reader"\n')
    options = replace(parts.options, policy_file=rules)
    stranger = Client(create_app(replace(parts, options=options)), "/orchestration", version=None).as_("stranger")
    stack = (await stranger.get(f"{HEAT}/stacks/{uuid}")).json()["stack"]
    assert stack["id"] == uuid
    path = f"{HEAT}/stacks/{stack['stack_name']}/{uuid}/resources/kube_masters"
    assert (await stranger.patch(path, {"mark_unhealthy": False})).status == 403


async def test_refusals_have_the_shape_of_heat(heat, cluster):
    uuid, _ = cluster
    missing = await heat.get(f"{HEAT}/stacks/00000000-0000-4000-8000-00000000000a")
    assert missing.status == 404
    assert missing.json()["error"]["type"] == "EntityNotFound"
    stranger = heat.as_("stranger")
    assert (await stranger.get(f"{HEAT}/stacks/{uuid}")).status == 403
    assert (await stranger.get(f"/v1/p2/stacks/{uuid}")).status == 404
    assert (await heat.as_("admin").get(f"{HEAT}/stacks/{uuid}")).status == 200
    assert (await heat.as_(None).get(f"{HEAT}/stacks/{uuid}")).status == 401
    assert (await heat.get(f"{HEAT}/stacks/c/{uuid}/resources/nothing")).status == 404
    for body in ({}, {"mark_unhealthy": "perhaps"}, {"mark_unhealthy": True, "more": 1}, []):
        assert (await heat.patch(f"{HEAT}/stacks/c/{uuid}/resources/kube_minions", body)).status == 400, body


async def test_they_are_an_option(parts, cluster):
    uuid, _ = cluster
    plain = Client(create_app(replace(parts, options=replace(parts.options, heat_views=False))), "/orchestration")
    assert (await plain.get(f"{HEAT}/stacks/{uuid}")).status == 404
