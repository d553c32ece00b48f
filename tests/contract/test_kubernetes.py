"""Kubernetes for real: what a user of the cluster does with kubectl, and what happens to nodes."""

import asyncio
import base64
import dataclasses
import io
import json
import tarfile
from http import HTTPStatus

import aiohttp
import pytest

from jeroboam.clients.docker import connect
from jeroboam.clients.docker_containers import run_command
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.x509 import CLIENT, KeyPair, issue
from tests.contract.rigs import CLOCK, eventually, kubernetes_rig, ready
from tests.kubernetes_objects import BUSYBOX, deployment, listed, service, written

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]

SERVE = "mkdir -p /www; hostname >/www/index.html; exec httpd -f -p 80 -h /www"
USER = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "user", **BUSYBOX, "command": ["sleep", "3600"]}]}
WEB = listed(
    deployment("web", "sh", "-c", SERVE, grace_seconds=1, spread=True),
    service("web"),
    written("v1", "Pod", "user", USER),
)


@pytest.fixture
async def rig():
    made = await kubernetes_rig()
    yield made
    await made.infra.close()


class User:
    """Someone with kubectl and what `coe cluster config` wrote: the kubectl of a node, which every image has."""

    def __init__(self, rig, *, organization: str = "system:masters") -> None:
        self.rig = rig
        ca = KeyPair(pem=rig.authority.pem, key=rig.authority.key)
        own = issue(ca=ca, common_name="admin", organizations=[organization], usages=[CLIENT], now=CLOCK.now())
        self.config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.api, "certificate-authority-data": b64(ca.pem)}}],
            "users": [
                {"name": "u", "user": {"client-certificate-data": b64(own.pem), "client-key-data": b64(own.key)}}
            ],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }

    @property
    def api(self) -> str:
        return f"https://{self.rig.front_address or self.rig.members[0].address}:6443"

    async def __call__(self, *words: str, stdin: str = "") -> str:
        """What kubectl printed. Raises `Temporary` with it where it failed, since much is not there at once."""
        files = {"config": json.dumps(self.config), "stdin": stdin}
        async with connect() as docker:
            found = await docker.containers.list(filters={"label": [f"jeroboam.node={self.rig.members[-1].uuid}"]})
            await found[0].put_archive("/root", archive(files))
            line = f"KUBECONFIG=/root/config kubectl {' '.join(words)} </root/stdin"
            done = await run_command(found[0], ("sh", "-c", line))
        if done.exit_code != 0:
            raise Temporary(done.output)
        return done.output


def b64(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def archive(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


async def up(rig, masters=1, workers=2) -> User:
    await rig.boot(rig.nodes(masters, workers))
    joined = await rig.coe.join(rig.plan())
    assert all(ready(joined).values()), joined.members
    return User(rig)


async def test_a_user_runs_a_service_and_its_nodes_are_made_anew_under_it(rig):
    user = await up(rig)
    shown = json.loads(await user("get", "nodes", "-o", "json"))["items"]
    roles = {node["metadata"]["name"]: node["metadata"]["labels"] for node in shown}
    assert "node-role.kubernetes.io/control-plane" in roles[rig.members[0].name]
    assert roles[rig.members[1].name]["tier"] == "worker"
    assert all(node["spec"]["podCIDR"].startswith("10.100.") for node in shown)

    await eventually(lambda: user("apply", "-f", "-", stdin=WEB), bool)
    await eventually(lambda: user("rollout", "status", "deployment/web", "--timeout=5s"), bool, seconds=60)
    spread = json.loads(await user("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    assert {pod["spec"]["nodeName"] for pod in spread} == {member.name for member in rig.members[1:]}

    # By the name that CoreDNS knows and the address that kube-proxy answers, from a pod, and by each pod's own.
    answer = await asked(user, "web.default.svc.cluster.local")
    assert answer in {pod["metadata"]["name"] for pod in spread}
    for pod in spread:
        assert await asked(user, pod["status"]["podIP"]) == pod["metadata"]["name"]
    assert "httpd" in await user("exec", spread[0]["metadata"]["name"], "--", "ps")

    for member in rig.members[1:]:
        await rig.coe.drain(rig.plan(), [member.uuid])
        left = json.loads(await user("get", "pods", "-l", "app=web", "-o", "json"))["items"]
        assert member.name not in {
            pod["spec"]["nodeName"] for pod in left if "deletionTimestamp" not in pod["metadata"]
        }
        await rebuild(rig, member)
        await eventually(lambda: rig.coe.join(rig.plan()), lambda found: all(ready(found).values()), seconds=60)
    assert not [node for node in json.loads(await user("get", "nodes", "-o", "json"))["items"] if cordoned(node)]
    await eventually(lambda: user("rollout", "status", "deployment/web", "--timeout=5s"), bool, seconds=60)


async def asked(user: User, host: str) -> str:
    """What is served there, seen from a pod. (The static busybox's wget does not survive every look-up.)"""
    request = "GET / HTTP/1.0\r\n\r\n"
    words = ("exec", "-i", "user", "--", "nc", "-w", "2", host, "80")
    said = await eventually(lambda: user(*words, stdin=request), lambda text: "200 OK" in text, seconds=60)
    return said.strip().rpartition("\n")[2]


async def rebuild(rig, member) -> None:
    """Make the node anew, as the next build of its group."""
    rig.wanted = [
        dataclasses.replace(node, build=node.build + 1) if node.uuid == member.uuid else node for node in rig.wanted
    ]
    place = rig.members.index(member)
    rig.members[place] = dataclasses.replace(member, build=member.build + 1)
    planned = {each.uuid for each in rig.members}
    want = rig.want([node for node in rig.wanted if node.uuid in planned])
    await rig.provider.rebuild(want, member.uuid, rig.scripts()[member.uuid])


def cordoned(node: dict) -> bool:
    return bool(node["spec"].get("unschedulable"))


async def test_a_master_that_is_made_anew_keeps_what_the_cluster_knows(rig):
    user = await up(rig, workers=1)
    await user("create", "configmap", "kept", "--from-literal=a=b")
    await rebuild(rig, rig.members[0])
    with pytest.raises(Temporary):
        await rig.coe.observe(rig.plan())
    again = await eventually(lambda: rig.coe.join(rig.plan()), lambda found: all(ready(found).values()), seconds=90)
    assert again.strangers == ()
    assert "kept" in await user("get", "configmap", "-o", "name")


async def test_a_killed_worker_is_started_and_ready_again(rig):
    await up(rig, workers=1)
    victim = rig.members[1]
    await rig.infra.kill(rig.cluster_id, victim.uuid)
    await rig.start_all()
    await eventually(lambda: rig.coe.join(rig.plan()), lambda found: all(ready(found).values()), seconds=60)


async def test_a_lost_node_is_not_taken_for_the_one_that_was_there(rig):
    await up(rig, workers=1)
    stale = dataclasses.replace(rig.members[1], build=7)
    seen = await rig.coe.observe(rig.plan(members=(rig.members[0], stale)))
    state = next(each for each in seen.members if each.uuid == stale.uuid)
    assert (state.ready, state.reason) == (False, "its kubelet has not come up yet on the new machine")


async def test_strangers_are_not_let_in_and_others_only_as_far_as_they_may(rig):
    await up(rig, workers=0)
    other = await kubernetes_rig()
    with pytest.raises(Temporary):
        await rig.coe.observe(rig.plan(authorities={**rig.plan().authorities, "main": other.authority}))
    plain = User(rig, organization="nobody")
    with pytest.raises(Temporary, match=r"(?i)forbidden"):
        await plain("get", "secrets", "-A")
    # The kubelet of a node answers nobody without a certificate.
    url = f"https://{rig.members[0].address}:10250/pods"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=False) as answer:
        assert answer.status == HTTPStatus.UNAUTHORIZED


async def test_further_names_of_the_api(rig):
    rig.options = {}
    made = rig.plan
    rig.plan = lambda **changes: made(**{"labels": {"api_server_cert_sans": "api.example,192.0.2.7"}, **changes})
    await up(rig, workers=0)
    async with connect() as docker:
        found = await docker.containers.list(filters={"label": [f"jeroboam.node={rig.members[0].uuid}"]})
        shown = await run_command(found[0], ("cat", "/etc/kubernetes/pki/apiserver.crt"))
    assert "BEGIN CERTIFICATE" in shown.output
    from cryptography import x509

    names = x509.load_pem_x509_certificate(shown.output.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "api.example" in names.value.get_values_for_type(x509.DNSName)


async def test_an_image_that_is_not_there_is_told():
    rig = await kubernetes_rig()
    rig.image = "kubernetes-node:v0.0.1"
    try:
        with pytest.raises(Permanent, match="node-image build kubernetes --version"):
            await asyncio.wait_for(rig.boot(rig.nodes(1, 0)), 30)
    finally:
        await rig.infra.close()
