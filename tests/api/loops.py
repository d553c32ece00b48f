"""What loops and agents would write, written by hand: the API is tested without them."""

from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from jeroboam.conductor.clusters.sealed_keys import make_certificate
from jeroboam.domain.bay_containers import project_bay_container
from jeroboam.domain.capsule_states import project_capsule
from jeroboam.domain.capsules import Capsule, CapsuleObserved, CapsulePhase, MemberObserved
from jeroboam.domain.clusters import MAIN, Node, NodeObserved, NodeState
from jeroboam.domain.containers import Address, Container, ContainerObserved, RuntimeState, Status
from jeroboam.store import Store
from tests.builders import NOW, host, new_uuid
from tests.ports import PlainSealer


async def settle(store: Store, uuid: str) -> None:
    """What the cluster loop writes once a cluster is as it was asked for."""
    async with store.write() as tx:
        cluster = await tx.clusters.get(uuid)
        seen = replace(cluster.observed, generation=cluster.generation, api_address="https://10.0.0.2:2376")
        await tx.clusters.update(replace(cluster, observed=seen, status="CREATE_COMPLETE", deadline_at=None))
        for group in (await tx.nodegroups.groups_of(uuid))[uuid]:
            await tx.nodegroups.update(replace(group, status="CREATE_COMPLETE"))
        if await tx.certificates.select({"cluster_id": uuid}):
            return
        await tx.certificates.insert(
            make_certificate(PlainSealer(), cluster_id=uuid, kind=MAIN, common_name=cluster.name, now=tx.now)
        )


async def place_nodes(store: Store, uuid: str) -> list[Node]:
    """What the cluster loop writes once it has made two workers."""
    nodes = tuple(Node(uuid=new_uuid(), name=f"c-{uuid[:8]}-worker-{number}") for number in (3, 4))
    async with store.write() as tx:
        group = next(each for each in (await tx.nodegroups.groups_of(uuid))[uuid] if each.spec.role == "worker")
        observed = tuple(
            NodeObserved(
                uuid=node.uuid,
                name=node.name,
                state=NodeState.RUNNING,
                address=f"172.20.0.{number}",
                server_id=f"{number:x}" * 64,
                ready=True,
            )
            for number, node in enumerate(nodes, 10)
        )
        await tx.nodegroups.update(replace(group, desired=nodes, observed=observed))
    return list(nodes)


async def bury(store: Store, uuid: str) -> None:
    """What the cluster loop writes once nothing of a cluster is left."""
    async with store.write() as tx:
        await tx.certificates.remove({"cluster_id": uuid})
        await tx.nodegroups.remove({"cluster_id": uuid})
        await tx.bay_containers.remove({"cluster_id": uuid})
        await tx.clusters.remove({"uuid": uuid})


async def run_on_host(store: Store, uuid: str) -> Container:
    """What loop and agent write once a container runs."""
    async with store.write() as tx:
        if not await tx.hosts.select({"hostname": "h1"}):
            await tx.hosts.insert(host(last_seen=tx.now))
        [on] = await tx.hosts.select({"hostname": "h1"})
        container = await tx.containers.get(uuid)
        seen = ContainerObserved(seq=1, state=RuntimeState.RUNNING, started_at=NOW)
        running = replace(
            container,
            host_id=on.uuid,
            host=on.hostname,
            ops=(),
            observed=seen,
            status=Status.RUNNING,
            task_state=None,
            deadline_at=None,
        )
        await tx.containers.update(running)
    return running


async def run_capsule(store: Store, uuid: str, phase: CapsulePhase = CapsulePhase.RUNNING, **changes) -> Capsule:
    """What loop and agent write once the containers of a capsule run; `changes` of what each of them is."""
    async with store.write() as tx:
        if not await tx.hosts.select({"hostname": "h1"}):
            await tx.hosts.insert(host(last_seen=tx.now))
        [on] = await tx.hosts.select({"hostname": "h1"})
        capsule = await tx.capsules.get(uuid)
        runs = ContainerObserved(state=RuntimeState.RUNNING, started_at=NOW, command=("sh",))
        members = tuple(
            replace(MemberObserved(uuid=member.uuid, container=runs, is_started=True, is_ready=True), **changes)
            for member in capsule.spec.members
        )
        seen = CapsuleObserved(
            seq=capsule.ops[-1].seq if capsule.ops else capsule.observed.seq,
            state=RuntimeState.RUNNING,
            phase=phase,
            members=members,
            started_at=NOW,
            addresses=(Address(network="n1", addr="10.0.0.9", port="e1"),),
        )
        running = project_capsule(replace(capsule, host_id=on.uuid, host=on.hostname, observed=seen))
        await tx.capsules.update(running)
    return running


async def run_in_bay(store: Store, uuid: str, state: RuntimeState = RuntimeState.RUNNING) -> None:
    """What the workload loop writes once all that was asked of a container in a bay is done."""
    async with store.write() as tx:
        found = await tx.bay_containers.get(uuid)
        seq = found.ops[-1].seq if found.ops else found.observed.seq
        seen = replace(found.observed, seq=seq, state=state, touched=True)
        await tx.bay_containers.update(project_bay_container(replace(found, observed=seen)))


def csr(curve: ec.EllipticCurve | None = None) -> str:
    """A request as a user would make it."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "admin")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()
