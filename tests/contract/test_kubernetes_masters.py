"""Several masters behind a load balancer, for real: what users notice when one of them goes, and how it comes back."""

import pytest

from jeroboam.clients.docker import connect
from jeroboam.domain.errors import Temporary
from tests.contract.rigs import eventually, kubernetes_rig, on_node, ready
from tests.contract.test_kubernetes import User, rebuild
from tests.contract.test_kubernetes_drains import ONLY
from tests.kubernetes_objects import listed

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]


@pytest.fixture
async def rig():
    made = await kubernetes_rig()
    await made.balance()
    yield made
    await made.infra.close()


async def all_ready(rig) -> None:
    await eventually(lambda: rig.coe.join(rig.plan()), lambda found: all(ready(found).values()), seconds=90)


async def test_one_master_of_three_may_go_and_its_disk_too(rig):
    await rig.boot(rig.nodes(3, 1))
    await all_ready(rig)
    user = User(rig)
    assert (await rig.coe.observe(rig.plan())).api_address == f"https://{rig.front_address}:6443"
    first, second, third = (member for member in rig.members if member.role == "master")

    # Killed: the API answers on, and says which one does not.
    await rig.infra.kill(rig.cluster_id, first.uuid)
    await eventually(lambda: user("create", "configmap", "while-one-is-away"), bool, seconds=30)
    seen = await eventually(lambda: rig.coe.observe(rig.plan()), lambda found: not all(ready(found).values()))
    assert [uuid for uuid, well in ready(seen).items() if not well] == [first.uuid]
    await rig.start_all()
    await all_ready(rig)

    # Made anew on its disk, as an upgrade does.
    await rebuild(rig, second)
    assert "while-one-is-away" in await eventually(lambda: user("get", "configmap", "-o", "name"), bool, seconds=30)
    await all_ready(rig)

    # Lost with its disk: it comes back as another member of etcd, and the dead one is not counted any more.
    await rig.infra.lose(rig.cluster_id, third.uuid)
    await forget_disk(third)
    await rig.start_all()
    await all_ready(rig)
    members = (await etcdctl(user, first, "member", "list")).splitlines()
    assert len(members) == 3, members
    assert all(", started, " in line for line in members)
    assert third.address in "".join(members)
    assert "while-one-is-away" in await user("get", "configmap", "-o", "name")


@pytest.mark.long
async def test_a_master_that_loses_its_programs_has_them_back_and_nothing_moves_without_a_leader(rig):
    await rig.boot(rig.nodes(3, 1))
    await all_ready(rig)
    user = User(rig)

    # All at once: the kubelet that comes back must start the etcd before anybody answers it.
    before = await on_node(rig, 1, "pidof", "etcd")
    await on_node(rig, 1, "killall", "-9", "kubelet", "containerd", "etcd")
    await eventually(lambda: on_node(rig, 1, "pidof", "etcd"), lambda now: now != before, seconds=30)
    await all_ready(rig)

    # Pods that leave must be replaced, and services must follow them: somebody has to lead. Here is one that leaves.
    await eventually(lambda: user("apply", "-f", "-", stdin=listed(ONLY)), bool, seconds=60)
    await eventually(lambda: user("wait", "--for=condition=PodScheduled", "pod/only", "--timeout=1s"), bool, seconds=60)
    leader = await leading(user)
    [lost] = (member for member in rig.members if leader.startswith(f"{member.name}_"))
    await rig.infra.kill(rig.cluster_id, lost.uuid)
    await rig.start_all()
    worker = next(member for member in rig.members if member.role == "worker")
    await eventually(lambda: rig.coe.drain(rig.plan(), [worker.uuid]), lambda done: done is None, seconds=60)
    assert await leading(user) != leader


async def leading(user) -> str:
    """Which controller manager leads: a master's name, and what tells it from the same master's next one."""
    lease = ("-n", "kube-system", "get", "lease", "kube-controller-manager")
    return await eventually(lambda: user(*lease, "-o", "jsonpath={.spec.holderIdentity}"), bool)


async def forget_disk(member) -> None:
    async with connect() as docker:
        found = await docker.volumes.list(filters={"label": [f"jeroboam.node={member.uuid}"]})
        for each in found["Volumes"]:
            await (await docker.volumes.get(each["Name"])).delete()


async def etcdctl(user, master, *words: str) -> str:
    pki = "/etc/kubernetes/pki/etcd"
    certs = (f"--cacert={pki}/ca.crt", f"--cert={pki}/server.crt", f"--key={pki}/server.key")
    pod = f"etcd-{master.name}"
    return await user("-n", "kube-system", "exec", pod, "--", "etcdctl", *certs, *words)


async def test_a_load_balancer_that_is_away_is_a_silent_api_and_comes_back(rig):
    await rig.boot(rig.nodes(1, 1))
    await all_ready(rig)
    user = User(rig)
    await rig.infra.kill(rig.cluster_id, rig.front.uuid)
    with pytest.raises(Temporary):
        await rig.coe.observe(rig.plan())
    await rig.start_all()
    await all_ready(rig)
    assert "coredns" in await user("get", "deployments", "-A", "-o", "name")
