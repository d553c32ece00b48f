"""Containers inside a bay, as their users ask for them: wishes that are stored or refused at once, live questions."""

import datetime as dt
import json
from dataclasses import replace

import pytest

from jeroboam.domain.bay_containers import ContainerAction, parse_memory
from jeroboam.domain.clusters import Operation
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import Unavailable
from jeroboam.domain.states import ask_cluster
from tests.api.client import Client
from tests.api.loops import run_in_bay, settle

BOTH = pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
ACTS = ("start", "stop", "reboot", "pause", "unpause")


@pytest.fixture
def old(app):
    return Client(app, "/container-infra")


@pytest.fixture
async def bay(make, store):
    uuid = await make.cluster(name="b")
    await settle(store, uuid)
    return uuid


@pytest.fixture
def box(old, bay):
    async def make(**fields):
        answer = await old.post("/v1/containers", {"name": "box", "image": "busybox", "bay_uuid": "b"} | fields)
        assert answer.status == 201, answer.body
        return answer.json()

    return make


@pytest.fixture
def loop(store):
    async def run(uuid: str, state: RuntimeState) -> None:
        await run_in_bay(store, uuid, state)

    return run


def said(answer) -> str:
    return json.loads(answer.json()["error_message"])["faultstring"]


async def test_a_container_is_stored_with_its_wish(old, bay, box, store, loop):
    answer = await old.post(
        "/v1/containers",
        {"name": "box", "image": "busybox", "command": "sh -c 'top -b'", "memory": "64m", "bay_uuid": bay},
    )
    assert answer.status == 201
    made = answer.json()
    assert answer.headers["location"] == f"http://cloud:9511/container-infra/v1/containers/{made['uuid']}"
    assert (made["bay_uuid"], made["image"], made["image_id"]) == (bay, "busybox", "busybox")
    assert (made["command"], made["memory"], made["status"]) == ("sh -c 'top -b'", "64m", "Unknown")
    assert made["status_reason"] == "What was asked is under way: create."
    async with store.read() as tx:
        stored = await tx.bay_containers.get(made["uuid"])
    assert (stored.project_id, stored.user_id, stored.cluster_id) == ("p1", "u1", bay)
    await loop(made["uuid"], RuntimeState.CREATED)
    shown = (await old.get("/v1/containers/box")).json()
    assert (shown["status"], shown["status_reason"]) == ("Stopped", None)
    [short] = (await old.get("/v1/containers")).json()["containers"]
    assert short == {key: shown[key] for key in ("uuid", "name", "bay_uuid", "status", "links")}
    assert (await old.get("/v1/containers/detail")).json()["containers"] == [shown]


async def test_what_kilo_called_an_image(old, bay):
    wish = {"name": "box", "image_id": "busybox:1", "bay_uuid": bay}
    made = (await old.post("/v1/containers", wish)).json()
    assert made["image"] == made["image_id"] == "busybox:1"
    assert (await old.post("/v1/containers", wish | {"image": "busybox"})).status == 400


async def test_the_bay_is_told_by_uuid_or_name_and_a_name_is_made_up(old, bay):
    made = await old.post("/v1/containers", {"image": "busybox", "bay_uuid": bay, "name": None, "command": None})
    assert made.json()["name"].endswith("-container")


@BOTH
async def test_lists_of_one_bay(old, box, make, store):
    await settle(store, await make.cluster(name="other"))
    first, second = await box(), await box(bay_uuid="other", name="box2")
    shown = (await old.get("/v1/containers/?bay_ident=other")).json()["containers"]
    assert [each["uuid"] for each in shown] == [second["uuid"]]
    assert len((await old.get("/v1/containers")).json()["containers"]) == 2
    assert (await old.get("/v1/containers?bay_ident=nothing")).status == 404
    page = (await old.get("/v1/containers?bay_ident=b&limit=1")).json()
    assert page["next"].endswith(f"marker={first['uuid']}&bay_ident=b")
    rest = await old.get(page["next"].partition("/container-infra")[2])
    assert rest.json() == {"containers": []}


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"bay_uuid": None}, 400, "bay_uuid"),
        ({"bay_uuid": 5}, 400, "bay_uuid"),
        ({"bay_uuid": "nothing"}, 404, "bay_uuid"),
        ({"bay_uuid": "k"}, 400, "expecting a swarm bay"),
        ({"image": None}, 400, "image"),
        ({"image": ""}, 400, "image"),
        ({"image": "Busy Box"}, 400, "image"),
        ({"image": "../../x"}, 400, "image"),
        ({"image": "busybox\n"}, 400, "image"),
        ({"image": 5}, 400, "image"),
        ({"name": ""}, 400, "name"),
        ({"name": 5}, 400, "name"),
        ({"name": "x" * 256}, 400, "name"),
        ({"name": "logs"}, 400, "name"),
        ({"command": ["top"]}, 400, "command"),
        ({"command": "sh -c 'x"}, 400, "command"),
        ({"command": "x" * 4097}, 400, "command"),
        ({"memory": "much"}, 400, "memory"),
        ({"memory": "0"}, 400, "memory"),
        ({"memory": "-1m"}, 400, "memory"),
        ({"memory": "9999999999g"}, 400, "memory"),
        ({"memory": True}, 400, "memory"),
        ({"uuid": "3c2f1a94-2b5c-4d39-a3b0-8d2e0d6d0a11"}, 400, "uuid"),
        ({"bogus": 1}, 400, "bogus"),
    ],
)
async def test_bad_containers(old, bay, make, body, status, word):
    await make.cluster(name="k", cluster_template_id=(await make.template(coe="kubernetes"))["uuid"])
    answer = await old.post("/v1/containers", {"name": "box", "image": "busybox", "bay_uuid": "b"} | body)
    assert answer.status == status, answer.body
    assert word in said(answer)
    assert (await old.get("/v1/containers")).json() == {"containers": []}


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("5B", 5), ("2k", 2048), ("64m", 64 << 20), ("1G", 1 << 30)])
def test_sizes(text, size):
    assert parse_memory(text) == size


async def test_a_bay_that_goes_or_never_came_takes_none(old, bay, store):
    async def status(**changes) -> None:
        async with store.write() as tx:
            await tx.clusters.update(replace(await tx.clusters.get(bay), **changes))

    wish = {"image": "busybox", "bay_uuid": bay}
    await status(operation=Operation.DELETE, status="DELETE_IN_PROGRESS")
    assert (await old.post("/v1/containers", wish)).status == 409
    await status(operation=Operation.CREATE, status="CREATE_FAILED")
    assert "CREATE_FAILED" in said(await old.post("/v1/containers", wish))
    await status(operation=Operation.UPDATE, status="UPDATE_FAILED")
    assert (await old.post("/v1/containers", wish)).status == 201


async def test_one_for_a_bay_that_is_being_made_has_until_then_and_its_own_time(old, make, store, parts):
    uuid = await make.cluster(name="b", create_timeout=30)
    made = (await old.post("/v1/containers", {"image": "busybox", "bay_uuid": "b"})).json()
    async with store.read() as tx:
        cluster, container = await tx.clusters.get(uuid), await tx.bay_containers.get(made["uuid"])
    assert container.deadline_at - cluster.deadline_at == dt.timedelta(seconds=parts.options.create_seconds)


@BOTH
@pytest.mark.parametrize("form", ["/v1/containers/{name}/{act}", "/v1/containers/{act}/{name}"])
async def test_acts_are_wishes_in_their_order(old, box, store, form):
    uuid = (await box())["uuid"]
    for act in ("start", "pause", "unpause", "reboot", "stop"):
        answer = await old.put(form.format(name="box", act=act))
        assert answer.status == 200, answer.body
        assert answer.json()["uuid"] == uuid
    async with store.read() as tx:
        stored = await tx.bay_containers.get(uuid)
    assert [op.act for op in stored.ops] == list(
        map(ContainerAction, ("create", "start", "pause", "unpause", "reboot", "stop"))
    )
    assert [op.seq for op in stored.ops] == list(range(1, 7))


FORBIDDEN = {
    RuntimeState.CREATED: {"stop", "pause", "unpause"},
    RuntimeState.RUNNING: {"start", "unpause"},
    RuntimeState.PAUSED: {"start", "stop", "reboot", "pause"},
    RuntimeState.EXITED: {"stop", "pause", "unpause"},
    RuntimeState.ABSENT: {"stop", "pause", "unpause"},
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("state", FORBIDDEN)
async def test_what_a_state_forbids_is_a_409_at_once(old, box, loop, store, state, act):
    uuid = (await box())["uuid"]
    await loop(uuid, state)
    async with store.read() as tx:
        before = await tx.bay_containers.get(uuid)
    answer = await old.put(f"/v1/containers/{uuid}/{act}")
    async with store.read() as tx:
        after = await tx.bay_containers.get(uuid)
    if act in FORBIDDEN[state]:
        assert answer.status == 409
        assert f"Cannot {act} container {uuid} in {before.status} status" == said(answer)
        assert after == before
    else:
        assert answer.status == 200
        assert after.generation == before.generation + 1


async def test_logs_and_commands(old, box, loop, parts):
    made = await box()
    await loop(made["uuid"], RuntimeState.RUNNING)
    asked = (made["bay_uuid"], made["uuid"])
    for path in ("/v1/containers/box/logs", f"/v1/containers/logs/{made['uuid']}"):
        assert (await old.get(path)).json() == {"output": "one\ntwo\n"}
    for path in ("/v1/containers/box/execute", f"/v1/containers/execute/{made['uuid']}"):
        answer = await old.put(f"{path}?command=echo+%27a+b%27")
        assert answer.json() == {"output": "hello\n"}
    told = ("echo", "a b")
    assert parts.conductor.asked == [("logs", *asked)] * 2 + [("execute", *asked, told)] * 2
    parts.conductor.fault = Unavailable("The bay cannot be asked now: silent")
    assert (await old.get("/v1/containers/box/logs")).status == 503
    for query in ("", "?command=", "?command=%27", "?command=x&bogus=1"):
        assert (await old.put(f"/v1/containers/box/execute{query}")).status == 400
    await loop(made["uuid"], RuntimeState.PAUSED)
    assert (await old.put("/v1/containers/box/execute?command=true")).status == 409


@BOTH
async def test_a_delete_and_what_follows_it(old, box, store):
    uuid = (await box())["uuid"]
    await old.put("/v1/containers/box/start")
    assert (await old.delete("/v1/containers/box")).status == 204
    assert (await old.delete("/v1/containers/box")).status == 204
    shown = (await old.get("/v1/containers/box")).json()
    assert shown["status_reason"] == "It is being deleted."
    async with store.read() as tx:
        stored = await tx.bay_containers.get(uuid)
    assert (stored.deleting, stored.ops) == (True, ())
    for act in ACTS:
        assert (await old.put(f"/v1/containers/box/{act}")).status == 409


async def test_another_name(old, box):
    await box()
    answer = await old.patch("/v1/containers/box", [{"op": "replace", "path": "/name", "value": "box2"}])
    assert answer.json()["name"] == "box2"
    for op, path, value in (
        ("replace", "/name", "stop"), ("replace", "/name", 5), ("remove", "/name", None), ("replace", "/image", "x"),
        ("replace", "/uuid", "x"), ("add", "/bogus", "x"), ("replace", "/name/x", "y"),
    ):  # fmt: skip
        step = {"op": op, "path": path} | ({} if value is None else {"value": value})
        assert (await old.patch("/v1/containers/box2", [step])).status == 400, path


async def test_a_name_that_two_have_is_a_conflict(old, box):
    first, second = await box(), await box()
    answer = await old.get("/v1/containers/box")
    assert answer.status == 409
    assert "Multiple containers exist with same name" in said(answer)
    for made in (first, second):
        assert (await old.get(f"/v1/containers/{made['uuid']}")).status == 200


async def test_strangers_see_nothing_and_readers_change_nothing(old, box, loop):
    uuid = (await box())["uuid"]
    await loop(uuid, RuntimeState.RUNNING)
    stranger, reader, admin = old.as_("stranger"), old.as_("reader"), old.as_("admin")
    changes = [("DELETE", f"/v1/containers/{uuid}", None), ("PUT", f"/v1/containers/{uuid}/execute?command=ls", None)]
    changes += [("PUT", f"/v1/containers/{uuid}/{act}", None) for act in ACTS]
    changes += [("PATCH", f"/v1/containers/{uuid}", [{"op": "replace", "path": "/name", "value": "x"}])]
    for method, path, body in changes:
        assert (await stranger.request(method, path, body)).status == 404
        assert (await reader.request(method, path, body)).status == 403
    for path in (f"/v1/containers/{uuid}", f"/v1/containers/{uuid}/logs"):
        assert (await stranger.get(path)).status == 404
        assert (await reader.get(path)).status == 200
    assert (await stranger.get("/v1/containers")).json() == {"containers": []}
    assert (await stranger.post("/v1/containers", {"image": "x", "bay_uuid": "b"})).status == 404
    assert (await admin.get("/v1/containers")).json()["containers"][0]["uuid"] == uuid


async def test_a_delete_of_the_bay_is_not_held_up(old, bay, box, store):
    await box()
    async with store.write() as tx:
        cluster = ask_cluster(await tx.clusters.get(bay), Operation.DELETE, now=tx.now, minutes=5)
        await tx.clusters.update(cluster)
    assert (await old.get("/v1/containers/box")).status == 200
