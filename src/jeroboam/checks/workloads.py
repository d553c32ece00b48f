"""Checks what controllers do: a pod on every node, a roll-out, a set with volumes, jobs, a drain.

Neighbours: `site`; `volumes` gives volumes if the cluster has none.
"""

import asyncio
from typing import Any

from jeroboam.checks.base import ClusterCheck
from jeroboam.checks.manifests import Json, apart, container, deployment, pod_spec, server, service, template
from jeroboam.checks.site import WEB, CheckContext, CheckFailed, CheckSkipped, RunningPod, is_ready, parse_pod
from jeroboam.checks.volumes import claims
from jeroboam.clients.kubernetes import MANAGER, ObjectNotFound
from jeroboam.domain.errors import Temporary
from jeroboam.kit.words import format_count

_HTTP = 80
_REPLICAS = 2
# A deleted pod still answers until every node knows of it.
_LINGER = {"preStop": {"exec": {"command": ["sleep", "5"]}}}
_LINGER_GRACE = 6
_MERGE_CORDON = {"spec": {"unschedulable": True}, "metadata": {"annotations": {"jeroboam.io/check": MANAGER}}}
_UNCORDON = {"spec": {"unschedulable": False}, "metadata": {"annotations": {"jeroboam.io/check": None}}}


async def _daemon_set(site: CheckContext) -> str:
    pods = await site.list_web_pods()
    nodes = sorted(each.node for each in pods)
    expected_nodes = sorted(node.name for node in site.servers)
    if nodes != expected_nodes:
        raise CheckFailed(f"pods are on {', '.join(nodes)}, and should be on {', '.join(expected_nodes)}")
    status = (await site.get("DaemonSet", WEB))["status"]
    if status["numberReady"] != len(expected_nodes):
        raise CheckFailed(f"its status says {status}")
    return format_count(len(expected_nodes), "node")


async def _check_rolling_update(site: CheckContext) -> str:
    [client, *_] = await site.list_web_pods()
    app = "rolled"
    await site.apply(service(app, app))
    await site.apply(_build_deployment(site, app, "old"))
    address = (await site.get("Service", app))["spec"]["clusterIP"]

    async def look() -> list[str]:
        return await site.ask(client, address, _HTTP)

    await site.until("two replicas", lambda: site.pods(app), lambda pods: len(pods) == _REPLICAS)
    await site.until("their answer", look, lambda answers: answers == ["old"])
    before = {each.name for each in await site.pods(app)}
    await site.apply(_build_deployment(site, app, "new"))
    requests = await _until_rolled(site, app, look)
    after = {each.name for each in await site.pods(app)}
    if before & after:
        raise CheckFailed(f"pods of the old kind stayed: {', '.join(before & after)}")
    return f"answered {requests} times meanwhile"


def _build_deployment(site: CheckContext, app: str, says: str) -> Json:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    pods = template(app, server(site.image, says, lifecycle=_LINGER), grace=_LINGER_GRACE)
    return deployment(app, _REPLICAS, pods, strategy=strategy)


async def _until_rolled(site: CheckContext, app: str, look: Any) -> int:
    """Return the number of requests until only new pods are left. Raises `CheckFailed` if a request has no answer."""
    requests = 0
    end = site.clock.monotonic() + site.seconds
    while True:
        answers = await look()
        requests += 1
        if answers not in (["old"], ["new"]):
            raise CheckFailed(f"during the roll-out the service gave no answer, the {requests}th time it was asked")
        current = await site.get("Deployment", app)
        status, generation = current["status"], current["metadata"]["generation"]
        counts = {status.get(key) for key in ("replicas", "updatedReplicas", "availableReplicas")}
        if answers == ["new"] and counts == {_REPLICAS} and status["observedGeneration"] == generation:
            return requests
        if site.clock.monotonic() > end:
            raise CheckFailed(f"the roll-out is not over after {site.seconds:g} s: {status}")


async def _stateful_set(site: CheckContext) -> str:
    name = "kept"
    volume, origin = await claims(site, name, _REPLICAS)
    mounts = [{"name": "data", "mountPath": "/data"}]
    spec = {
        "replicas": _REPLICAS,
        "serviceName": name,
        "selector": {"matchLabels": {"app": name}},
        "template": template(name, server(site.image, volumeMounts=mounts)),
        "volumeClaimTemplates": [volume],
    }
    await site.apply(service(name, name, clusterIP="None"))
    await site.apply({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec})
    pods = await site.until("two pods", lambda: site.pods(name), lambda members: len(members) == _REPLICAS)
    if {member.name for member in pods} != {f"{name}-{number}" for number in range(_REPLICAS)}:
        raise CheckFailed(f"they are called {', '.join(member.name for member in pods)}")
    first = f"{name}-0"
    for member in pods:
        await site.run(member, "sh", "-c", f"echo {member.name} >/data/mine")
    [client, *_] = await site.list_web_pods()

    async def by_name() -> list[str]:
        return await site.ask(client, f"{first}.{name}")

    await site.until(f"{first} by its name", by_name, lambda answers: answers == [first])
    uid = (await site.get("Pod", first))["metadata"]["uid"]
    await site.api.delete(site.path("Pod", first), f"deleting pod {first}")

    async def again() -> Json | None:
        members = await site.get("Pod", first)
        return members if members["metadata"]["uid"] != uid and is_ready(members) else None

    await site.until(f"{first} made anew", again, bool)
    content = await site.run(first, "cat", "/data/mine")
    if content.stdout.strip() != first:
        raise CheckFailed(f"what {first} had written is not there when it is made anew: {content}")
    for member in pods:
        await site.run(member.name, "rm", "/data/mine")
    return origin


async def _job(site: CheckContext) -> str:
    await site.apply(_build_job(site, "done", "echo worked", completions=3, parallelism=2))
    await site.apply(_build_job(site, "undone", "exit 3", backoffLimit=0))

    async def look(name: str, condition: str) -> bool:
        status = (await site.get("Job", name))["status"]
        return any(each["type"] == condition and each["status"] == "True" for each in status.get("conditions") or ())

    await site.until("three completions", lambda: look("done", "Complete"), bool)
    await site.until("a job that fails", lambda: look("undone", "Failed"), bool)
    count = (await site.get("Job", "done"))["status"]["succeeded"]
    if count != 3:  # noqa: PLR2004
        raise CheckFailed(f"{count} pods succeeded, and three should have")
    return ""


def _build_job(site: CheckContext, name: str, script: str, **fields: int) -> Json:
    pods = {
        "metadata": {"labels": {"app": name}},
        "spec": pod_spec(container(site.image, script), restartPolicy="Never"),
    }
    spec = {"template": pods, **fields}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


async def _drain(site: CheckContext) -> str:
    app = "moved"
    if len(site.workers) < 2:  # noqa: PLR2004
        raise CheckSkipped("one node only takes work")
    pods = template(app, server(site.image), topologySpreadConstraints=apart(app))
    await site.apply(deployment(app, _REPLICAS, pods))
    budget = {"minAvailable": _REPLICAS, "selector": {"matchLabels": {"app": app}}}
    await site.apply(
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": app}, "spec": budget}
    )
    replicas = await site.until(
        "two replicas", lambda: site.pods(app), lambda replicas_now: len(replicas_now) == _REPLICAS
    )
    node = replicas[0].node
    await _budget_says(site, app, disruptions=0)
    path = f"/api/v1/nodes/{node}"
    try:
        await site.api.patch(path, _MERGE_CORDON, f"cordoning node {node}")
        if await _evict(site, replicas[0]):
            raise CheckFailed("a pod was evicted although its disruption budget lets none go")
        budget["minAvailable"] = 1
        await site.apply(
            {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": app}, "spec": budget}
        )
        await site.until(f"node {node} empty", lambda: _has_drained(site, app, node), bool)
        await site.until(
            "two replicas elsewhere", lambda: site.pods(app), lambda replicas_now: len(replicas_now) == _REPLICAS
        )
    finally:
        await site.api.patch(path, _UNCORDON, f"uncordoning node {node}")
    return f"node {node}; only pods of the check were moved"


async def _budget_says(site: CheckContext, name: str, *, disruptions: int) -> None:
    """Wait until the budget knows its pods. An eviction before that is refused for another reason."""

    async def look() -> Json:
        return dict((await site.get("PodDisruptionBudget", name)).get("status") or {})

    def good(status: Json) -> bool:
        return status.get("currentHealthy") == _REPLICAS and status.get("disruptionsAllowed") == disruptions

    await site.until("the disruption budget", look, good)


async def _has_drained(site: CheckContext, app: str, node: str) -> bool:
    """Whether none of the app's pods is on that node. Pods that are there are evicted."""
    present = [each for each in await site.list_objects("Pod", app) if each["spec"].get("nodeName") == node]
    remaining = [parse_pod(each) for each in present if "deletionTimestamp" not in each["metadata"] and is_ready(each)]
    await asyncio.gather(*(_evict(site, each) for each in remaining))
    return not present


async def _evict(site: CheckContext, victim: RunningPod) -> bool:
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": victim.name, "namespace": site.namespace},
    }
    try:
        await site.api.post(f"{site.path('Pod', victim.name)}/eviction", body, f"evicting pod {victim.name}")
    except (Temporary, ObjectNotFound):
        return False
    return True


CHECKS = (
    ClusterCheck(name="daemon-set", about="a DaemonSet has a pod on every node", run=_daemon_set),
    ClusterCheck(
        name="rolling-update",
        about="a Deployment is rolled out while its service goes on answering",
        run=_check_rolling_update,
    ),
    ClusterCheck(name="stateful-set", about="a StatefulSet's pods keep their names and volumes", run=_stateful_set),
    ClusterCheck(name="job", about="Jobs run to their ends, good and bad", run=_job),
    ClusterCheck(name="drain", about="a node is emptied as far as disruption budgets let it", run=_drain, alone=True),
)
