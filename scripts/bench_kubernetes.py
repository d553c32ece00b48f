"""The benchmark's lines of real Kubernetes clusters: times of create, resize, upgrade and delete, and memory.

`CREATE_COMPLETE` means here: every node is ready, and the pods of each node reach those of the others. Neighbours:
`bench`, `measure`.
"""

import json
import pathlib
import socket
import statistics
import subprocess
import threading
import time
import urllib.error
from dataclasses import dataclass, field

from measure import BIN, Row, RunningService, console

PATH = "/container-infra/v1/clusters"
TEMPLATES = "/container-infra/v1/clustertemplates"
LATEST = "container-infra latest"
POLL_SECONDS = 0.02
OLD, NEW = "v1.35.4", "v1.36.3"
NODE_PORT = 31080
SERVE = "mkdir -p /www; echo served >/www/index.html; exec httpd -f -p 80 -h /www"


class BenchSkipped(Exception):
    """The service cannot do that here; the text says why."""


def create(
    service: RunningService, name: str, masters: int, workers: int, template: str = "kubernetes"
) -> tuple[str, float]:
    """Return a cluster's uuid, and the seconds from the request to the first answer that shows it complete."""
    body = {"name": name, "cluster_template_id": template, "master_count": masters, "node_count": workers}
    body |= {"master_lb_enabled": masters > 1}
    started = time.monotonic()
    try:
        made = service.call("POST", PATH, body, LATEST)["uuid"]
    except urllib.error.HTTPError as error:
        raise BenchSkipped(json.loads(error.read())["errors"][0]["detail"]) from error
    seen = settled(service, made)
    took = time.monotonic() - started
    if seen["status"] != "CREATE_COMPLETE":
        delete(service, made)
        raise BenchSkipped(f"{seen['status']}: {seen['status_reason']}")
    return made, took


def settled(service: RunningService, uuid: str) -> dict[str, object]:
    """Return the cluster, once no operation is in progress."""
    while (seen := service.call("GET", f"{PATH}/{uuid}"))["status"].endswith("IN_PROGRESS"):
        time.sleep(POLL_SECONDS)
    return seen


def delete(service: RunningService, uuid: str) -> float:
    """Return the seconds until the cluster is gone."""
    started = time.monotonic()
    service.call("DELETE", f"{PATH}/{uuid}")
    while True:
        try:
            service.call("GET", f"{PATH}/{uuid}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return time.monotonic() - started
            raise
        time.sleep(POLL_SECONDS)


def resize(service: RunningService, uuid: str, workers: int) -> float:
    """Return the seconds until the default group has `workers` nodes."""
    started = time.monotonic()
    service.call("POST", f"{PATH}/{uuid}/actions/resize", {"node_count": workers}, LATEST)
    seen = settled(service, uuid)
    assert seen["status"] == "UPDATE_COMPLETE", seen
    return time.monotonic() - started


def nodes(uuid: str) -> list[str]:
    """Return the ids of the containers of the cluster's nodes."""
    words = ["docker", "ps", "-q", "--no-trunc", "--filter", f"label=jeroboam.cluster={uuid}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def memory(container: str) -> float:
    """Return the MiB that the kernel accounts to the container's processes, without cached pages of files."""
    old = pathlib.Path(f"/sys/fs/cgroup/memory/docker/{container}")
    if old.exists():
        stat, used, cached = old / "memory.stat", old / "memory.usage_in_bytes", "total_cache"
    else:
        [new] = pathlib.Path("/sys/fs/cgroup").glob(f"**/*{container}*/memory.stat")
        stat, used, cached = new, new.with_name("memory.current"), "file"
    counted = dict(line.split() for line in stat.read_text().splitlines())
    return (int(used.read_text()) - int(counted[cached])) / 2**20


def kubernetes(service: RunningService) -> None:
    """Measure one node and three nodes: create, memory, one more node, delete."""
    try:
        alone = [create(service, f"one{number}", 1, 0) for number in range(3)]
        add(service, "POST cluster to COMPLETE, 1 Kubernetes node", statistics.median(took for _, took in alone), 7)
        for uuid, _ in alone:
            delete(service, uuid)
        gone, grown, took = [], [], []
        for number in range(3):
            uuid, seconds = create(service, f"three{number}", 1, 2)
            took.append(seconds)
            if number == 0:
                time.sleep(10)
                weight = sum(memory(each) for each in nodes(uuid))
            grown.append(resize(service, uuid, 3))
            gone.append(delete(service, uuid))
    except BenchSkipped as refused:
        skip(service, "POST cluster to COMPLETE, 1 + 2 Kubernetes nodes", 9, refused)
        return
    peer = "kind 12-17 s, k3d tuned 5.8 s, with one node"
    add(service, "POST cluster to COMPLETE, 1 + 2 Kubernetes nodes", statistics.median(took), 9, peer)
    add(service, "resize 1 + 2 to 1 + 3", statistics.median(grown), 4)
    add(service, "DELETE 1 + 3 to gone", statistics.median(gone), 5)
    service.rows.append(Row("memory of 1 + 2, ten seconds later", weight, "MiB", 700))


def kubernetes_masters(service: RunningService) -> None:
    """Measure three masters behind a load balancer."""
    sized(service, 3, 2, 20)


def kubernetes_twenty(service: RunningService) -> None:
    """Measure twenty workers."""
    sized(service, 1, 20, 20, "CERN, Magnum: 16 nodes 4 min")


def kubernetes_hundred(service: RunningService) -> None:
    """Measure a hundred workers: minutes, and 7 GiB."""
    sized(service, 1, 100, 120, "CERN, Magnum: 128 nodes 5.5 min")


def sized(service: RunningService, masters: int, workers: int, bound: float, peer: str = "") -> None:
    """Measure one create of a cluster of that size."""
    what = f"POST cluster to COMPLETE, {masters} + {workers} Kubernetes nodes"
    try:
        uuid, took = create(service, f"sized{masters}-{workers}", masters, workers)
    except BenchSkipped as refused:
        skip(service, what, bound, refused)
        return
    add(service, what, took, bound, peer)
    console.print(f"its deletion took {delete(service, uuid):.1f} s")


def add(service: RunningService, what: str, seconds: float, bound: float, peer: str = "") -> None:
    """Add a line to the table and print it at once, since the rest takes a while."""
    console.print(f"{what}: {seconds:.2f} s")
    service.rows.append(Row(what, seconds, "s", bound, peer))


def skip(service: RunningService, what: str, bound: float, why: Exception) -> None:
    """Add a line that could not be measured."""
    service.rows.append(Row(what, None, "s", bound, str(why)))


@dataclass
class Asker:
    """A client that asks a service continuously, on its nodes until one answers."""

    addresses: list[str]
    ended: threading.Event = field(default_factory=threading.Event)
    longest: float = 0.0
    answers: int = 0

    def run(self) -> None:
        heard = time.monotonic()
        while not self.ended.is_set():
            if any(served(address) for address in self.addresses):
                self.answers += 1
                self.longest = max(self.longest, time.monotonic() - heard)
                heard = time.monotonic()
            self.ended.wait(0.1)
        self.longest = max(self.longest, time.monotonic() - heard)


def served(address: str) -> bool:
    """Whether a node's port answers within a second."""
    try:
        with socket.create_connection((address, NODE_PORT), timeout=1) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            said = b""
            while block := connection.recv(4096):
                said += block
            return said.rstrip().endswith(b"served")
    except OSError:
        return False


def kubernetes_upgrade(service: RunningService) -> None:
    """Measure an upgrade by one minor version while a client asks a Deployment of two replicas."""
    what = f"upgrade of 1 + 2 from {OLD} to {NEW}"
    template = {"coe": "kubernetes", "image_id": "kubernetes-node", "flavor_id": "m1.small"}
    try:
        for version in (OLD, NEW):
            service.call("POST", TEMPLATES, template | {"name": version, "labels": {"kube_tag": version}})
        uuid, _ = create(service, "upgraded", 1, 2, OLD)
    except (BenchSkipped, urllib.error.HTTPError) as error:
        skip(service, what, 90, error)
        return
    kubectl(service, "apply", "-f", "-", given=json.dumps(workload()))
    kubectl(service, "rollout", "status", "deployment/web", "--timeout=60s")
    seen = service.call("GET", f"{PATH}/{uuid}")
    asker = Asker(seen["node_addresses"] + seen["master_addresses"])
    asking = threading.Thread(target=asker.run)
    asking.start()
    started = time.monotonic()
    service.call("POST", f"{PATH}/{uuid}/actions/upgrade", {"cluster_template": NEW}, LATEST)
    seen = settled(service, uuid)
    took = time.monotonic() - started
    asker.ended.set()
    asking.join()
    assert (seen["status"], seen["coe_version"]) == ("UPDATE_COMPLETE", NEW), seen
    add(service, what, took, 90)
    peer = f"answered {asker.answers} times meanwhile"
    service.rows.append(Row("longest silence of its service meanwhile", asker.longest, "s", 3, peer))
    delete(service, uuid)


def kubectl(service: RunningService, *words: str, given: str = "") -> None:
    """Run the cluster's kubectl as a user would."""
    command = [BIN / "jeroboam", "kubectl", "--state", service.state, "upgraded", *words]
    subprocess.run(command, input=given, text=True, check=True, capture_output=True)


def workload() -> dict[str, object]:
    """Return two replicas on different nodes behind a node port. A drain takes one at a time."""
    labels = {"app": "web"}
    probe = {"tcpSocket": {"port": 80}, "periodSeconds": 1}
    linger = {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    container = {"name": "web", "image": "docker.io/library/busybox:latest", "imagePullPolicy": "IfNotPresent"}
    container |= {"command": ["sh", "-c", SERVE], "readinessProbe": probe, "lifecycle": linger}
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    spread |= {"labelSelector": {"matchLabels": labels}}
    pod = {"terminationGracePeriodSeconds": 6, "topologySpreadConstraints": [spread], "containers": [container]}
    deployment = {"replicas": 2, "selector": {"matchLabels": labels}}
    deployment |= {"template": {"metadata": {"labels": labels}, "spec": pod}}
    port = {"port": 80, "nodePort": NODE_PORT}
    items = [
        made("apps/v1", "Deployment", deployment),
        made("v1", "Service", {"type": "NodePort", "selector": labels, "ports": [port]}),
        made("policy/v1", "PodDisruptionBudget", {"minAvailable": 1, "selector": {"matchLabels": labels}}),
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def made(version: str, kind: str, spec: dict[str, object]) -> dict[str, object]:
    """Return an object called `web`."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, "spec": spec}
