"""Capsules, from the POST to the DELETE, at every version's shape."""

import json
from dataclasses import replace

import pytest

from jeroboam.domain.capsules import CapsulePhase, RestartRule
from jeroboam.domain.containers import OpKind
from tests.api.capsules import a_template, make_capsule
from tests.api.loops import run_capsule

SHARED = {
    *("uuid", "links", "restart_policy", "status", "status_reason", "cpu", "memory", "addresses", "containers"),
    *("project_id", "user_id", "created_at", "updated_at"),
}
KEYS = SHARED | {"name", "labels", "annotations", "init_containers", "phase", "container_statuses"}
LEGACY_KEYS = SHARED | {"meta_name", "meta_labels"}
CONSTANTS = {"volumes_info": {}, "containers_uuids": [], "init_containers_uuids": [], "capsule_version": ""}
WORKER = {"image": "busybox", "command": ["sh", "-c"], "args": ["sleep 9"], "resources": {"requests": {"cpu": 0.5}}}


@pytest.mark.parametrize("version", ["1.32", "1.34", "1.37", "1.40"])
async def test_create_answers_with_the_new_shape(zun, version):
    template = a_template(WORKER, {"image": "nginx:1"}, init=({"image": "busybox"},))
    answer = await zun.at(version).post("/v1/capsules", {"template": template})
    assert answer.status == 202
    shown = answer.json()
    assert answer.headers["location"] == shown["links"][0]["href"]
    assert set(shown) == KEYS
    assert (shown["name"], shown["labels"], shown["annotations"]) == ("pod", {"app": "web"}, {})
    assert (shown["status"], shown["phase"], shown["status_reason"]) == ("Creating", "Pending", None)
    assert shown["restart_policy"] == {"Name": "always", "MaximumRetryCount": "0"}
    assert (shown["cpu"], shown["memory"]) == (1.5, "1024")
    assert [container["image"] for container in shown["containers"]] == ["busybox", "nginx:1"]
    [init] = shown["init_containers"]
    assert init["restart_policy"] == {"Name": "on-failure", "MaximumRetryCount": "10"}
    assert shown["containers"][0]["command"] == ["sh", "-c", "sleep 9"]
    names = [container["name"] for container in (*shown["containers"], *shown["init_containers"])]
    assert all(name.startswith("capsule-pod-") for name in names)
    assert len(set(names)) == 3
    assert shown["updated_at"] is None
    assert (await zun.at(version).get("/v1/capsules/pod")).json() == shown


@pytest.mark.parametrize("version", ["1.1", "1.15", "1.31"])
async def test_create_answers_with_the_old_shape(zun, version):
    answer = await zun.at(version).post("/v1/capsules", {"template": a_template(WORKER)})
    assert answer.status == 202
    shown = answer.json()
    assert set(shown) == LEGACY_KEYS | set(CONSTANTS)
    assert {key: shown[key] for key in CONSTANTS} == CONSTANTS
    assert (shown["meta_name"], shown["meta_labels"], shown["restart_policy"]) == ("pod", {"app": "web"}, "always")
    assert (shown["memory"], shown["status"]) == ("512", "Creating")
    [listed] = (await zun.at(version).get("/v1/capsules")).json()["capsules"]
    assert listed == shown


async def test_a_template_may_be_the_text_of_one(zun):
    answer = await zun.post("/v1/capsules", {"template": json.dumps(a_template(name="text"))})
    assert answer.status == 202
    assert answer.json()["name"] == "text"


async def test_a_capsule_without_a_name_gets_one(zun):
    shown = await make_capsule(zun, name=None)
    assert shown["name"].endswith("-capsule")
    assert shown["containers"][0]["name"].startswith(f"capsule-{shown['name']}-")


async def test_what_is_stored_is_what_was_asked(zun, store):
    container = {
        "image": "busybox",
        "entrypoint": ["/bin/sh"],
        "args": ["-c", "true"],
        "workDir": "/tmp",
        "env": {"A": "b"},
        "stdin": True,
        "tty": "true",
        "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": 0.5}},
        "ports": [{"containerPort": 80, "name": "web"}, {"containerPort": 53, "protocol": "UDP", "hostPort": 53}],
        "volumeMounts": [{"name": "scratch", "mountPath": "/data", "readOnly": True}],
        "livenessProbe": {"httpGet": {"port": "web", "path": "/live"}, "periodSeconds": 3},
        "readinessProbe": {"tcpSocket": {"port": 80}, "successThreshold": 2},
        "startupProbe": {"exec": {"command": ["true"]}, "failureThreshold": 30},
    }
    shown = await make_capsule(
        zun,
        container,
        restartPolicy="OnFailure",
        volumes=[{"name": "scratch", "emptyDir": {}}],
        activeDeadlineSeconds=60,
        terminationGracePeriodSeconds=3,
        hostname="web-0",
    )
    async with store.read() as tx:
        capsule = await tx.capsules.get(shown["uuid"])
    spec, [member] = capsule.spec, capsule.spec.containers
    assert (spec.restart_policy, spec.active_deadline_seconds) == (RestartRule.ON_FAILURE, 60)
    assert (spec.termination_grace_period_seconds, spec.hostname, spec.volumes) == (3, "web-0", ("scratch",))
    stored = member.container
    assert (stored.entrypoint, stored.command) == (("/bin/sh",), ("-c", "true"))
    assert (stored.workdir, stored.environment) == ("/tmp", {"A": "b"})
    assert (stored.interactive, stored.tty, stored.cpu, stored.memory) == (True, True, 0.5, 64)
    assert stored.exposed_ports == {"80/tcp": {}, "53/udp": {}}
    assert stored.mounts == ({"type": "emptydir", "source": "scratch", "destination": "/data", "readonly": "true"},)
    assert (member.liveness_probe.http_get.port, member.liveness_probe.http_get.path) == (80, "/live")
    assert (member.liveness_probe.period_seconds, member.readiness_probe.success_threshold) == (3, 2)
    assert (member.startup_probe.command, member.startup_probe.failure_threshold) == (("true",), 30)
    [op] = capsule.ops
    assert (op.seq, op.kind) == (1, OpKind.CREATE)
    assert capsule.deadline_at is not None


@pytest.mark.parametrize(
    ("top", "inner", "shown"), [("Never", None, "no"), (None, "Never", "no"), ("Always", "Always", "always")]
)
async def test_the_restart_policy_may_stand_in_both_places(zun, top, inner, shown):
    template = a_template(**({} if inner is None else {"restartPolicy": inner}))
    if top is not None:
        template["restartPolicy"] = top
    answer = await zun.post("/v1/capsules", {"template": template})
    assert answer.json()["restart_policy"]["Name"] == shown


async def test_init_containers_count_as_the_largest(zun):
    big = {"image": "busybox", "resources": {"requests": {"cpu": 3, "memory": 2048}}}
    small = {"image": "busybox", "resources": {"requests": {"cpu": 1, "memory": 600}}}
    shown = await make_capsule(zun, small, small, init=(big, small))
    assert (shown["cpu"], shown["memory"]) == (3, "2048")


async def test_secrets_are_sealed_and_never_shown(zun, store):
    container = {
        "image": "busybox",
        "env": [
            {"name": "USER", "value": "me"},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        ],
    }
    secrets = [{"name": "db", "stringData": {"password": 's3cr3t"quoted'}}]
    answer = await zun.post("/v1/capsules", {"template": a_template(container, secrets=secrets)})
    assert answer.status == 202
    shown = answer.json()
    for body in (answer, await zun.get("/v1/capsules/pod"), await zun.get("/v1/capsules")):
        assert b"s3cr3t" not in body.body
    [member] = shown["containers"]
    assert member["environment"] == {"USER": "me"}
    assert b"s3cr3t" not in (await zun.get(f"/v1/containers/{member['uuid']}")).body
    async with store.read() as tx:
        capsule = await tx.capsules.get(shown["uuid"])
    assert json.loads(capsule.spec.containers[0].secret_environment) == {"PASSWORD": 's3cr3t"quoted'}
    assert "s3cr3t" not in repr(capsule)


async def test_lists_are_paged_and_sorted_and_ignore_other_arguments(zun):
    for name in ("b1", "a1", "c1"):
        await make_capsule(zun, name=name)
    page = (await zun.get("/v1/capsules?limit=2&sort_key=name&foo=bar")).json()
    assert [capsule["name"] for capsule in page["capsules"]] == ["a1", "b1"]
    assert "marker=" in page["next"]
    marker = page["capsules"][-1]["uuid"]
    rest = (await zun.get(f"/v1/capsules?limit=2&sort_key=name&marker={marker}")).json()
    assert ([capsule["name"] for capsule in rest["capsules"]], rest["next"]) == (["c1"], None)
    down = (await zun.get("/v1/capsules?sort_key=name&sort_dir=desc")).json()["capsules"]
    assert [capsule["name"] for capsule in down] == ["c1", "b1", "a1"]
    assert (await zun.get("/v1/capsules?sort_key=foo")).status == 400
    assert (await zun.get("/v1/capsules?limit=0")).status == 400
    assert (await zun.get(f"/v1/capsules?marker={'0' * 8}-0000-4000-8000-{'0' * 12}")).status == 404


async def test_projects_do_not_see_each_others(zun):
    shown = await make_capsule(zun)
    stranger = zun.as_("stranger")
    assert (await stranger.get("/v1/capsules")).json()["capsules"] == []
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events")):
        answer = await stranger.request(method, f"/v1/capsules/{shown['uuid']}{path}")
        assert (answer.status, answer.error["code"]) == (404, "container.capsule-not-found")
    [member] = shown["containers"]
    assert (await stranger.get(f"/v1/containers/{member['uuid']}")).status == 404
    assert (await stranger.get("/v1/capsules?all_projects=1")).status == 403
    [seen] = (await zun.as_("admin").get("/v1/capsules?all_projects=1")).json()["capsules"]
    assert (seen["uuid"], seen["host"]) == (shown["uuid"], None)
    assert (await zun.as_("admin").get(f"/v1/capsules/{shown['uuid']}")).status == 200


async def test_two_capsules_of_one_name_are_told_apart_by_uuid(zun):
    first, _ = await make_capsule(zun), await make_capsule(zun)
    assert (await zun.get("/v1/capsules/pod")).status == 409
    assert (await zun.get(f"/v1/capsules/{first['uuid']}")).status == 200
    assert (await zun.get("/v1/capsules/nobody")).status == 404


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        (CapsulePhase.PENDING, "Creating"),
        (CapsulePhase.RUNNING, "Running"),
        (CapsulePhase.SUCCEEDED, "Stopped"),
        (CapsulePhase.FAILED, "Error"),
    ],
)
async def test_the_status_has_the_published_words_and_the_phase_those_of_kubernetes(zun, store, phase, status):
    shown = await make_capsule(zun)
    await run_capsule(store, shown["uuid"], phase)
    now = (await zun.get("/v1/capsules/pod")).json()
    assert (now["status"], now["phase"]) == (status, phase)
    assert now["addresses"]["n1"][0]["addr"] == "10.0.0.9"
    assert (await zun.at("1.31").get("/v1/capsules/pod")).json()["status"] == status


@pytest.mark.parametrize("version", ["1.1", "1.31", "1.32", "1.40"])
async def test_delete(zun, store, version):
    shown = await make_capsule(zun, terminationGracePeriodSeconds=7)
    await run_capsule(store, shown["uuid"])
    answer = await zun.at(version).delete("/v1/capsules/pod")
    assert (answer.status, answer.body) == (204, b"")
    assert (await zun.get("/v1/capsules/pod")).json()["status"] == "Deleting"
    async with store.read() as tx:
        capsule = await tx.capsules.get(shown["uuid"])
    assert [(op.kind, op.params) for op in capsule.ops] == [(OpKind.DELETE, {"timeout": 7})]
    assert (await zun.delete("/v1/capsules/pod")).status == 204
    async with store.read() as tx:
        assert await tx.capsules.get(shown["uuid"]) == capsule, "asking twice is asking once"


async def test_quotas_count_the_containers_of_capsules(zun, parts, app, make):
    quota = {"containers": 3, "memory": 4096, "cpu": 3, "disk": -1}
    object.__setattr__(parts, "options", replace(parts.options, container_quota=quota))
    await make_capsule(zun, init=({"image": "busybox"},))
    usages = (await zun.get("/v1/quotas/p1?usages=true")).json()
    assert {key: usages[key]["in_use"] for key in ("containers", "memory", "cpu")} == {
        "containers": 2,
        "memory": 512,
        "cpu": 1.0,
    }
    refused = await zun.post("/v1/capsules", {"template": a_template({"image": "a1"}, {"image": "b1"})})
    assert (refused.status, refused.error["code"]) == (403, "container.over-quota")
    assert "containers" in refused.error["title"]
    await make.container()
    assert (await zun.post("/v1/capsules", {"template": a_template()})).status == 403


async def test_events_tell_what_was_asked(zun):
    shown = await make_capsule(zun)
    await zun.delete("/v1/capsules/pod")
    events = (await zun.get("/v1/capsules/pod/events")).json()["events"]
    assert [event["event_type"] for event in events] == ["capsule.create", "capsule.delete"]
    assert {event["capsule_uuid"] for event in events} == {shown["uuid"]}
    assert all(event["user_id"] == "u1" and event["request_id"] for event in events)
    [last] = (await zun.get("/v1/capsules/pod/events?limit=1&sort_dir=desc")).json()["events"]
    assert last["event_type"] == "capsule.delete"


async def test_the_status_of_containers_is_shown_as_kubernetes_has_it(zun, store):
    shown = await make_capsule(zun, {"image": "busybox"}, init=({"image": "busybox"},))
    await run_capsule(store, shown["uuid"], restart_count=2, reason="why")
    init, member = (await zun.get("/v1/capsules/pod")).json()["container_statuses"]
    assert (init["init"], member["init"]) == (True, False)
    assert (member["state"], member["ready"], member["restart_count"], member["reason"]) == ("running", True, 2, "why")
    assert member["started_at"].endswith("+00:00")


async def test_a_host_with_capsules_is_not_forgotten(zun, store):
    shown = await make_capsule(zun)
    await run_capsule(store, shown["uuid"])
    async with store.write() as tx:
        [known] = await tx.hosts.select({"hostname": "h1"})
        await tx.hosts.update(replace(known, last_seen=None))
    admin, path = zun.as_("admin"), "/v1/services?host=h1&binary=zun-compute"
    refused = await admin.delete(path)
    assert (refused.status, "has containers" in refused.error["title"]) == (409, True)
    async with store.write() as tx:
        await tx.capsules.remove()
    assert (await admin.delete(path)).status == 200


async def test_who_may_not_pull_as_wanted_is_tolerated_as_in_zun(zun, store):
    shown = await make_capsule(zun, {"image": "busybox", "imagePullPolicy": "Never"}, name="member1")
    other = await make_capsule(zun.as_("admin"), {"image": "busybox", "imagePullPolicy": "Never"}, name="admin1")
    async with store.read() as tx:
        mine, theirs = await tx.capsules.get(shown["uuid"]), await tx.capsules.get(other["uuid"])
    assert mine.spec.containers[0].container.image_pull_policy is None
    assert theirs.spec.containers[0].container.image_pull_policy == "never"
