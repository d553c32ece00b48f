"""All authorities of a Kubernetes cluster are replaced, for real: who is let in at each step, and what runs on."""

import base64
import hashlib
import json

import pytest
import yaml

from jeroboam.clients.kubernetes import KubernetesApi
from jeroboam.coes.base import Authority
from jeroboam.coes.tls import build_client_tls
from jeroboam.conductor.clusters.rotation import list_given_authorities, list_trusted_authorities
from jeroboam.domain.clusters import kind_at
from jeroboam.domain.errors import DriverError
from tests.contract.rigs import CLOCK, an_authority, eventually, kubernetes_rig, ready
from tests.contract.test_kubernetes import WEB, User, asked
from tests.contract.test_kubernetes_masters import etcdctl

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]


@pytest.fixture
async def rig():
    made = await kubernetes_rig()
    yield made
    await made.infra.close()


class Rotation:
    """The steps of the cluster loop, without its store."""

    def __init__(self, rig) -> None:
        self.rig = rig
        self.stored: dict[str, Authority] = dict(rig.plan().authorities)
        self.masters = sum(member.role == "master" for member in rig.members)

    async def step(self) -> None:
        """Every node takes up what is stored now, masters first, and works again."""
        plan, wanted = (
            self.rig.plan(authorities=list_trusted_authorities(self.stored)),
            list_given_authorities(self.stored),
        )
        members = {member.uuid: member for member in self.rig.members}
        order = [member.uuid for member in self.rig.members]
        for left in range(len(members)):
            stale = await eventually(
                lambda: self.rig.coe.list_stale_members(plan, wanted),
                lambda found, left=left: len(found) == len(order) - left,
            )
            assert list(stale) == order[left:]
            script = self.rig.coe.build_script(self.rig.plan(authorities=wanted), members[stale[0]])
            await self.rig.provider.renew(self.rig.cluster_id, stale[0], script)
            await eventually(lambda: self.rig.coe.join(plan), lambda found: all(ready(found).values()), seconds=90)
        await eventually(lambda: self.rig.coe.list_stale_members(plan, wanted), lambda found: not found)

    def move(self, before: str, after: str) -> None:
        for kind in self.rig.coe.rotatable_authorities:
            self.stored[kind_at(kind, after)] = self.stored.pop(kind_at(kind, before))

    def turn(self) -> None:
        for kind in self.rig.coe.rotatable_authorities:
            self.stored[kind_at(kind, "former")] = self.stored[kind]
            self.stored[kind] = self.stored.pop(kind_at(kind, "ready"))


async def takes(rig, trusted: Authority, shown: Authority) -> bool:
    """Whether the API takes an owner who trusts the one authority and has a certificate of the other."""
    tls = build_client_tls(trusted, shown, CLOCK, organizations=["system:masters"])
    async with KubernetesApi(f"https://{rig.members[0].address}:6443", tls) as api:
        try:
            await api.get("/api/v1/nodes", "asking")
        except DriverError:
            return False
        return True


async def pods(user, *words: str) -> dict[str, tuple[str, int]]:
    """Uid and restarts of pods, by name."""
    found = yaml.safe_load(await user("get", "pods", *words, "-o", "yaml"))["items"]
    return {
        each["metadata"]["name"]: (each["metadata"]["uid"], each["status"]["containerStatuses"][0]["restartCount"])
        for each in found
    }


async def test_authorities_are_replaced_under_what_runs(rig):
    await rig.boot(rig.nodes(1, 2))
    await eventually(lambda: rig.coe.join(rig.plan()), lambda found: all(ready(found).values()), seconds=60)
    user, old = User(rig), rig.authority
    await user("apply", "-f", "-", stdin=WEB)
    await user("create", "secret", "generic", "kept", "--from-literal=word=here")
    await asked(user, "web")
    before = await pods(user)
    rotation = Rotation(rig)
    new = {kind: an_authority() for kind in rig.coe.rotatable_authorities}

    rotation.stored |= {kind_at(kind, "next"): each for kind, each in new.items()}
    await rotation.step()
    assert await takes(rig, old, old)
    assert await takes(rig, old, new["main"])

    rotation.move("next", "ready")
    await rotation.step()
    await rig.coe.announce_authorities(rig.plan(authorities=list_trusted_authorities(rotation.stored)))
    assert await takes(rig, old, old)
    assert await takes(rig, old, new["main"])
    assert await asked(user, "web"), "with the kubeconfig of before"
    await settled(user)
    assert await sealing(rig, user) == {sealed_by(new["encryption"])}, "who has only the new key can read everything"

    rotation.turn()
    await rotation.step()
    assert await takes(rig, new["main"], new["main"])
    assert not await takes(rig, new["main"], old), "a certificate of the old authority is refused"
    assert not await takes(rig, old, new["main"]), "nothing of the old authority is shown"
    rig.authority = new["main"]
    again = User(rig)
    assert await pods(again) == before, "no pod of a user was touched"
    assert await again("get", "secret", "kept", "-o", "jsonpath={.data.word}") == base64.b64encode(b"here").decode()
    # Whatever reads the API from inside a pod still does: a new name is known, and its address leads somewhere.
    await again("create", "service", "clusterip", "later", "--tcp=80:80")
    await again("set", "selector", "service", "later", "app=web")
    assert await asked(again, "later")
    await settled(again)


def sealed_by(authority: Authority) -> str:
    """How what lies in etcd begins when it is sealed with that one's key."""
    return f"k8s:enc:secretbox:v1:key-{hashlib.sha256(authority.pem.encode()).hexdigest()[:12]}"


async def sealing(rig, user) -> set[str]:
    """How the secrets in etcd begin."""
    found = json.loads(await etcdctl(user, rig.members[0], "get", "/registry/secrets/", "--prefix", "-w", "json"))
    values = [base64.b64decode(each["value"]) for each in found["kvs"]]
    return {value[: value.index(b":", len("k8s:enc:secretbox:v1:"))].decode(errors="replace") for value in values}


async def settled(user) -> None:
    words = ("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
    await eventually(lambda: user(*words), bool, seconds=120)
