"""What a Kubernetes cluster can be set to, for real: safe as it comes, and as its labels say."""

import base64
import dataclasses
import json
import uuid

import aiohttp
import pytest

from jeroboam.clients.docker import connect
from jeroboam.domain.clusters import Health
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.providers.local.images import copy_images
from tests.contract.rigs import eventually, kubernetes_rig, on_node
from tests.contract.test_kubernetes import up

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]

LABELS = {
    "kubelet_options": "--max-pods=42",
    "kubeapi_options": "--event-ttl=2h",
    "kubescheduler_options": "--v=1",
    "kubecontroller_options": "--terminated-pod-gc-threshold=100",
    "kubeproxy_options": "--proxy-mode=iptables",
    "admission_control_list": "PodNodeSelector",
    "audit_log_enabled": "true",
    "oidc_issuer_url": "https://id.invalid",
    "oidc_client_id": "kubernetes",
    "oidc_groups_claim": "groups",
}
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  hostNetwork: %s
  containers: [{name: c, image: "docker.io/library/busybox:latest", imagePullPolicy: Never, command: [sleep, "600"]}]
"""


@pytest.fixture
async def rig():
    made = await kubernetes_rig()
    yield made
    await made.infra.close()


def labelled(rig, **changes):
    """Plans of that rig are of a cluster with these labels, or of a template with these fields."""
    made = rig.plan
    rig.plan = lambda **more: made(**{**changes, **more})


async def status(url: str) -> int:
    """What somebody without a certificate is answered there."""
    async with aiohttp.ClientSession() as session, session.get(url, ssl=False) as answer:
        return answer.status


async def shown(user, *words: str) -> dict:
    return json.loads(await user("get", *words, "-o", "json"))


async def test_a_cluster_is_safe_as_it_comes_and_as_its_labels_say(rig):
    labelled(rig, labels=LABELS)
    user = await up(rig, workers=1)

    # Secrets do not lie in etcd as they are.
    await user("create", "secret", "generic", "s", "--from-literal=word=unmistakable")
    grep = "grep -rqa %s /var/lib/etcd/member"
    await on_node(rig, 0, "sh", "-c", grep % "k8s:enc:secretbox:v1:")
    with pytest.raises(Temporary):
        await on_node(rig, 0, "sh", "-c", grep % "unmistakable")

    # A pod that reaches for its node is refused where nobody said that such pods may be.
    with pytest.raises(Temporary, match="violates PodSecurity"):
        await user("apply", "-f", "-", stdin=POD % ("bad", "true"))
    await eventually(lambda: user("apply", "-f", "-", stdin=POD % ("good", "false")), bool)
    await user("label", "namespace", "default", "pod-security.kubernetes.io/enforce=privileged")
    await user("apply", "-f", "-", stdin=POD % ("bad", "true"))

    # Nobody without a name learns even the version; that it is well, anyone may ask.
    assert await status(f"{user.api}/readyz") == 200
    assert await status(f"{user.api}/version") == 401
    assert await status(f"https://{rig.members[1].address}:10250/pods") == 401

    # Tokens name this very cluster, and its pods use them.
    token = await user("create", "token", "default")
    claims = json.loads(padded(token.split(".")[1]))
    assert claims["iss"] == user.api

    # What operators set is what programs run with.
    for member in rig.members:
        assert (await shown(user, "node", member.name))["status"]["capacity"]["pods"] == "42"
    parts = {"kube-apiserver", "kube-scheduler", "kube-controller-manager"}

    async def components() -> dict[str, dict]:
        found = (await shown(user, "pods", "-n", "kube-system"))["items"]
        return {each["metadata"]["labels"].get("component"): each for each in found}

    # They run before they are shown.
    pods = await eventually(components, lambda found: parts <= found.keys())
    assert "--event-ttl=2h" in pods["kube-apiserver"]["spec"]["containers"][0]["command"]
    assert "--v=1" in pods["kube-scheduler"]["spec"]["containers"][0]["command"]
    assert "--terminated-pod-gc-threshold=100" in pods["kube-controller-manager"]["spec"]["containers"][0]["command"]
    await eventually(lambda: on_node(rig, 1, "sh", "-c", "/usr/sbin/iptables-save | grep KUBE-SERVICES"), bool)
    with pytest.raises(Temporary, match=r"No such|does not exist"):
        await on_node(rig, 1, "/usr/sbin/nft", "list", "table", "ip", "kube-proxy")
    log = await on_node(rig, 0, "sh", "-c", "grep '\"secrets\"' /var/lib/kubernetes/audit/audit.log")
    said = [json.loads(line) for line in log.splitlines()]
    assert any(each["user"]["username"] == "admin" and each["verb"] == "create" for each in said)
    assert "unmistakable" not in log


def padded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  containers:
    - name: c
      image: docker.io/library/busybox:latest
      imagePullPolicy: Never
      command: [sh, -c, "echo written >/data/file; exec sleep 600"]
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: kept}}]
---
apiVersion: v1
kind: Pod
metadata: {name: pulled}
spec: {containers: [{name: c, image: "localhost:5000/team/app:v1", imagePullPolicy: Always, command: [sleep, "600"]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: insecure}
spec: {containers: [{name: c, image: "10.254.0.11:5000/team/app:v1", imagePullPolicy: Always, command: [sleep, "600"]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: mirrored}
spec: {containers: [{name: c, image: "quay.io/somebody/thing:v1", imagePullPolicy: Always, command: [sleep, "600"]}]}
"""
REGISTRY = "10.254.0.11:5000"
OWN = """
apiVersion: v1
kind: Pod
metadata: {name: loaded}
spec: {containers: [{name: c, image: "@APP@", imagePullPolicy: Never, command: [sleep, "600"]}]}
"""


@pytest.fixture
async def app(busybox):
    """An image of a user's own, on this machine's Engine."""
    async with connect() as docker:
        name = f"test-{uuid.uuid4().hex[:8]}/app"
        await docker.images.tag(busybox, name, tag="v1")
        yield f"{name}:v1"
        await docker.images.delete(f"{name}:v1")


def taken_in(path: str) -> tuple[str, ...]:
    return ("/usr/local/bin/ctr", "-n", "k8s.io", "images", "import", "--local", path)


def runs(pod) -> bool:
    return any(each.get("ready") for each in pod["status"].get("containerStatuses", ()))


async def load(rig, *images: str):
    async with connect() as docker:
        of = {"installation": rig.infra.installation, "cluster_id": rig.cluster_id}
        return await copy_images(docker, **of, images=images, command=taken_in)


async def test_add_ons_and_registries(rig, app):
    fields = {"registry_enabled": True, "insecure_registry": REGISTRY}
    template = dataclasses.replace(rig.plan().template, **fields)
    labelled(rig, template=template, labels={"container_infra_prefix": f"{REGISTRY}/mirror/"})
    user = await up(rig, workers=2)
    await eventually(lambda: user("apply", "-f", "-", stdin=CLAIM), bool, seconds=60)

    # A claim without a class gets a folder on the disk of the node that its pod came to.
    await eventually(
        lambda: user("exec", "writer", "--", "cat", "/data/file"), lambda said: said == "written\n", seconds=90
    )
    volume = (await shown(user, "pvc", "kept"))["spec"]["volumeName"]
    place = (await shown(user, "pod", "writer"))["spec"]["nodeName"]
    number = [member.name for member in rig.members].index(place)
    assert "written" in await on_node(rig, number, "sh", "-c", f"cat /var/lib/local-path/{volume}*/file")

    # What is pushed to the cluster's registry runs on every node under the name that it has outside.
    rollout = ("rollout", "status", "-n", "kube-system", "deployment/registry", "--timeout=5s")
    await eventually(lambda: user(*rollout), bool, seconds=60)
    assert await load(rig, app, "busybox:latest") == sorted(member.name for member in rig.members)
    push = ("ctr", "-n", "k8s.io", "images", "push", "--plain-http", "--local")
    for name in ("team/app:v1", "mirror/somebody/thing:v1"):
        await on_node(rig, 0, *push, f"{REGISTRY}/{name}", f"docker.io/{app}")
    await user("apply", "-f", "-", stdin=OWN.replace("@APP@", app))
    await eventually(lambda: shown(user, "pod", "loaded"), runs, seconds=60)
    with pytest.raises(Permanent, match="there is no image"):
        await load(rig, app, "no-such/image:v1")

    # That one is asked in plain by its own name too, and for what public registries have.
    for name in ("pulled", "insecure", "mirrored"):
        await eventually(lambda name=name: shown(user, "pod", name), runs, seconds=90)

    # Metrics of nodes and pods come over connections whose both ends were looked at.
    used = await eventually(
        lambda: user("top", "nodes", "--no-headers"), lambda text: len(text.splitlines()) == 3, seconds=90
    )
    assert {line.split()[0] for line in used.splitlines()} == {member.name for member in rig.members}
    assert "<unknown>" not in used
    assert "hello" in await user("exec", "writer", "--", "echo", "hello")

    # What a group is given its nodes get; what it has no more goes, and what a user put there stays.
    own, plain = rig.members[2], rig.members[2]
    await user("label", "node", own.name, "mine=kept")
    taint = {"key": "for", "value": "batch", "effect": "NoSchedule"}
    rig.members[2] = dataclasses.replace(own, labels={"disk": "ssd"}, taints=(taint,))
    await rig.coe.join(rig.plan())
    node = await shown(user, "node", own.name)
    assert (node["metadata"]["labels"]["disk"], node["spec"]["taints"]) == ("ssd", [taint])
    assert "tier" not in node["metadata"]["labels"]
    rig.members[2] = dataclasses.replace(plain, labels={})
    await rig.coe.join(rig.plan())
    node = await shown(user, "node", own.name)
    assert "taints" not in node["spec"]
    assert ("disk" in node["metadata"]["labels"], node["metadata"]["labels"]["mine"]) == (False, "kept")

    # What is not wanted any more goes.
    labelled(rig, template=template, labels={"metrics_server_enabled": "false"})
    await rig.coe.join(rig.plan())
    with pytest.raises(Temporary, match="NotFound"):
        await user("get", "-n", "kube-system", "deployment", "metrics-server")


CNI = """
{"cniVersion": "1.0.0", "name": "own", "plugins": [
    {"type": "ptp", "ipam": {
        "type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]
    }}
]}
"""


async def test_a_cluster_comes_up_without_a_network_and_waits_for_its_users(rig):
    labelled(rig, template=dataclasses.replace(rig.plan().template, network_driver="none"))
    user = await up(rig, workers=0)
    seen = await rig.coe.observe(rig.plan())
    assert seen.health is Health.HEALTHY
    [said] = [each for each in seen.conditions if each.type == "PodNetwork"]
    assert (said.status, said.reason) == (False, "NoneYet")
    assert "1 of 1 nodes" in said.message
    assert "NotReady" in await user("get", "nodes", "--no-headers")
    await on_node(rig, 0, "pidof", "kube-proxy")
    with pytest.raises(Temporary):
        await on_node(rig, 0, "pidof", "flanneld")

    await on_node(rig, 0, "sh", "-c", f"echo '{CNI}' >/etc/cni/net.d/10-own.conflist")

    def has_network(found) -> bool:
        return any(each.type == "PodNetwork" and each.status for each in found.conditions)

    await eventually(lambda: rig.coe.observe(rig.plan()), has_network, seconds=60)
    assert "NotReady" not in await user("get", "nodes", "--no-headers")
    waiting = ("wait", "-n", "kube-system", "deployment/coredns", "--for=condition=Available", "--timeout=5s")
    await eventually(lambda: user(*waiting), bool, seconds=60)
    # Where the kernel can, services are the newer tables' business.
    await on_node(rig, 0, "/usr/sbin/nft", "list", "table", "ip", "kube-proxy")
