"""Containers, from the POST to the DELETE, and what is asked of them meanwhile."""

import pytest

from jeroboam.api.container.process_fields import PROCESS_FIELDS
from jeroboam.api.container.views import status_detail
from jeroboam.domain.containers import ContainerObserved, OpKind, RuntimeState, Status
from jeroboam.domain.errors import Conflict, NotFound, Unavailable
from tests.api.loops import run_on_host
from tests.builders import NOW, container, host, new_uuid

KEYS = set(
    "uuid links name project_id user_id image cpu cpu_policy memory command status status_reason task_state "
    "environment workdir auto_remove ports hostname labels addresses restart_policy status_detail interactive tty "
    "image_driver security_groups disk auto_heal healthcheck registry_id entrypoint created_at updated_at".split()
)
GUARDED = {"image_pull_policy", "host", "runtime", "privileged"}


async def test_create_answers_with_what_was_asked(zun, make, store):
    answer = await zun.post(
        "/v1/containers?run=true",
        {
            "name": "box",
            "image": "busybox",
            "command": ["sh", "-c", "sleep 9"],
            "entrypoint": ["/e"],
            "cpu": "0.5",
            "memory": "64",
            "disk": 3,
            "environment": {"A": "b"},
            "labels": {"l": "m"},
            "restart_policy": {"Name": "on-failure", "MaximumRetryCount": "3"},
            "interactive": True,
            "tty": "false",
            "exposed_ports": {"80/tcp": {}, "53/udp": {}, "7": {}},
            "healthcheck": {"cmd": "true", "interval": 5, "retries": 2, "timeout": 1},
            "hostname": "h.example",
            "auto_heal": False,
            "availability_zone": "nova",
        },
    )
    assert answer.status == 202
    shown = answer.json()
    assert answer.headers["location"] == shown["links"][0]["href"]
    assert set(shown) == KEYS | {field.name for field in PROCESS_FIELDS}
    assert (shown["status"], shown["task_state"]) == ("Creating", "container_creating")
    assert (shown["cpu"], shown["memory"], shown["disk"]) == (0.5, "64", 3)
    assert shown["restart_policy"] == {"Name": "on-failure", "MaximumRetryCount": "3"}
    assert shown["healthcheck"] == {"test": "true", "interval": 5, "retries": 2, "timeout": 1}
    assert "T" not in shown["created_at"]
    assert "+" not in shown["created_at"]
    async with store.read() as tx:
        stored = await tx.containers.get(shown["uuid"])
    [op] = stored.ops
    assert (op.seq, op.kind, op.params) == (1, OpKind.CREATE, {"run": True})
    assert op.request_id == answer.headers["x-openstack-request-id"]
    assert stored.spec.exposed_ports == {"80/tcp": {}, "53/udp": {}, "7/tcp": {}}
    assert stored.deadline_at is not None
    assert (await zun.get("/v1/containers/box")).json() == shown


async def test_admins_see_more_keys(zun, make):
    await make.container()
    [shown] = (await zun.get("/v1/containers")).json()["containers"]
    assert set(shown) == KEYS - {"links"}
    [shown] = (await zun.as_("admin").get("/v1/containers?all_projects=1")).json()["containers"]
    assert set(shown) == (KEYS - {"links"}) | GUARDED


@pytest.mark.parametrize("version", ["1.1", "1.20", "1.36", "1.40"])
async def test_commands_and_terminals_by_version(zun, store, version):
    minor = int(version.partition(".")[2])
    command = "sh -c 'sleep 9'" if minor < 20 else ["sh", "-c", "sleep 9"]
    answer = await zun.at(version).post(
        "/v1/containers", {"image": "busybox", "command": command, "interactive": "true"}
    )
    assert answer.status == 202, answer.body
    assert answer.json()["command"] == ["sh", "-c", "sleep 9"]
    assert answer.json()["interactive"] is True
    assert answer.json()["tty"] is (minor < 36)


@pytest.mark.parametrize(
    ("name", "value", "since"),
    [
        ("auto_remove", True, 3),
        ("hostname", "h", 9),
        ("mounts", [], 11),
        ("healthcheck", {"cmd": "true"}, 22),
        ("exposed_ports", {"80": {}}, 24),
    ],
)
async def test_a_field_of_a_later_version(zun, name, value, since):
    body = {"image": "busybox", name: value}
    answer = await zun.at(f"1.{since - 1}").post("/v1/containers", body)
    assert (answer.status, answer.error["code"]) == (400, "container.invalid-param-in-version")
    assert answer.error["detail"] == (
        f"Invalid param {name} because current request version is 1.{since - 1}. "
        f"{name} is only supported from version 1.{since}"
    )
    assert (await zun.at(f"1.{since}").post("/v1/containers", body)).status == 202


@pytest.mark.parametrize(("name", "value", "since"), [("tty", True, 36), ("host", "h1", 39), ("entrypoint", ["e"], 40)])
async def test_a_field_that_older_schemas_do_not_have(zun, store, name, value, since):
    async with store.write() as tx:
        await tx.hosts.insert(host())
    admin, body = zun.as_("admin"), {"image": "busybox", name: value}
    answer = await admin.at(f"1.{since - 1}").post("/v1/containers", body)
    assert (answer.status, answer.error["code"]) == (400, "container.schema-validation-error")
    assert (await admin.at(f"1.{since}").post("/v1/containers", body)).status == 202


@pytest.mark.parametrize(
    ("field", "member", "admin"),
    [
        ({"runtime": "runc"}, 403, 202),
        ({"image_pull_policy": "Never"}, 403, 202),
        ({"host": "h9"}, 403, 404),
        ({"privileged": True}, 403, 403),
        ({"privileged": False}, 202, 202),
        ({"registry": "mine"}, 404, 404),
    ],
)
async def test_fields_that_need_a_right(zun, field, member, admin):
    body = {"image": "busybox"} | field
    assert (await zun.post("/v1/containers", body)).status == member
    assert (await zun.as_("admin").post("/v1/containers", body)).status == admin


ACTIONS = {
    "start": ("", None),
    "stop": ("?timeout=5", "container_stopping"),
    "reboot": ("?timeout=5", "container_rebooting"),
    "pause": ("", "container_pausing"),
    "unpause": ("", None),
    "kill": ("?signal=term", "container_killing"),
}


@pytest.mark.parametrize("version", ["1.1", "1.40"])
@pytest.mark.parametrize("action", ACTIONS)
async def test_actions_on_what_runs(zun, make, store, on_host, version, action):
    running = await on_host(await make.container())
    query, task = ACTIONS[action]
    heard = store._bus.subscribe("dispatch")
    answer = await zun.at(version).post(f"/v1/containers/box/{action}{query}")
    if task is None:
        assert (answer.status, answer.error["code"]) == (409, "container.invalid-state-exception")
        assert answer.error["detail"] == f"Cannot {action} container {running.uuid} in Running status"
        return
    assert (answer.status, answer.json()) == (202, None)
    async with store.read() as tx:
        asked = await tx.containers.get(running.uuid)
    assert (asked.task_state, asked.ops[-1].kind, asked.ops[-1].seq) == (task, OpKind(action), 2)
    assert asked.ops[-1].params in ({}, {"timeout": 5}, {"signal": "SIGTERM"})
    assert await anext(aiter(heard)) == f"{running.host_id}/{running.uuid}"


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        (None, "SIGKILL"),
        ("None", "SIGKILL"),
        ("9", "SIGKILL"),
        ("SIGHUP", "SIGHUP"),
        ("usr1", "SIGUSR1"),
        (15, "SIGTERM"),
    ],
)
async def test_signals_in_any_spelling(zun, make, store, on_host, said, sent):
    running = await on_host(await make.container())
    answer = await zun.post("/v1/containers/box/kill", None if said is None else {"signal": said})
    assert answer.status == 202
    async with store.read() as tx:
        assert (await tx.containers.get(running.uuid)).ops[-1].params == {"signal": sent}


async def test_live_questions(zun, make, parts, on_host):
    running = await on_host(await make.container())
    asked = parts.gateway.asked
    assert (await zun.get("/v1/containers/box/logs")).json() == "one\ntwo\n"
    plain = {"stdout": True, "stderr": True, "timestamps": False, "tail": None, "since": None}
    assert asked[-1] == ("logs", running.host_id, running.uuid, plain)
    await zun.get(f"/v1/containers/{running.uuid}/logs?stderr=False&timestamps=1&tail=5&since=2026-01-02 03:04:05,500")
    since = NOW.timestamp() + 0.5
    assert asked[-1][3] == {"stdout": True, "stderr": False, "timestamps": True, "tail": 5, "since": since}
    answer = await zun.post("/v1/containers/box/execute", {"command": "sh -c 'exit 3'", "run": True})
    assert answer.json() == {"output": "hello\n", "exit_code": 3, "exec_id": None, "proxy_url": None}
    assert asked[-1][3] == ("sh", "-c", "exit 3")
    assert (await zun.get("/v1/containers/box/top?ps_args=None")).json()["Processes"] == [["1", "sh"]]
    assert asked[-1][3] is None
    assert (await zun.get("/v1/containers/box/stats")).json() == {
        "CONTAINER": "box",
        "CPU %": 12.35,
        "MEM USAGE(MiB)": 64.0,
        "MEM LIMIT(MiB)": 512.0,
        "MEM %": 12.5,
        "BLOCK I/O(B)": "1/2",
        "NET I/O(B)": "3/4",
    }


async def test_live_questions_that_cannot_be_answered(zun, make, parts, store, on_host):
    created = await make.container()
    assert (await zun.get("/v1/containers/box/stats")).status == 409
    await on_host(created)
    for fault, status in ((Unavailable("host h1 is away"), 503), (Conflict("it took too long"), 409)):
        parts.gateway.fault = fault
        answer = await zun.post("/v1/containers/box/execute?command=sh")
        assert (answer.status, answer.error["detail"]) == (status, fault.detail)
    async with store.write() as tx:
        placeless = container(status=Status.RUNNING, name="placeless")
        await tx.containers.insert(placeless)
    assert (await zun.get("/v1/containers/placeless/top")).status == 409


async def test_delete_by_state_and_right(zun, make, store):
    created = await make.container()
    path = f"/v1/containers/{created['uuid']}"
    assert (await zun.delete(f"{path}?force=true")).status == 403
    assert (await zun.at("1.6").delete(f"{path}?force=true")).status == 400
    assert (await zun.at("1.11").delete(f"{path}?stop=true")).status == 400
    await run_on_host(store, created["uuid"])
    assert (await zun.delete(path)).status == 409
    answer = await zun.delete(f"{path}?stop=true")
    assert (answer.status, answer.body) == (204, b"")
    shown = (await zun.get(path)).json()
    assert (shown["status"], shown["task_state"]) == ("Deleting", "container_deleting")
    assert (await zun.as_("admin").delete(f"{path}?force=true")).status == 204


async def test_patch(zun, make, store, on_host):
    created = await make.container(cpu=1, memory=64)
    assert (await zun.patch("/v1/containers/box", {"memory": 128})).status == 409  # still being created
    await on_host(created)
    answer = await zun.patch("/v1/containers/box", {"memory": "128", "cpu": 2, "name": "bin", "auto_heal": False})
    assert answer.status == 200
    shown = answer.json()
    assert (shown["name"], shown["memory"], shown["cpu"], shown["auto_heal"]) == ("bin", "128", 2.0, False)
    async with store.read() as tx:
        [op] = (await tx.containers.get(created["uuid"])).ops
    assert (op.kind, op.params) == (OpKind.UPDATE, {"memory": 128, "cpu": 2.0})


async def test_rename_of_old(zun, make):
    await make.container()
    old = zun.at("1.13")
    assert (await old.post("/v1/containers/box/rename?name=bin")).json()["name"] == "bin"
    assert (await old.post("/v1/containers/bin/rename?name=bin")).status == 409
    assert (await old.post("/v1/containers/bin/rename")).status == 400
    assert (await old.post("/v1/containers/bin/rename", {"name": "box", "more": 1})).status == 400


async def test_lists_are_filtered_and_paged(zun, make, on_host):
    for number in range(4):
        await make.container(name=f"box{number}", memory=64 + number, image="busybox" if number else "alpine")
    await on_host((await zun.get("/v1/containers/box3")).json())

    async def names(query: str) -> list[str]:
        answer = await zun.get(f"/v1/containers?{query}")
        assert answer.status == 200, answer.body
        return [shown["name"] for shown in answer.json()["containers"]]

    assert await names("name=box1") == ["box1"]
    assert await names("image=alpine") == ["box0"]
    assert await names("memory=66") == ["box2"]
    assert await names("status=Running") == ["box3"]
    assert await names("auto_remove=true") == []
    assert await names("project_id=p2") == []
    assert await names("sort_key=memory&sort_dir=desc&limit=2") == ["box3", "box2"]
    assert (await zun.get("/v1/containers?host=h1")).status == 403
    page = (await zun.get("/v1/containers?limit=2&name=")).json()
    assert page == {"containers": [], "next": None}
    page = (await zun.get("/v1/containers?limit=3")).json()
    last = page["containers"][-1]["uuid"]
    expected = f"http://cloud:9511/container/v1/containers?sort_key=id&sort_dir=asc&limit=3&marker={last}"
    assert page["next"] == expected
    rest = (await zun.get(page["next"].removeprefix("http://cloud:9511/container"))).json()
    assert ([shown["name"] for shown in rest["containers"]], rest["next"]) == (["box3"], None)


async def test_names_and_ids(zun, make):
    created = await make.container(name="twin")
    await make.container(name="twin")
    answer = await zun.get("/v1/containers/twin")
    assert (answer.status, answer.error["code"]) == (409, "container.conflict")
    assert (await zun.get(f"/v1/containers/{created['uuid'].upper()}")).status == 200
    answer = await zun.get(f"/v1/containers/{new_uuid()}")
    assert (answer.status, answer.error["code"]) == (404, "container.container-not-found")
    unnamed = (await zun.post("/v1/containers", {"image": "busybox"})).json()
    assert unnamed["name"].endswith("-container")


async def test_hosts_services_zones_and_quotas(zun, make, on_host):
    admin = zun.as_("admin")
    await on_host(await make.container(cpu=2, memory=128, disk=4))
    [shown] = (await admin.get("/v1/hosts")).json()["hosts"]
    assert (shown["mem_used"], shown["cpu_used"], shown["disk_used"], shown["total_containers"]) == (128, 2.0, 4, 1)
    assert (await admin.get(f"/v1/hosts/{shown['uuid']}")).json() == (await admin.get("/v1/hosts/h1")).json() == shown
    answer = await admin.get("/v1/hosts/nothing")
    assert (answer.status, answer.error["code"]) == (404, "container.compute-node-not-found")
    [service] = (await admin.get("/v1/services")).json()["services"]
    assert (service["host"], service["binary"], service["state"]) == ("h1", "zun-compute", "up")
    named = "host=h1&binary=zun-compute"
    answer = await admin.put(f"/v1/services/disable?{named}&disabled_reason=broken")
    assert answer.json()["service"]["disabled_reason"] == "broken"
    assert (await admin.put(f"/v1/services/enable?{named}")).json()["service"]["disabled"] is False
    assert (await admin.put(f"/v1/services/force_down?{named}&forced_down=true")).status == 200
    assert (await admin.get("/v1/services")).json()["services"][0]["state"] == "down"
    assert (await admin.put("/v1/services/enable?host=h1")).status == 400
    assert (await admin.put("/v1/services/enable?host=h2&binary=zun-compute")).status == 404
    assert (await zun.get("/v1/availability_zones")).json()["availability_zones"] == [{"availability_zone": "nova"}]
    used = (await zun.get("/v1/quotas/p1?usages=True")).json()
    assert used["memory"] == {"limit": -1, "in_use": 128}
    assert (await zun.get("/v1/quotas/p1")).json() == (await zun.get("/v1/quotas/p1/defaults")).json()
    for path in ("/v1/hosts", "/v1/services", "/v1/quotas/p2", "/v1/quotas/p2/defaults"):
        assert (await zun.get(path)).status == 403, path


@pytest.mark.parametrize(
    ("status", "seen", "text"),
    [
        (Status.RUNNING, {"started_at": NOW.replace(minute=0)}, "Up 4 mins"),
        (Status.RUNNING, {"started_at": NOW.replace(hour=1)}, "Up 2 hours"),
        (Status.PAUSED, {"started_at": NOW.replace(minute=3)}, "Up 1 min (paused)"),
        (Status.STOPPED, {"finished_at": NOW.replace(day=1), "exit_code": 3}, "Exited(3) 1 day ago "),
        (Status.ERROR, {"finished_at": NOW, "exit_code": 1}, "Exited(1) 0 secs ago (error)"),
        (Status.CREATED, {}, "Created"),
        (Status.CREATING, {}, None),
    ],
)
def test_status_in_words(status, seen, text):
    state = RuntimeState.RUNNING
    assert status_detail(container(status=status, observed=ContainerObserved(state=state, **seen)), NOW) == text


@pytest.mark.parametrize("status", list(Status))
async def test_no_state_is_out_of_its_owners_reach(zun, store, status):
    """What runs can be stopped, everything can be read and deleted: by a member, whatever happened to it."""
    async with store.write() as tx:
        mine = container(status=status, name="mine", project_id="p1", host_id="h", host="h1")
        await tx.containers.insert(mine)
    path = f"/v1/containers/{mine.uuid}"
    assert (await zun.get(path)).status == 200
    assert (await zun.get(f"{path}/logs")).status == 200
    if status in {Status.RUNNING, Status.RESTARTING, Status.PAUSED}:
        for action in ("stop", "kill"):
            assert (await zun.post(f"{path}/{action}")).status == 202
            async with store.write() as tx:
                await tx.containers.update(mine)
    # As published: what runs is deleted with `stop`.
    query = "?stop=true" if status is Status.RUNNING else ""
    assert (await zun.delete(f"{path}{query}")).status == 204
    async with store.read() as tx:
        op = (await tx.containers.get(mine.uuid)).ops[-1]
    stands = {Status.CREATED, Status.ERROR, Status.STOPPED, Status.DELETED, Status.DEAD}
    assert op.params["force"] is (status not in stands | {Status.RUNNING})


async def test_logs_of_what_never_ran_are_empty(zun, make, parts, store):
    created = await make.container()
    answer = await zun.get(f"/v1/containers/{created['uuid']}/logs")
    assert (answer.status, answer.json()) == (200, "")
    async with store.write() as tx:
        failed = container(status=Status.ERROR, name="failed", project_id="p1", host_id="h", host="h1")
        await tx.containers.insert(failed)
    parts.gateway.fault = NotFound("it is not on this host")
    answer = await zun.get(f"/v1/containers/{failed.uuid}/logs")
    assert (answer.status, answer.json()) == (200, "")


async def test_logs_that_are_lost_are_not_empty(zun, parts, store):
    async with store.write() as tx:
        seen = ContainerObserved(state=RuntimeState.RUNNING, started_at=NOW)
        lost = container(status=Status.RUNNING, name="lost", project_id="p1", host_id="h", host="h1", observed=seen)
        await tx.containers.insert(lost)
    parts.gateway.fault = NotFound("it is not on this host")
    answer = await zun.get(f"/v1/containers/{lost.uuid}/logs")
    assert (answer.status, "is gone from its host" in answer.error["detail"]) == (404, True)
