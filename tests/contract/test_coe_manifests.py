"""What every COE that speaks Kubernetes must do: one suite, passed by the fake and by a real cluster.

One cluster serves the whole suite: its tests use names of their own.
"""

import asyncio
import json
import uuid as uuids
from dataclasses import replace

import pytest

from jeroboam.coes.base import DesiredManifest, SupportsManifests
from jeroboam.coes.kubernetes.api_access import connect_api
from jeroboam.domain.bay_manifests import BayManifestKind, BayManifestStatus
from jeroboam.domain.errors import Permanent, Temporary
from tests.contract.rigs import CLOCK, eventually, fake_coe_rig, kubernetes_rig, ready

KUBERNETES = pytest.param("kubernetes", marks=[pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow])
IMAGE = "docker.io/library/busybox:latest"
POD, SERVICE, RC = BayManifestKind


async def up(made):
    await made.boot(made.nodes(1, 1))
    assert all(ready(await made.coe.join(made.plan())).values())
    return made


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=["fake", KUBERNETES])
def rig(request, runner):
    made = runner.run(fake_coe_rig() if request.param == "fake" else kubernetes_rig())
    runner.run(up(made))
    yield made
    runner.run(made.infra.close())


@pytest.fixture
def run(runner):
    return runner.run


def container(**changes) -> dict:
    return {
        "name": "it", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "600"], **changes,
    }  # fmt: skip


def pod_spec(**changes) -> dict:
    return {"terminationGracePeriodSeconds": 0, "containers": [container(**changes)]}


SPECS = {
    POD: pod_spec(),
    SERVICE: {"selector": {"app": "x"}, "ports": [{"port": 80, "targetPort": 8080}]},
    RC: {
        "replicas": 2,
        "selector": {"app": "x"},
        "template": {"metadata": {"labels": {"app": "x"}}, "spec": pod_spec()},
    },
}
CALLED = {POD: "Pod", SERVICE: "Service", RC: "ReplicationController"}


def want(kind: BayManifestKind, name: str, *, labels: dict | None = None, spec: dict | None = None) -> DesiredManifest:
    manifest = {
        "apiVersion": "v1",
        "kind": CALLED[kind],
        "metadata": {"name": name} | ({} if labels is None else {"labels": labels}),
        "spec": SPECS[kind] if spec is None else spec,
    }
    return DesiredManifest(uuid=str(uuids.uuid4()), kind=kind, name=name, manifest=manifest)


def changed(old: DesiredManifest, **changes) -> DesiredManifest:
    new = want(old.kind, old.name, **changes)
    return DesiredManifest(uuid=old.uuid, kind=old.kind, name=old.name, manifest=new.manifest)


async def seen(rig, uuid: str, status: BayManifestStatus):
    """The object once it has that status."""

    async def look():
        return (await rig.coe.manifests.inspect(rig.plan())).get(uuid)

    return await eventually(look, lambda found: found is not None and found.status is status, seconds=60)


async def gone(rig, *uuids: str) -> None:
    """Have none of them: a cluster may take its time."""
    for uuid in uuids:

        async def ended(uuid=uuid) -> bool:
            await rig.coe.manifests.remove(rig.plan(), uuid)
            return True

        await eventually(ended, bool, seconds=60)


@pytest.mark.parametrize("kind", BayManifestKind)
def test_life(rig, run, kind):
    async def life() -> None:
        assert isinstance(rig.coe, SupportsManifests)
        of, plan, it = rig.coe.manifests, rig.plan(), want(kind, f"life-{kind}", labels={"a": "b"})
        await of.check(plan, it)
        assert it.uuid not in await of.inspect(plan), "a question makes nothing"
        made = await of.apply(plan, it)
        assert made.facts.labels == {"a": "b"}, "ours are not shown"
        found = await seen(rig, it.uuid, BayManifestStatus.RUNNING)
        assert await of.list_owned(plan) == [it.uuid]
        if kind is SERVICE:
            assert found.facts.selector == {"app": "x"}
            assert found.facts.ports[0]["port"] == 80
        else:
            assert found.facts.images == (IMAGE,)
        if kind is RC:
            assert (found.facts.replicas, found.facts.selector) == (2, {"app": "x"})
        await of.apply(plan, it)
        assert await of.list_owned(plan) == [it.uuid], "one that exists is the same one"
        # What the manifest leaves out from now on is gone, and what it has now is there.
        other = await of.apply(plan, changed(it, labels={"c": "d"}))
        assert other.facts.labels == {"c": "d"}
        again = await of.apply(plan, changed(it))
        assert again.facts.labels == {}
        for _ in range(2):
            await gone(rig, it.uuid)
        assert await of.inspect(plan) == {}

    run(life())


def test_what_changes_in_place(rig, run):
    async def change() -> None:
        of, plan, rc, service = rig.coe.manifests, rig.plan(), want(RC, "grows"), want(SERVICE, "moves")
        await of.apply(plan, rc)
        await of.apply(plan, service)
        assert (await of.apply(plan, changed(rc, spec=SPECS[RC] | {"replicas": 1}))).facts.replicas == 1
        moving = changed(service, spec=SPECS[SERVICE] | {"ports": [{"port": 81}]})
        await of.check(plan, moving)
        moved = await of.apply(plan, moving)
        assert [port["port"] for port in moved.facts.ports] == [81]
        await gone(rig, rc.uuid, service.uuid)

    run(change())


def test_what_cannot_change_is_refused_and_stays(rig, run):
    async def refused() -> None:
        of, plan, it = rig.coe.manifests, rig.plan(), want(POD, "stays")
        await of.apply(plan, it)
        other = changed(it, spec=pod_spec(command=["sleep", "5"]))
        for question in (of.check(plan, other), of.apply(plan, other)):
            with pytest.raises(Permanent, match="pod updates may not change"):
                await question
        await seen(rig, it.uuid, BayManifestStatus.RUNNING)
        await gone(rig, it.uuid)

    run(refused())


def test_two_of_one_name(rig, run):
    async def two() -> None:
        of, plan, first, second = rig.coe.manifests, rig.plan(), want(POD, "name"), want(POD, "name")
        await of.apply(plan, first)
        for question in (of.check(plan, second), of.apply(plan, second)):
            with pytest.raises(Permanent, match="another Pod"):
                await question
        assert await of.list_owned(plan) == [first.uuid]
        # A service may be called the same.
        service = want(SERVICE, "name")
        await of.apply(plan, service)
        await gone(rig, first.uuid, service.uuid)

    run(two())


def test_two_at_once_are_one(rig, run):
    async def at_once() -> None:
        of, plan, it = rig.coe.manifests, rig.plan(), want(POD, "once")
        for answer in await asyncio.gather(*(of.apply(plan, it) for _ in range(4)), return_exceptions=True):
            # One may come amid another's work, and has to ask again.
            assert not isinstance(answer, Permanent), answer
        await of.apply(plan, it)
        assert await of.list_owned(plan) == [it.uuid]
        await gone(rig, it.uuid)

    run(at_once())


# ---------------------------------------------------------------------------------------- on a real cluster only


real = pytest.mark.parametrize("rig", [KUBERNETES], indirect=True)


async def asked(rig, method: str, path: str, *words):
    async with connect_api(rig.plan(), CLOCK) as api:
        return await getattr(api, method)(path, *words)


PODS = "/api/v1/namespaces/default/pods"


@real
def test_what_it_comes_to_is_seen(rig, run):
    """One that ends, one that fails, one whose image is nowhere, one that nothing has room for; and why."""
    once = pod_spec() | {"restartPolicy": "Never"}

    def ending(code: int) -> dict:
        return once | {"containers": [container(command=["sh", "-c", f"exit {code}"])]}

    async def outcomes() -> None:
        of, plan = rig.coe.manifests, rig.plan()
        good, bad = want(POD, "good", spec=ending(0)), want(POD, "bad", spec=ending(3))
        lost = want(POD, "lost", spec=pod_spec(image="nowhere.invalid/x"))
        large = want(POD, "large", spec=pod_spec(resources={"requests": {"cpu": "1000"}}))
        for each in (good, bad, lost, large):
            await of.apply(plan, each)
        ended = await seen(rig, good.uuid, BayManifestStatus.SUCCEEDED)
        assert (ended.reason, ended.facts.host) == (None, rig.members[1].name)
        assert (await seen(rig, bad.uuid, BayManifestStatus.FAILED)).reason == "it: exit code 3: Error"

        async def told(uuid: str) -> str:
            return (await of.inspect(plan))[uuid].reason or ""

        assert await eventually(lambda: told(lost.uuid), lambda why: "nowhere.invalid" in why, seconds=60)
        assert await eventually(lambda: told(large.uuid), lambda why: "Insufficient cpu" in why, seconds=60)
        await gone(rig, *(each.uuid for each in (good, bad, lost, large)))

    run(outcomes())


@real
def test_what_others_do_is_seen_and_left_alone(rig, run):
    async def meddled() -> None:
        of, plan, it = rig.coe.manifests, rig.plan(), want(POD, "mine", labels={"a": "b"})
        manifest = want(POD, "theirs").manifest
        await asked(rig, "post", PODS, manifest, "making somebody's pod")
        theirs = DesiredManifest(uuid=str(uuids.uuid4()), kind=POD, name="theirs", manifest=manifest)
        for question in (of.check(plan, theirs), of.apply(plan, theirs)):
            with pytest.raises(Permanent, match="which was not made here"):
                await question
        await of.remove(plan, theirs.uuid)
        assert (await asked(rig, "get", f"{PODS}/theirs", "looking"))["metadata"].get("labels") is None

        await of.apply(plan, it)
        await asked(rig, "patch", f"{PODS}/mine", {"metadata": {"labels": {"user": "added"}}}, "adding a label")
        assert (await of.inspect(plan))[it.uuid].facts.labels == {"a": "b", "user": "added"}
        assert (await of.apply(plan, changed(it, labels={"c": "d"}))).facts.labels == {"c": "d", "user": "added"}
        await asked(rig, "delete", f"{PODS}/mine", "removing it")
        await eventually(lambda: of.inspect(plan), lambda found: it.uuid not in found)
        await of.apply(plan, it)
        await gone(rig, it.uuid)
        await asked(rig, "delete", f"{PODS}/theirs", "removing theirs")

    run(meddled())


@real
def test_a_controller_takes_its_pods_along(rig, run):
    async def along() -> None:
        of, plan, it = rig.coe.manifests, rig.plan(), want(RC, "along")
        await of.apply(plan, it)
        await seen(rig, it.uuid, BayManifestStatus.RUNNING)
        await gone(rig, it.uuid)
        left = await asked(rig, "get", f"{PODS}?labelSelector=app%3Dx", "looking for its pods")
        assert [each for each in left["items"] if "deletionTimestamp" not in each["metadata"]] == []

    run(along())


@real
def test_the_clusters_words_come_through_without_what_was_put_in(rig, run):
    async def refused() -> None:
        of, plan = rig.coe.manifests, rig.plan()
        secret = [{"name": "PASSWORD", "value": "hidden"}]
        for spec, said in (
            ({}, "spec.containers"),
            (pod_spec() | {"contaners": []}, 'unknown field "spec.contaners"'),
            (pod_spec(image=" x", env=secret), "image"),
            (pod_spec() | {"restartPolicy": "Perhaps"}, "restartPolicy"),
        ):
            with pytest.raises(Permanent, match=said):
                await of.check(plan, want(POD, "wrong", spec=spec))
        it = want(POD, "secret", spec=pod_spec(env=secret))
        await of.apply(plan, it)
        with pytest.raises(Permanent) as caught:
            await of.apply(plan, changed(it, spec=pod_spec()))
        assert "hidden" not in caught.value.reason
        assert len(json.dumps(caught.value.reason)) < 700
        await gone(rig, it.uuid)

    run(refused())


@real
def test_a_cluster_that_does_not_answer_is_no_word_on_what_exists(rig, run):
    async def silent() -> None:
        of, plan, it = rig.coe.manifests, rig.plan(), want(POD, "silent")
        nobody = plan.members[0].address.rpartition(".")[0] + ".250"
        away = replace(plan, members=(replace(plan.members[0], address=nobody),))
        for question in (of.inspect(away), of.apply(away, it), of.remove(away, it.uuid), of.check(away, it)):
            with pytest.raises(Temporary):
                await question

    run(silent())
