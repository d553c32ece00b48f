"""Rebuild, other limits, the networks of a container, and the history of what was asked of it."""

from dataclasses import replace

import pytest

from jeroboam.domain.containers import Address, ContainerObserved, OpKind, RuntimeState, Status
from jeroboam.domain.hosts import HostFacts
from jeroboam.domain.states import project_container
from tests.builders import NOW, container, host, new_uuid


@pytest.fixture
async def box(make, on_host):
    return await on_host(await make.container())


async def ops_of(store, uuid):
    async with store.read() as tx:
        return (await tx.containers.get(uuid)).ops


async def end_all(store, uuid, **observed):
    """The host reports that all was done, or that it failed."""
    async with store.write() as tx:
        before = await tx.containers.get(uuid)
        seen = ContainerObserved(**{"seq": before.ops[-1].seq, "state": RuntimeState.RUNNING} | observed)
        after = project_container(replace(before, observed=seen))
        await tx.containers.update(after)
        await tx.container_actions.close_ended(before, after, tx.now)


async def test_rebuild_from_another_image(zun, box, store):
    answer = await zun.post(f"/v1/containers/{box.uuid}/rebuild?image=alpine&image_driver=docker")
    assert (answer.status, answer.json()) == (202, None)
    shown = (await zun.get(f"/v1/containers/{box.uuid}")).json()
    assert (shown["status"], shown["task_state"], shown["image"]) == ("Rebuilding", "container_rebuilding", "alpine")
    [op] = await ops_of(store, box.uuid)
    former = {"image": "busybox", "image_driver": "docker"}
    assert (op.kind, op.params) == (OpKind.REBUILD, {"run": True, "former": former})
    await end_all(store, box.uuid)
    assert (await zun.get(f"/v1/containers/{box.uuid}")).json()["status"] == "Running"


async def test_a_container_that_was_stopped_is_rebuilt_and_not_started(zun, box, store):
    assert (await zun.post(f"/v1/containers/{box.uuid}/stop")).status == 202
    assert (await zun.post(f"/v1/containers/{box.uuid}/rebuild")).status == 202
    assert (await ops_of(store, box.uuid))[-1].params == {"run": False, "former": {}}


@pytest.mark.parametrize("query", ["image=..", "image_driver=glance", "image_driver=x", "other=1"])
async def test_rebuilds_that_cannot_be(zun, box, store, query):
    answer = await zun.post(f"/v1/containers/{box.uuid}/rebuild?{query}")
    assert answer.status == 400
    assert query.partition("=")[0] in answer.error["detail"]
    assert not await ops_of(store, box.uuid)


async def test_rebuild_by_state(zun, store):
    for status in Status:
        row = container(name=f"c-{status}", status=status)
        async with store.write() as tx:
            await tx.containers.insert(row)
        expected = 202 if status in {Status.CREATED, Status.RUNNING, Status.STOPPED, Status.ERROR} else 409
        assert (await zun.post(f"/v1/containers/{row.uuid}/rebuild")).status == expected, status


async def test_resize_container(zun, box, store):
    answer = await zun.post(f"/v1/containers/{box.uuid}/resize_container?cpu=0.5&memory=128")
    assert answer.status == 202
    assert (answer.json()["cpu"], answer.json()["memory"]) == (0.5, "128")
    assert (await zun.post(f"/v1/containers/{box.uuid}/resize_container", {"memory": "256"})).status == 202
    assert (await zun.at("1.18").post(f"/v1/containers/{box.uuid}/resize_container?cpu=1")).status == 406
    for body in ({}, {"cpu": 0}, {"memory": "much"}, {"name": "x"}):
        assert (await zun.post(f"/v1/containers/{box.uuid}/resize_container", body)).status == 400, body


async def test_networks(zun, store):
    addresses = (
        Address(network="n", addr="10.0.0.2", port="p", subnet_id="s"),
        Address(network="n", addr="fd00::2", version=6, port="p", subnet_id="t"),
    )
    row = container(name="box", observed=ContainerObserved(seq=1, addresses=addresses))
    async with store.write() as tx:
        await tx.containers.insert(row)
    [one] = (await zun.get("/v1/containers/box/network_list")).json()["networks"]
    assert (one["net_id"], one["port_id"]) == ("n", "p")
    assert one["fixed_ips"][1] == {"subnet_id": "t", "version": 6, "ip_address": "fd00::2"}
    old = (await zun.at("1.17").get("/v1/containers/box/network_list")).json()["networks"]
    assert old[0] == {"net_id": "n", "port_id": "p", "subnet_id": "s", "version": 4, "ip_address": "10.0.0.2"}
    assert len(old) == 2
    assert (await zun.at("1.12").get("/v1/containers/box/network_list")).status == 406


async def test_history(zun, box, store):
    path = f"/v1/containers/{box.uuid}/container_actions"
    stop = await zun.post(f"/v1/containers/{box.uuid}/stop")
    assert (await zun.patch(f"/v1/containers/{box.uuid}", {"memory": 128})).status == 200
    actions = (await zun.get(path)).json()["containerActions"]
    assert [action["action"] for action in actions] == ["stop", "create"]
    assert actions[0]["request_id"] == stop.headers["x-openstack-request-id"]
    assert (actions[0]["finish_time"], actions[0]["message"]) == (None, None)
    await end_all(store, box.uuid, error="no", failed_op=OpKind.STOP)
    one = (await zun.get(f"{path}/{actions[0]['request_id']}")).json()
    assert one["finish_time"] is not None
    [event] = one["events"]
    assert (event["event"], event["result"], event["traceback"]) == ("compute__do_container_stop", "Success", None)
    assert "finish_time" not in (await zun.at("1.32").get(path)).json()["containerActions"][0]
    missing = await zun.get(f"{path}/req-{new_uuid()}")
    assert (missing.status, missing.error["code"]) == (404, "container.resource-not-found")


async def test_a_failure_in_the_history(zun, box, store):
    path = f"/v1/containers/{box.uuid}/container_actions"
    for action in ("stop", "start"):
        await zun.as_("admin").post(f"/v1/containers/{box.uuid}/{action}") if action == "start" else await zun.post(
            f"/v1/containers/{box.uuid}/{action}"
        )
    await end_all(store, box.uuid, error="the Engine says no", failed_op=OpKind.STOP)
    action = (await zun.get(path)).json()["containerActions"][0]
    assert action["message"] == "the Engine says no"
    one = (await zun.get(f"{path}/{action['request_id']}")).json()
    assert (one["events"][0]["result"], one["events"][0]["traceback"]) == ("Error", None)
    seen = (await zun.as_("admin").get(f"{path}/{action['request_id']}")).json()
    assert seen["events"][0]["traceback"] == "the Engine says no"


async def test_history_outlives_the_container(zun, box, store):
    path = f"/v1/containers/{box.uuid}/container_actions"
    assert (await zun.delete(f"/v1/containers/{box.uuid}?stop=true")).status == 204
    async with store.write() as tx:
        row = await tx.containers.get(box.uuid)
        await tx.containers.remove({"uuid": box.uuid})
        await tx.container_actions.close_deleted(row, tx.now)
    actions = (await zun.get(path)).json()["containerActions"]
    assert [action["action"] for action in actions] == ["delete", "create"]
    assert all(action["finish_time"] for action in actions)
    assert (await zun.as_("other-member").get(path)).status in {401, 404}
    assert (await zun.get("/v1/containers/box/container_actions")).status == 404


async def test_a_host_that_is_gone_for_good(zun, store):
    admin = zun.as_("admin")
    facts = HostFacts(hostname="h1", cpus=1, mem_total=1, disk_total=1)
    async with store.write() as tx:
        gone = host(hostname="h1", facts=facts, last_seen=NOW)
        await tx.hosts.insert(gone)
        await tx.hosts.insert(host(hostname="h2", facts=facts, last_seen=tx.now))
        await tx.containers.insert(container(name="there", host_id=gone.uuid))
    query = "host={}&binary=zun-compute"
    assert (await zun.delete(f"/v1/services?{query.format('h1')}")).status == 403
    binary = (await admin.get("/v1/services")).json()["services"][0]["binary"]
    for name, status in (("h2", 409), ("h1", 409), ("h3", 404)):
        assert (await admin.delete(f"/v1/services?host={name}&binary={binary}")).status == status, name
    async with store.write() as tx:
        await tx.containers.remove({"host_id": gone.uuid})
    assert (await admin.delete(f"/v1/services?host=h1&binary={binary}")).json() is None
    assert [one["host"] for one in (await admin.get("/v1/services")).json()["services"]] == ["h2"]
