"""Containers of capsules: shown and asked by their uuids, and changed by nobody."""

import aiohttp
import pytest

from jeroboam.domain.capsules import CapsulePhase
from jeroboam.domain.containers import ContainerObserved, RuntimeState
from tests.api.capsules import make_capsule
from tests.api.loops import run_capsule
from tests.api.own_routes import within
from tests.api.server import serving
from tests.builders import NOW


@pytest.fixture
async def member(zun, store):
    """The uuid of a container of a capsule that runs."""
    shown = await make_capsule(zun, {"image": "busybox", "stdin": True, "ports": [{"containerPort": 80}]})
    await run_capsule(store, shown["uuid"])
    return shown["containers"][0]["uuid"]


async def test_a_member_is_shown_as_a_container(zun, member):
    shown = (await zun.get(f"/v1/containers/{member}")).json()
    [listed] = (await zun.get("/v1/capsules/pod")).json()["containers"]
    assert {key: shown[key] for key in listed} == listed
    assert (shown["status"], shown["ports"], shown["hostname"]) == ("Running", [80], "pod")
    assert shown["addresses"]["n1"][0]["addr"] == "10.0.0.9"
    assert shown["command"] == ["sh"]


async def test_members_are_in_no_list_and_have_no_name_of_their_own(zun, member, make):
    await make.container()
    assert [container["name"] for container in (await zun.get("/v1/containers")).json()["containers"]] == ["box"]
    name = (await zun.get(f"/v1/containers/{member}")).json()["name"]
    assert (await zun.get(f"/v1/containers/{name}")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/start", None),
        ("POST", "/stop", None),
        ("POST", "/reboot", None),
        ("POST", "/pause", None),
        ("POST", "/unpause", None),
        ("POST", "/kill", None),
        ("POST", "/rebuild", None),
        ("POST", "/resize_container", {"cpu": 1}),
        ("PATCH", "", {"name": "other"}),
        ("DELETE", "", None),
        ("DELETE", "?stop=true", None),
        ("POST", "/put_archive?path=/tmp", {"data": ""}),
    ],
)
async def test_what_would_change_a_member_names_the_capsule(zun, member, method, path, body):
    refused = await zun.request(method, f"/v1/containers/{member}{path}", body)
    assert refused.status == 409, refused.body
    assert f"container {member}: it belongs to the capsule pod (" in refused.error["title"]


async def test_live_questions_go_to_the_host(zun, member, parts):
    path = f"/v1/containers/{member}"
    assert (await zun.get(f"{path}/logs")).json() == "one\ntwo\n"
    executed = await zun.post(f"{path}/execute?command=true")
    assert (executed.status, executed.json()["exit_code"]) == (200, 3)
    assert (await zun.get(f"{path}/top")).status == 200
    assert (await zun.get(f"{path}/stats")).json()["CPU %"] == 12.35
    assert (await zun.post(f"{path}/resize?h=10&w=20")).status == 200
    parts.gateway.files["/etc/x"] = b"tar"
    assert (await zun.get(f"{path}/get_archive?path=/etc/x")).json()["stat"]["name"] == "x"
    assert {asked[2] for asked in parts.gateway.asked} == {member}


async def test_networks_and_actions_of_a_member(zun, member):
    [network] = (await zun.get(f"/v1/containers/{member}/network_list")).json()["networks"]
    assert network["fixed_ips"][0]["ip_address"] == "10.0.0.9"
    assert (await zun.get(f"/v1/containers/{member}/container_actions")).json() == {"containerActions": []}


async def test_attach_and_exec_sessions(zun, app, member, parts):
    url = (await zun.get(f"/v1/containers/{member}/attach")).json()
    async with serving(app) as base, aiohttp.ClientSession() as session:
        address = base.replace("http", "ws") + "/" + url.split("/", 3)[3]
        async with session.ws_connect(address, protocols=("binary",)) as ws:
            await ws.send_bytes(b"hello")
            assert await within(ws.receive_bytes()) == b"hello"
    await parts.gateway.programs.close()
    assert parts.gateway.asked[-1][0] == "attach"
    assert parts.gateway.asked[-1][2] == member
    assert (await zun.post(f"/v1/containers/{member}/execute?command=sh&run=false")).json()["exec_id"]


@pytest.mark.parametrize(
    ("phase", "state", "changes", "status"),
    [
        (CapsulePhase.RUNNING, RuntimeState.EXITED, {"next_start_at": NOW}, "Restarting"),
        (CapsulePhase.RUNNING, RuntimeState.EXITED, {"is_done": True}, "Stopped"),
        (CapsulePhase.RUNNING, RuntimeState.CREATED, {}, "Created"),
        (CapsulePhase.PENDING, RuntimeState.ABSENT, {}, "Creating"),
        (CapsulePhase.FAILED, RuntimeState.ABSENT, {}, "Error"),
        (CapsulePhase.SUCCEEDED, RuntimeState.ABSENT, {"is_done": True}, "Stopped"),
    ],
)
async def test_the_status_of_a_member(zun, store, member, phase, state, changes, status):
    uuid = (await zun.get("/v1/capsules/pod")).json()["uuid"]
    await run_capsule(store, uuid, phase, container=ContainerObserved(state=state), **changes)
    assert (await zun.get(f"/v1/containers/{member}")).json()["status"] == status
    if status != "Running":
        assert (await zun.post(f"/v1/containers/{member}/execute?command=true")).status == 409


async def test_a_member_goes_with_its_capsule(zun, store, member):
    async with store.write() as tx:
        await tx.capsules.remove({"name": "pod"})
    assert (await zun.get(f"/v1/containers/{member}")).status == 404
