"""A Kubernetes cluster that is left to look after itself: a node whose kubelet is gone is replaced, groups follow work.

One story on one cluster, since a cluster that misses a node takes most of a minute to say so.
"""

import json
import subprocess

import pytest

from tests.fault.installation import Installation, until

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]

CLUSTERS = "/container-infra/v1/clusters"
CONFIG = """
[conductor]
check_seconds = 2
resync_seconds = 5
[clusters]
heal_after_seconds = 5
idle_seconds = 10
"""
LABELS = {"auto_healing_enabled": "true", "auto_scaling_enabled": "true", "min_node_count": "1", "max_node_count": "2"}


@pytest.fixture
def up(tmp_path):
    made = Installation(tmp_path, CONFIG)
    yield made
    made.down()


def nodes(uuid: str) -> dict[str, str]:
    """The containers that are the cluster's nodes, by name."""
    line = ["docker", "ps", "--filter", f"label=jeroboam.cluster={uuid}", "--format", "{{.Names}} {{.ID}}"]
    return dict(
        row.split() for row in subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()
    )


def inside(container: str, *words: str, stdin: str | None = None) -> str:
    line = ["docker", "exec", *(["-i"] if stdin is not None else []), container, *words]
    done = subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def named(found: dict[str, str], part: str) -> str:
    return next(container for name, container in found.items() if part in name)


def kubectl(uuid: str, *words: str, stdin: str | None = None) -> str:
    master = named(nodes(uuid), "master")
    return inside(master, "kubectl", "--kubeconfig=/etc/kubernetes/super-admin.conf", *words, stdin=stdin)


async def test_it_heals_grows_and_shrinks(up):
    await up.up()
    wish = {"name": "k", "cluster_template_id": "kubernetes", "node_count": 1, "labels": LABELS, "merge_labels": True}
    uuid = (await up.good("POST", CLUSTERS, wish))["uuid"]

    async def shown() -> dict:
        return await up.good("GET", f"{CLUSTERS}/{uuid}")

    async def is_well() -> bool:
        cluster = await shown()
        return cluster["status"].endswith("_COMPLETE") and cluster["health_status"] == "HEALTHY"

    async def told(kind: str) -> list[str]:
        events = (await up.good("GET", f"{CLUSTERS}/{uuid}/events?event_type={kind}"))["events"]
        return [event["message"] for event in events]

    async def shown_reasons() -> str:
        return json.dumps((await shown())["health_status_reason"])

    await until(is_well, 90)

    # The kubelet ends for good; its machine runs on.
    worker = named(nodes(uuid), "worker-0")
    kubelet = inside(worker, "sh", "-c", "command -v kubelet").strip()
    inside(
        worker,
        "sh",
        "-c",
        f"rm {kubelet}; for p in /proc/[0-9]*; do "
        f"tr '\\0' ' ' <$p/cmdline | grep -q '^kubelet ' && kill ${{p#/proc/}}; done; true",
    )

    async def healed() -> bool:
        return bool(await told("node.heal"))

    await until(healed, 150, what=lambda: f"healed: {nodes(uuid)}")
    await until(is_well, 90)
    [message] = await told("node.heal")
    assert "worker-0 has not worked for" in message
    again = named(nodes(uuid), "worker-0")
    assert again != worker, "another container stands in its place"

    # More work than a node holds.
    cores = int(json.loads(kubectl(uuid, "get", "nodes", "-o", "json"))["items"][-1]["status"]["allocatable"]["cpu"])
    container = {
        "name": "it", "image": "docker.io/library/busybox:latest", "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "3600"], "resources": {"requests": {"cpu": f"{cores * 600}m"}},
    }  # fmt: skip
    template = {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }
    work = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "work"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": template},
    }  # fmt: skip
    kubectl(uuid, "apply", "-f", "-", stdin=json.dumps(work))

    async def runs() -> bool:
        found = json.loads(kubectl(uuid, "get", "deployment", "work", "-o", "json"))
        return found["status"].get("readyReplicas") == 2

    await until(runs, 90, what=lambda: kubectl(uuid, "get", "pods", "-o", "wide"))
    await until(is_well, 60)
    assert (await shown())["node_count"] == 2
    [message] = await told("cluster.resize")
    assert message.startswith("default-worker resized from 1 to 2 nodes: default/work-")

    # And none at all.
    kubectl(uuid, "delete", "deployment", "work")

    async def shrunk() -> bool:
        return (await shown())["node_count"] == 1 and await is_well()

    await until(shrunk, 120)
    assert len([name for name in nodes(uuid) if "worker" in name]) == 1
