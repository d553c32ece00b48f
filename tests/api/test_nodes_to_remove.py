"""Nodes that a resize names: by whatever programs call them, removed or replaced."""

import uuid

import pytest

from tests.api.loops import place_nodes, settle


async def wish_of_workers(store, cluster_id: str):
    async with store.read() as tx:
        groups = (await tx.nodegroups.groups_of(cluster_id))[cluster_id]
    return next(group.spec for group in groups if group.spec.role == "worker")


@pytest.mark.parametrize(
    "ident",
    [
        lambda node: node.uuid,
        lambda node: node.uuid.upper(),
        lambda node: node.uuid.replace("-", ""),
        lambda node: node.uuid.replace("-", "").upper(),
        lambda node: uuid.uuid5(uuid.UUID(node.uuid), "0").hex[:16] + "0123456789abcdef",
        lambda node: node.name,
        lambda _: "3",
        lambda _: "172.20.0.10",
        lambda _: "a" * 64,
        lambda _: "a" * 12,
    ],
    ids="uuid SystemUUID machine-id MACHINE-ID kubelet name minion address server short-server".split(),
)
async def test_a_node_to_remove_is_known_by_whatever_programs_call_it(infra, make, store, ident):
    cluster_id = await make.cluster(node_count=2)
    await settle(store, cluster_id)
    first, _ = await place_nodes(store, cluster_id)
    body = {"node_count": 1, "nodes_to_remove": [ident(first)]}
    answer = await infra.post("/v1/clusters/c/actions/resize", body)
    assert answer.status == 202, answer.body
    assert (await wish_of_workers(store, cluster_id)).nodes_to_remove == (first.uuid,)


async def test_a_replacement_is_in_progress_and_told(infra, make, store):
    cluster_id = await make.cluster(node_count=2)
    await settle(store, cluster_id)
    first, second = await place_nodes(store, cluster_id)
    body = {"node_count": 2, "nodes_to_remove": [first.name, first.uuid]}
    assert (await infra.post("/v1/clusters/c/actions/resize", body)).status == 202
    assert (await infra.get("/v1/clusters/c")).json()["status"] == "UPDATE_IN_PROGRESS"
    # Before the first is carried out the second comes, as from a healer that repairs node by node.
    body = {"node_count": 3, "nodes_to_remove": [second.uuid]}
    assert (await infra.post("/v1/clusters/c/actions/resize", body)).status == 202
    assert (await wish_of_workers(store, cluster_id)).nodes_to_remove == (first.uuid, second.uuid)
    events = (await infra.get("/v1/clusters/c/events")).json()["events"]
    assert [event["message"] for event in events if event["event_type"] == "cluster.resize"] == [
        f"{first.name} to be replaced in default-worker.",
        f"default-worker resized from 2 to 3 nodes; {first.name}, {second.name} to be replaced in default-worker.",
    ]
    body = {"node_count": 1, "nodes_to_remove": [second.uuid, "9"]}
    refused = await infra.post("/v1/clusters/c/actions/resize", body)
    assert (refused.status, refused.error["detail"]) == (400, "Nodegroup default-worker has no node 9 to remove.")
