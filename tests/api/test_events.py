"""Events: each accepted wish leaves one with its author, refused ones leave none, and only the project reads them."""

import asyncio
import json

import pytest

from tests.api.client import Client
from tests.api.loops import settle


async def told(client, path="/v1/clusters/c/events") -> list[tuple]:
    events = (await client.get(path)).json()["events"]
    return [(event["event_type"], event["nodegroup"], event["message"]) for event in events]


async def notes(store):
    async with store.read() as tx:
        return [(note.event, json.loads(note.payload)) for note in await tx.list_outgoing(100)]


async def test_every_wish_is_told_with_who_asked(infra, make, store):
    uuid = await make.cluster(node_count=2)
    await settle(store, uuid)
    await infra.as_("colleague").post("/v1/clusters/c/actions/resize", {"node_count": 3})
    await infra.patch("/v1/clusters/c", [{"op": "replace", "path": "/labels", "value": '{"team": "a"}'}])
    await infra.patch("/v1/clusters/c", [{"op": "replace", "path": "/name", "value": "d"}])
    group = {"name": "fast", "node_count": 2}
    await infra.post("/v1/clusters/d/nodegroups", group)
    patch = [{"op": "replace", "path": "/max_node_count", "value": 5}]
    await infra.patch("/v1/clusters/d/nodegroups/default-worker", patch)
    await infra.patch(f"/v1/certificates/{uuid}")
    template = (await make.template(name="newer"))["uuid"]
    await infra.post("/v1/clusters/d/actions/upgrade", {"cluster_template": template})
    await infra.delete("/v1/clusters/d/nodegroups/fast")
    await infra.delete("/v1/clusters/d")
    events = (await infra.get("/v1/clusters/d/events")).json()["events"]
    assert [(event["event_type"], event["nodegroup"], event["message"]) for event in events] == [
        (
            "cluster.create",
            None,
            "Cluster requested from template t: default-master with 1 node, default-worker with 2 nodes.",
        ),
        ("cluster.resize", "default-worker", "default-worker resized from 2 to 3 nodes."),
        ("cluster.update", None, "change of labels requested."),
        ("cluster.update", None, "renamed from c to d."),
        ("nodegroup.create", "fast", "Node group fast requested with 2 nodes."),
        ("nodegroup.update", "default-worker", "default-worker: change of max_node_count requested."),
        ("cluster.rotate_ca", None, "Rotation of the certificate authority requested."),
        ("cluster.upgrade", None, "Upgrade to template newer requested: default-master, default-worker."),
        ("nodegroup.delete", "fast", "Deletion of node group fast requested."),
        ("cluster.delete", None, "Deletion of the cluster requested."),
    ]
    assert [event["user_id"] for event in events[:3]] == ["u1", "u2", "u1"]
    assert {event["cluster_uuid"] for event in events} == {uuid}
    assert (events[0]["status"], events[1]["status"]) == ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
    assert all(event["request_id"].startswith("req-") and event["created_at"] for event in events)
    async with store.read() as tx:
        kinds = [note.event for note in await tx.list_outgoing(100)]
    assert [kinds[0], kinds[-1]] == ["magnum.cluster.create", "magnum.cluster.delete"]
    assert set(kinds[1:-1]) == {"magnum.cluster.update"}


async def test_wishes_to_bays_are_told_too(app, infra, make, store):
    await settle(store, await make.cluster())
    old = Client(app, "/container-infra")
    await old.patch("/v1/bays/c", [{"op": "replace", "path": "/node_count", "value": 2}])
    await old.delete("/v1/bays/c")
    assert [kind for kind, *_ in await told(infra)] == ["cluster.create", "cluster.resize", "cluster.delete"]


async def test_a_refused_wish_leaves_none(infra, make, store):
    uuid = await make.cluster()
    assert (await infra.post("/v1/clusters/c/actions/resize", {"node_count": 2})).status == 409
    assert (await infra.as_("reader").delete(f"/v1/clusters/{uuid}")).status == 403
    assert (await infra.post("/v1/clusters", {"cluster_template_id": "nothing"})).status == 404
    assert [kind for kind, *_ in await told(infra)] == ["cluster.create"]
    assert len(await notes(store)) == 1


async def test_asking_twice_for_the_same_end_is_told_once(infra, make, store):
    await settle(store, await make.cluster())
    for _ in range(2):
        assert (await infra.delete("/v1/clusters/c")).status == 204
    assert [kind for kind, *_ in await told(infra)] == ["cluster.create", "cluster.delete"]


async def test_a_health_that_is_set_is_told_to_users_alone(infra, make, store):
    await settle(store, await make.cluster())
    await infra.patch("/v1/clusters/c", [{"op": "replace", "path": "/health_status", "value": "UNHEALTHY"}])
    events = (await infra.get("/v1/clusters/c/events")).json()["events"]
    assert (events[-1]["event_type"], events[-1]["status"]) == ("cluster.health", "UNHEALTHY")
    assert len(await notes(store)) == 1


async def test_what_other_services_are_told_of_a_wish(infra, make, store):
    uuid = await make.cluster(node_count=2, labels={"db_password": "hunter2"})
    [(event, payload)] = await notes(store)
    assert (event, payload["outcome"], payload["action"]) == ("magnum.cluster.create", "pending", "create")
    initiator, target = payload["initiator"], payload["target"]
    assert (initiator["user_id"], initiator["project_id"], target["id"]) == ("u1", "p1", uuid)
    content = target["attachments"][0]["content"]
    assert (content["uuid"], content["node_count"], content["status"]) == (uuid, 2, "CREATE_IN_PROGRESS")
    assert "hunter2" not in repr(payload)
    await settle(store, uuid)
    await infra.as_("admin").delete(f"/v1/clusters/{uuid}")
    _, payload = (await notes(store))[-1]
    assert (payload["initiator"]["user_id"], payload["initiator"]["project_id"]) == ("root", "p0")


async def test_the_attachment_is_what_the_api_shows(infra, make, store):
    uuid = await make.cluster(node_count=2)
    [(_, payload)] = await notes(store)
    content = payload["target"]["attachments"][0]["content"]
    shown = (await infra.get(f"/v1/clusters/{uuid}")).json()
    both = (content.keys() & shown.keys()) - {"created_at", "updated_at"}
    assert {key: content[key] for key in both} == {key: shown[key] for key in both}
    withheld = {"links", "discovery_url", "cluster_id", "merge_labels"}
    withheld |= {"labels_added", "labels_overridden", "labels_skipped"}
    assert shown.keys() - content.keys() == withheld


async def test_only_the_project_reads_them(infra, make):
    uuid = await make.cluster()
    assert len(await told(infra.as_("reader"))) == 1
    stranger = infra.as_("stranger")
    assert (await stranger.get(f"/v1/clusters/{uuid}/events")).status == 404
    assert (await stranger.get("/v1/events")).json() == {"events": []}
    assert (await stranger.get(f"/v1/events?cluster={uuid}")).json() == {"events": []}
    assert len(await told(infra.as_("admin"), f"/v1/clusters/{uuid}/events")) == 1
    assert len(await told(infra.as_("admin"), "/v1/events")) == 1


async def test_events_outlive_their_cluster(infra, make, store):
    uuid = await make.cluster()
    async with store.write() as tx:
        await tx.nodegroups.remove({"cluster_id": uuid})
        await tx.clusters.remove({"uuid": uuid})
    assert (await infra.get(f"/v1/clusters/{uuid}/events")).status == 404
    for ident in (uuid, "c"):
        assert len(await told(infra, f"/v1/events?cluster={ident}")) == 1


async def test_they_are_narrowed_paged_and_counted(infra, make, store):
    await settle(store, await make.cluster())
    for count in (2, 3, 2):
        await infra.post("/v1/clusters/c/actions/resize", {"node_count": count})
    page = (await infra.get("/v1/clusters/c/events?event_type=cluster.resize&limit=2&with_count=true")).json()
    assert (len(page["events"]), page["total_count"]) == (2, 3)
    rest = (await infra.get(page["next"].removeprefix("http://cloud:9511/container-infra"))).json()
    assert [event["message"] for event in rest["events"]] == ["default-worker resized from 3 to 2 nodes."]
    last = (await infra.get("/v1/events?sort_key=created_at&sort_dir=desc&limit=1")).json()["events"]
    assert last[0]["uuid"] == rest["events"][0]["uuid"]
    assert len(await told(infra, "/v1/events?nodegroup=default-worker")) == 3
    assert len(await told(infra, "/v1/events?since=2020-01-01T00:00:00%2B00:00")) == 4
    assert len(await told(infra, "/v1/events?since=2020-01-01T00:00:00+00:00")) == 4
    assert len(await told(infra, "/v1/events?since=2020-01-01")) == 4
    assert await told(infra, "/v1/events?since=2990-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    "query",
    ["event_type=cluster.party", "since=yesterday", "since=", "since=0001-01-01T00:00:00%2B14:00", "limit=0", "what=1"],
)
async def test_nonsense_is_refused(infra, query):
    assert (await infra.get(f"/v1/events?{query}")).status == 400


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
async def test_wishes_at_once_leave_an_event_each(infra, make, store):
    await settle(store, await make.cluster())
    asks = [infra.post("/v1/clusters/c/actions/resize", {"node_count": count}) for count in range(2, 8)]
    assert {answer.status for answer in await asyncio.gather(*asks)} == {202}
    resized = [message for kind, _, message in await told(infra) if kind == "cluster.resize"]
    before = 1
    for message in resized:
        words = message.split()
        assert int(words[3]) == before, "each begins where the one before it ended"
        before = int(words[5])
    assert len(resized) == 6
