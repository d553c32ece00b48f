"""A Kubernetes cluster that is left to look after itself: a node whose kubelet is gone is replaced, groups follow work.

One story on one cluster, since a cluster that misses a node takes most of a minute to say so.
"""

import json
import subprocess

import pytest

from tests.fault.installation import Installation, until
from tests.kubernetes_objects import deployment

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.long]

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


class Story:
    """One cluster, and what its user sees of it."""

    def __init__(self, up: Installation, uuid: str) -> None:
        self.up, self.uuid = up, uuid

    async def shown(self) -> dict:
        return await self.up.good("GET", f"{CLUSTERS}/{self.uuid}")

    async def is_well(self) -> bool:
        cluster = await self.shown()
        return cluster["status"].endswith("_COMPLETE") and cluster["health_status"] == "HEALTHY"

    async def told(self, kind: str) -> list[str]:
        events = (await self.up.good("GET", f"{CLUSTERS}/{self.uuid}/events?event_type={kind}"))["events"]
        return [event["message"] for event in events]

    async def is_healed(self) -> bool:
        return bool(await self.told("node.heal"))

    async def runs(self) -> bool:
        found = json.loads(kubectl(self.uuid, "get", "deployment", "work", "-o", "json"))
        return found["status"].get("readyReplicas") == 2

    async def has_shrunk(self) -> bool:
        return (await self.shown())["node_count"] == 1 and await self.is_well()


async def test_it_heals_grows_and_shrinks(up):
    await up.up()
    wish = {"name": "k", "cluster_template_id": "kubernetes", "node_count": 1, "labels": LABELS, "merge_labels": True}
    story = Story(up, (await up.good("POST", CLUSTERS, wish))["uuid"])
    await until(story.is_well, 90)
    await heals(story)
    await grows(story)
    kubectl(story.uuid, "delete", "deployment", "work")
    await until(story.has_shrunk, 120)
    assert len([name for name in nodes(story.uuid) if "worker" in name]) == 1


async def heals(story: Story) -> None:
    """The kubelet ends for good; its machine runs on."""
    worker = named(nodes(story.uuid), "worker-0")
    kubelet = inside(worker, "sh", "-c", "command -v kubelet").strip()
    kill = "tr '\\0' ' ' <$p/cmdline | grep -q '^kubelet ' && kill ${p#/proc/}"
    inside(worker, "sh", "-c", f"rm {kubelet}; for p in /proc/[0-9]*; do {kill}; done; true")
    await until(story.is_healed, 150, what=lambda: f"healed: {nodes(story.uuid)}")
    await until(story.is_well, 90)
    [message] = await story.told("node.heal")
    assert "worker-0 has not worked for" in message
    assert named(nodes(story.uuid), "worker-0") != worker, "another container stands in its place"


async def grows(story: Story) -> None:
    """There is more work than a node holds."""
    found = json.loads(kubectl(story.uuid, "get", "nodes", "-o", "json"))["items"]
    told = found[-1]["status"]["allocatable"]["cpu"]
    cpu = int(told[:-1]) / 1000 if told.endswith("m") else int(told)
    # Each of the two pods takes more than half of a node.
    requests = {"requests": {"cpu": f"{int(cpu * 600)}m"}}
    work = deployment("work", "sleep", "3600", grace_seconds=0, resources=requests)
    kubectl(story.uuid, "apply", "-f", "-", stdin=json.dumps(work))
    await until(story.runs, 90, what=lambda: kubectl(story.uuid, "get", "pods", "-o", "wide"))
    await until(story.is_well, 60)
    assert (await story.shown())["node_count"] == 2
    [message] = await story.told("cluster.resize")
    assert message.startswith("default-worker resized from 1 to 2 nodes: default/work-")
