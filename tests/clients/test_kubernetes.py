"""The life of a Kubernetes cluster of three masters, with the clients that its users have: `openstack` and `kubectl`.

The tests of this module are one story and run in their order. While its nodes are upgraded somebody asks the service
that runs in it all the time.
"""

import asyncio
import json
import subprocess
import threading
import time
import urllib.request

import pytest

from tests.clients.openstack_shell import Shell
from tests.fault.installation import Installation
from tests.kubernetes_objects import deployment, listed, service, written

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.long]

CONFIG = "[conductor]\ncheck_seconds = 3\n[clusters]\nca_overlap_seconds = 20\n"
OLD, NEW = "v1.35.4", "v1.36.3"
CREATE = "coe cluster template create --coe kubernetes --image kubernetes-node --external-network public"
SECONDS = 240.0
# Told to end it goes on for a moment: until every node knows that it is going.
SERVE = (
    "mkdir /www; echo hello >/www/index.html; trap 'sleep 2; exit' TERM; httpd -p 80 -h /www; "
    "while :; do sleep 0.2; done"
)
PROBE = {"tcpSocket": {"port": 80}, "periodSeconds": 1}
WEB = listed(
    deployment("web", "sh", "-c", SERVE, grace_seconds=5, spread=True, readinessProbe=PROBE),
    written(
        "policy/v1", "PodDisruptionBudget", "web", {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    ),
    service("web", node_port=30080),
)


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    made = Installation(tmp_path_factory.mktemp("kube"), CONFIG)
    asyncio.run(made.up())
    yield made
    made.down()


@pytest.fixture(scope="module")
def member(installation):
    shell = Shell(installation.state, "jeroboam")
    yield shell
    shell.close()


class User:
    """Who has a folder with what `coe cluster config` wrote."""

    def __init__(self, member, folder) -> None:
        folder.mkdir()
        member(f"coe cluster config ha --dir {folder}")
        self.config = folder / "config"

    def __call__(self, *words: str, stdin: str = "") -> str:
        done = self.tried(*words, stdin=stdin)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def tried(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess:
        line = [
            "docker",
            "run",
            "--rm",
            "-i",
            "--network=host",
            "--entrypoint=kubectl",
            "-v",
            f"{self.config}:/config:ro",
        ]
        line += [f"jeroboam/kubernetes-node:{NEW}", "--kubeconfig=/config", "--request-timeout=20s", *words]
        return subprocess.run(line, input=stdin, capture_output=True, text=True, check=False, timeout=120)

    def json(self, *words: str) -> dict:
        return json.loads(self(*words, "-o", "json"))

    def nodes(self) -> dict[str, dict]:
        return {each["metadata"]["name"]: each for each in self.json("get", "nodes")["items"]}


class Visitor(threading.Thread):
    """Asks the service from outside all the time, at whichever worker answers first."""

    def __init__(self, addresses: list[str]) -> None:
        super().__init__(daemon=True)
        self.addresses = addresses
        self.asked = 0
        self.longest = 0.0
        """Seconds without an answer."""
        self._leaving = threading.Event()

    def run(self) -> None:
        last = time.monotonic()
        while not self._leaving.wait(0.05):
            if any(answers(address) for address in self.addresses):
                self.asked += 1
                self.longest = max(self.longest, time.monotonic() - last)
                last = time.monotonic()
        self.longest = max(self.longest, time.monotonic() - last)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._leaving.set()
        self.join()


def answers(address: str) -> bool:
    """Whether the service is reached through that node, from outside."""
    try:
        with urllib.request.urlopen(f"http://{address}:30080/", timeout=1) as answer:
            return answer.read() == b"hello\n"
    except OSError:
        return False


def engine(*words: str) -> list[str]:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.split()


def servers(member, role: str = "") -> list[str]:
    """Containers of the cluster."""
    uuid = member.json("coe cluster show ha")["uuid"]
    return engine("ps", "-aq", "--filter", f"label=jeroboam.cluster={uuid}", "--filter", f"label=jeroboam.role{role}")


def until(look, *, seconds: float = SECONDS):
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return found


def done(member, status: str = "UPDATE_COMPLETE") -> dict:
    """The cluster, once the wish is carried out."""

    def look() -> dict | None:
        shown = member.json("coe cluster show ha")
        assert not shown["status"].endswith("FAILED"), shown
        return shown if shown["status"] == status else None

    return until(look)


@pytest.fixture(scope="module")
def user(member, tmp_path_factory):
    """Somebody with what was handed out when the cluster was new."""
    return User(member, tmp_path_factory.mktemp("user") / "old")


def test_three_masters_and_two_workers(member):
    for name, version in (("old", OLD), ("new", NEW)):
        member(f"{CREATE} --labels kube_tag={version} --master-lb-enabled {name}")
    member(f"{CREATE} --labels kube_tag=v1.2.3 never")
    said = member.refused("coe cluster create --cluster-template never never")
    assert "'labels/kube_tag', value 'v1.2.3': that version is not on this Engine yet" in said, said
    assert "node-image build kubernetes --version v1" in said, said
    said = member.refused("coe cluster create --cluster-template kubernetes --master-count 3 never")
    assert said.startswith("master_count must be 1 when master_lb_enabled is False, and it is 3 (HTTP 400)")
    member("coe cluster create --cluster-template old --master-count 3 --node-count 2 --timeout 30 ha")
    shown = done(member, "CREATE_COMPLETE")
    assert (len(shown["master_addresses"]), len(shown["node_addresses"])) == (3, 2)
    assert shown["coe_version"] == OLD
    assert shown["api_address"].split("/")[2].split(":")[0] not in shown["master_addresses"]


def test_kubectl_works_with_what_the_client_wrote(user):
    nodes = user.nodes()
    assert len(nodes) == 5
    assert {each["status"]["nodeInfo"]["kubeletVersion"] for each in nodes.values()} == {OLD}
    user("apply", "-f", "-", stdin=WEB)
    user("rollout", "status", "deployment/web", "--timeout=60s")


def test_groups_with_labels_and_taints_and_sizes(member, user):
    member("coe nodegroup create ha extra --node-count 1 --role gpu")
    done(member)
    group = member.json("coe nodegroup show ha extra")
    assert (group["role"], group["status"]) == ("gpu", "CREATE_COMPLETE")
    [added] = [name for name in user.nodes() if "-gpu-" in name or "-extra-" in name]
    assert user.nodes()[added]["metadata"]["labels"]["jeroboam.io/group"] == "extra"
    member("coe cluster resize ha 3")
    done(member)
    assert len(user.nodes()) == 7
    leaver = next(name for name in user.nodes() if name.endswith("worker-0"))
    member(f"coe cluster resize ha 2 --nodes-to-remove {leaver}")
    done(member)
    assert leaver not in user.nodes()
    member("coe nodegroup delete ha extra")
    done(member)
    assert len(user.nodes()) == 5


def test_one_master_is_killed_and_the_api_answers_on(member, user):
    victim = servers(member, "=master")[0]
    engine("kill", victim)
    # What was on its way to that one is lost; the next try goes elsewhere.
    words = ("create", "configmap", "while-one-is-away", "--from-literal=a=b")
    until(lambda: user.tried(*words).returncode == 0, seconds=20)
    until(lambda: all(ready(each) for each in user.nodes().values()) and running(victim))
    until(lambda: member.json("coe cluster show ha")["health_status"] == "HEALTHY")


def test_the_host_is_rebooted(member, user):
    engine("kill", *servers(member))
    until(
        lambda: member.json("coe cluster show ha")["health_status"] == "HEALTHY" and all(map(running, servers(member)))
    )
    assert user("get", "configmap", "while-one-is-away", "-o", "name").strip() == "configmap/while-one-is-away"
    workers = member.json("coe cluster show ha")["node_addresses"]
    until(lambda: all(map(answers, workers)))
    node = servers(member, "=master")[1]
    before = {name: pids(node, name) for name in ("kubelet", "containerd", "etcd")}
    engine("exec", node, "killall", "-9", *before)
    until(lambda: all(set(pids(node, name)) - set(before[name]) for name in before), seconds=60)
    until(lambda: member.json("coe cluster show ha")["health_status"] == "HEALTHY")
    until(lambda: all(map(answers, workers)))


def test_upgrade_under_visitors(member, user):
    said = member.refused("coe cluster upgrade ha never")
    assert "HTTP 400" in said, said
    workers = member.json("coe cluster show ha")["node_addresses"]
    with Visitor(workers) as visitor:
        member("coe cluster upgrade ha new --max-batch-size 1")
        shown = done(member)
    assert shown["coe_version"] == NEW
    assert {each["status"]["nodeInfo"]["kubeletVersion"] for each in user.nodes().values()} == {NEW}
    until(lambda: not [image for image in images(user) if OLD in image])
    print(f"upgrade: {visitor.asked} answers, none for at most {visitor.longest:.1f} s")  # noqa: T201
    assert visitor.asked
    assert visitor.longest < 10
    assert "HTTP 4" in member.refused("coe cluster upgrade ha old"), "there is no way back"


def test_every_authority_is_replaced_under_visitors(member, user, tmp_path):
    """Of three masters behind a load balancer: the API and what runs answer throughout."""
    former, pods = member("coe ca show ha"), identities(user)
    workers = member.json("coe cluster show ha")["node_addresses"]
    with Visitor(workers) as visitor:
        member("coe ca rotate ha")
        # The first is the one that signs: every node accepts it by then, and what was handed out before still counts.
        until(lambda: not member("coe ca show ha").startswith(former.strip()))
        later = User(member, tmp_path / "later")
        assert later.nodes().keys() == user.nodes().keys()
        done(member)
    print(f"rotation: {visitor.asked} answers, none for at most {visitor.longest:.1f} s")  # noqa: T201
    assert visitor.asked
    assert visitor.longest < 10
    assert user.tried("get", "nodes").returncode != 0, "what was handed out before is refused"
    assert identities(later) == pods, "no pod of a user was touched"
    assert member.json("coe cluster show ha")["health_status"] == "HEALTHY"


def test_it_goes_and_leaves_nothing(member):
    uuid = member.json("coe cluster show ha")["uuid"]
    member("coe cluster delete ha")
    member.until_gone("ha")
    for kind in ("container", "volume", "network"):
        assert engine(kind, "ls", "-q", "--filter", f"label=jeroboam.cluster={uuid}") == []


def identities(user) -> dict[str, tuple[str, int]]:
    """Uid and restarts of the users' pods, by name; without those that are on their way out."""
    return {
        each["metadata"]["name"]: (each["metadata"]["uid"], each["status"]["containerStatuses"][0]["restartCount"])
        for each in user.json("get", "pods")["items"]
        if "deletionTimestamp" not in each["metadata"]
    }


def images(user) -> set[str]:
    pods = user.json("get", "pods", "-n", "kube-system")["items"]
    return {each["spec"]["containers"][0]["image"] for each in pods}


def ready(node: dict) -> bool:
    return next(each for each in node["status"]["conditions"] if each["type"] == "Ready")["status"] == "True"


def pids(container: str, program: str) -> list[str]:
    line = ["docker", "exec", container, "pidof", program]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60).stdout.split()


def running(container: str) -> bool:
    return engine("inspect", "-f", "{{.State.Running}}", container) == ["true"]
