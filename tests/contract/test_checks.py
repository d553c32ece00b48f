"""The checks of a cluster, on real ones: all pass where all is well, and each that should fail does when it is broken.

The parts of one cluster are broken one after the other, since a cluster takes as long to come up as many checks do.
"""

import json
import subprocess

import pytest

from jeroboam.bootstrap.own_clusters import kubeconfig
from jeroboam.checks import ALL, select_checks
from jeroboam.checks.runner import carry_out
from jeroboam.checks.site import enter
from jeroboam.clients.container_infra import ClusterCredentials, ClusterView
from jeroboam.clients.docker import connect
from jeroboam.clients.kubernetes import KubernetesApi
from jeroboam.domain.errors import Permanent
from jeroboam.kit.tls import build_client_context, build_trusting_context
from jeroboam.kit.x509 import CLIENT, KeyPair, issue
from jeroboam.nodeimages.kubectl import extract_kubectl, find_cached
from tests.contract.rigs import CLOCK, eventually, kubernetes_rig, on_node, ready
from tests.unit.test_checks import Told

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]

IMAGE = "docker.io/library/busybox:latest"
NEWEST, BEFORE = "v1.36.3", "v1.35.4"


@pytest.fixture
async def rig():
    made = await kubernetes_rig()
    yield made
    await made.infra.close()


async def up(rig, *, workers: int) -> ClusterCredentials:
    await rig.boot(rig.nodes(1, workers))
    joined = await eventually(lambda: rig.coe.join(rig.plan()), lambda found: all(ready(found).values()), seconds=90)
    ca = KeyPair(pem=rig.authority.pem, key=rig.authority.key)
    own = issue(ca=ca, common_name="admin", organizations=["system:masters"], usages=[CLIENT], now=CLOCK.now())
    return ClusterCredentials(url=joined.api_address, ca_certificates=ca.pem, own=own)


def api_of(access: ClusterCredentials) -> KubernetesApi:
    return KubernetesApi(access.url, build_client_context(access.own, access.ca_certificates))


async def seen(access: ClusterCredentials, *names: str, seconds: float = 60) -> dict[str, str]:
    """How the checks end, and what they say, by name."""

    def bearer(token: str) -> KubernetesApi:
        return KubernetesApi(access.url, build_trusting_context(access.ca_certificates), token=token)

    async with api_of(access) as api:
        site = await enter(api, bearer, CLOCK, image=IMAGE, seconds=seconds)
        results = await carry_out(site, select_checks(names), Told())
    return {result.check.name: f"{result.outcome} {result.text}".rstrip() for result in results}


async def left(access: ClusterCredentials) -> list[str]:
    """What checks should have removed and have not."""
    async with api_of(access) as api:
        namespaces = (await api.get("/api/v1/namespaces", "test"))["items"]
        found = [
            each["metadata"]["name"]
            for each in namespaces
            if each["metadata"]["name"].startswith("jeroboam-check") and each["status"]["phase"] != "Terminating"
        ]
        for path in ("/api/v1/persistentvolumes", "/apis/apps/v1/daemonsets", "/api/v1/pods"):
            items = (await api.get(f"{path}?labelSelector=jeroboam.io/check", "test"))["items"]
            found += [each["metadata"]["name"] for each in items]
        nodes = (await api.get("/api/v1/nodes", "test"))["items"]
        return found + [node["metadata"]["name"] for node in nodes if node["spec"].get("unschedulable")]


async def test_all_pass_on_a_cluster_that_is_well_and_each_fails_on_one_that_is_not(rig):
    access = await up(rig, workers=2)
    ends = await seen(access)
    assert {name: end for name, end in ends.items() if not end.startswith("passed")} == {}
    assert set(ends) == {check.name for check in ALL}
    assert await left(access) == []

    async with api_of(access) as api:
        names = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
        await api.patch(names, {"spec": {"replicas": 0}}, "test")
        everyone = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "everyone"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated"}],
        }
        await api.apply("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/everyone", everyone, "test")
        # Rules for services come from kube-proxy; flannel carries what goes from node to node.
        for number in range(len(rig.members)):
            await on_node(rig, number, "sh", "-c", "rm /etc/kubernetes/kube-proxy.conf; killall kube-proxy")
        hurt = ("dns", "headless", "rbac", "service", "node-port")
        ends = await seen(access, *hurt, "exec", "pod-network", seconds=5)
        assert ends["dns"].startswith("failed addresses of named.jeroboam-check-")
        assert ends["headless"].startswith("failed addresses of each.jeroboam-check-")
        assert "should be refused with 403, and the answer is 200" in ends["rbac"]
        assert ends["service"].startswith("failed service address")
        assert ends["node-port"].startswith("failed port")
        assert (ends["exec"], ends["pod-network"]) == ("passed", "passed 2 ways")

        worker = f"/api/v1/nodes/{rig.members[1].name}"
        await api.patch(worker, {"spec": {"unschedulable": True}}, "test")
        ends = await seen(access, "pod-network", "drain", "daemon-set", "job", seconds=60)
        assert ends["drain"] == "skipped one node only takes work"
        assert ends["job"] == "passed"
        # A cordoned node keeps what DaemonSets have there.
        assert (ends["pod-network"], ends["daemon-set"]) == ("passed 2 ways", "passed 2 nodes")
    assert await left(access) == [rig.members[1].name]


@pytest.mark.long
async def test_all_pass_on_the_version_before(rig):
    rig.image = f"kubernetes-node:{BEFORE}"
    access = await up(rig, workers=2)
    ends = await seen(access)
    assert {name: end for name, end in ends.items() if not end.startswith("passed")} == {}


async def test_kubectl_comes_out_of_the_cache_or_of_the_node_image(rig, tmp_path):
    access = await up(rig, workers=0)
    assert find_cached(tmp_path, NEWEST) is None
    async with connect() as docker:
        program = await extract_kubectl(docker, tmp_path, NEWEST)
        with pytest.raises(Permanent, match=r"no kubectl v0\.0\.1 here: `jeroboam node-image build kubernetes"):
            await extract_kubectl(docker, tmp_path, "v0.0.1")
    assert find_cached(tmp_path, NEWEST) == program
    cluster = ClusterView(
        uuid="u", name="demo", coe="kubernetes", status="", api_address=access.url, coe_version=NEWEST
    )
    config = tmp_path / "config"
    config.write_text(json.dumps(kubeconfig(cluster, access)))
    command = [program, "--kubeconfig", config, "get", "nodes", "-o", "name"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"node/{rig.members[0].name}\n"
