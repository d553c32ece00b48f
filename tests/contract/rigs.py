"""What the contract suites drive: one rig a driver, with the hands that reach in behind the driver's back."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiodocker

from jeroboam.clients.docker import connect
from jeroboam.clients.docker_containers import run_command
from jeroboam.coes.base import Authority, Coe, CoePlan, Member, SupportsLoadBalancer
from jeroboam.coes.fake.coe import FakeCoe
from jeroboam.coes.kubernetes.coe import KubernetesCoe
from jeroboam.coes.swarm.coe import SwarmCoe
from jeroboam.domain.clusters import LOAD_BALANCER, MASTER, WORKER, TemplateSpec
from jeroboam.domain.errors import Temporary
from jeroboam.domain.nodes import NodeFile, NodeScript
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.x509 import make_ca
from jeroboam.nodeimages import fromhost, swarm
from jeroboam.providers.base import CloudUser, DesiredInfra, DesiredNode, NodeAddress, ObservedInfra, Provider
from jeroboam.providers.fake import FakeCloud, FakeProvider
from jeroboam.providers.local.provider import LocalProvider
from jeroboam.runtimes.base import RuntimeOptions
from jeroboam.runtimes.docker.runtime import DockerRuntime

CLOCK = SystemClock()
OWNER = CloudUser(project_id="p1", user_id="u1")
IDLE = NodeScript(
    files=(NodeFile(path="/etc/idle/file", content=b"laid in", mode=0o640),),
    commands=(("echo", "it's up"), ("tail", "-f", "/dev/null")),
)


@dataclass(kw_only=True)
class ProviderRig:
    """A way to make providers on one world, and to meddle with that world."""

    make: Callable[[str], Provider]
    """A new provider for that installation, as after a restart of the process."""
    kill: Callable[[str, str], Awaitable[None]]
    """Stop a node of a cluster."""
    lose: Callable[[str, str], Awaitable[None]]
    """Remove a node of a cluster."""
    installation: str = field(default_factory=lambda: f"test-{uuid.uuid4()}")
    providers: list[Provider] = field(default_factory=list)

    def provider(self, installation: str | None = None) -> Provider:
        made = self.make(installation or self.installation)
        self.providers.append(made)
        return made

    async def close(self) -> None:
        for provider in self.providers:
            for cluster_id in await provider.list_owned():
                await provider.destroy(cluster_id)
            await provider.close()


def fake_rig() -> ProviderRig:
    cloud = FakeCloud()

    async def kill(cluster_id: str, node_uuid: str) -> None:
        cloud.kill(cluster_id, node_uuid)

    async def lose(cluster_id: str, node_uuid: str) -> None:
        cloud.lose(cluster_id, node_uuid)

    return ProviderRig(
        make=lambda installation: FakeProvider(installation=installation, clock=CLOCK, cloud=cloud),
        kill=kill,
        lose=lose,
    )


async def local_rig() -> ProviderRig:
    async with connect() as docker:
        await fromhost.build(docker, swarm.build_recipe())

    async def the(docker: aiodocker.Docker, node_uuid: str) -> aiodocker.containers.DockerContainer:
        found = await docker.containers.list(all=True, filters={"label": [f"jeroboam.node={node_uuid}"]})
        return found[0]

    async def kill(cluster_id: str, node_uuid: str) -> None:
        async with connect() as docker:
            await (await the(docker, node_uuid)).kill()

    async def lose(cluster_id: str, node_uuid: str) -> None:
        async with connect() as docker:
            await (await the(docker, node_uuid)).delete(force=True)

    return ProviderRig(
        make=lambda installation: LocalProvider(installation=installation, clock=CLOCK), kill=kill, lose=lose
    )


@asynccontextmanager
async def docker_runtime(
    *, installation: str | None = None, options: RuntimeOptions | None = None
) -> AsyncIterator[DockerRuntime]:
    """The runtime of an installation, of its own if none is named; what it owns goes with it."""
    made = DockerRuntime(installation=installation or f"test-{uuid.uuid4()}", options=options)
    try:
        yield made
    finally:
        for seen in await made.list_owned():
            await made.remove(seen.uuid, force=True)
        # Networks go once nobody is on them.
        await made.tidy()
        await made.close()


@dataclass(kw_only=True)
class CoeRig:
    """A COE with a provider that boots its nodes, and one cluster in the making."""

    coe: Coe
    infra: ProviderRig
    cluster_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    members: list[Member] = field(default_factory=list)
    wanted: list[DesiredNode] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    """Labels of the group of nodes that are booted from now on."""
    image: str = "swarm-node"
    authority: Authority = field(init=False)
    others: dict[str, Authority] = field(default_factory=dict)
    """Authorities beside the main one, for COEs that want some."""

    front: DesiredNode | None = None
    """The load balancer, once `balance` was called."""
    front_address: str | None = None

    def __post_init__(self) -> None:
        self.authority = an_authority()
        self.others = {kind: an_authority() for kind in self.coe.authorities if kind != "main"}
        self.provider = self.infra.provider()

    def nodes(self, masters: int, workers: int, *, first: int = 0) -> list[DesiredNode]:
        roles = [MASTER] * masters + [WORKER] * workers
        return [a_node(f"c-{role}-{first + number}", role=role, image=self.image) for number, role in enumerate(roles)]

    async def boot(self, nodes: list[DesiredNode]) -> None:
        """Make these nodes as well, and plan them as members."""
        known = {member.uuid for member in self.members}
        want = self.want(nodes)
        self.wanted += [node for node in nodes if node not in self.wanted]
        addresses = await self.provider.reserve(want)
        self.members += [
            Member(
                uuid=node.uuid,
                name=node.name,
                role=node.role,
                group=node.group,
                address=addresses[node.uuid].address,
                provider_id=f"openstack:///{node.uuid}",
                labels={"tier": node.role},
                options=self.options,
            )
            for node in nodes
            if node.uuid not in known
        ]
        await last(self.provider.ensure(want, self.scripts()))

    async def balance(self) -> None:
        """Have a load balancer before the masters that are booted from now on."""
        assert isinstance(self.coe, SupportsLoadBalancer)
        self.front = a_node("c-lb", role=LOAD_BALANCER, image=self.coe.balancer_image)
        self.front_address = (await self.provider.reserve(self.want([])))[self.front.uuid].address

    async def start_all(self) -> None:
        """Start what stands still and make what is gone, of the planned members."""
        planned = {member.uuid for member in self.members}
        want = self.want([node for node in self.wanted if node.uuid in planned])
        await last(self.provider.ensure(want, self.scripts()))

    def want(self, nodes: list[DesiredNode]) -> DesiredInfra:
        front = [] if self.front is None else [self.front]
        return DesiredInfra(cluster_id=self.cluster_id, cluster_name="contract", owner=OWNER, nodes=(*nodes, *front))

    def scripts(self) -> dict[str, NodeScript]:
        plan = self.plan()
        scripts = {member.uuid: self.coe.build_script(plan, member) for member in self.members}
        if self.front is not None:
            assert isinstance(self.coe, SupportsLoadBalancer)
            scripts[self.front.uuid] = self.coe.build_balancer_script(plan)
        return scripts

    def plan(self, **changes: Any) -> CoePlan:
        fields: dict[str, Any] = {
            "cluster_id": self.cluster_id,
            "cluster_name": "contract",
            "template": TemplateSpec(coe="any", image_id="swarm-node"),
            "labels": {},
            "members": tuple(self.members),
            "authorities": {"main": self.authority, **self.others},
            "balancer": self.front_address,
        }
        return CoePlan(**{**fields, **changes})


async def fake_coe_rig() -> CoeRig:
    return CoeRig(coe=FakeCoe(clock=CLOCK), infra=fake_rig())


async def swarm_rig() -> CoeRig:
    return CoeRig(coe=SwarmCoe(clock=CLOCK), infra=await local_rig())


async def kubernetes_rig() -> CoeRig:
    return CoeRig(coe=KubernetesCoe(clock=CLOCK), infra=await local_rig(), image="kubernetes-node:v1.36.3")


async def gateway(cluster_id: str) -> str:
    """This machine's address in the network of that cluster."""
    async with connect() as docker:
        [network] = await docker.networks.list(filters={"label": [f"jeroboam.cluster={cluster_id}"]})
    return network["IPAM"]["Config"][0]["Gateway"]


def an_authority() -> Authority:
    pair = make_ca(common_name="contract", now=CLOCK.now())
    return Authority(pem=pair.pem, key=pair.key)


def a_node(name: str, *, role: str = WORKER, **changes: Any) -> DesiredNode:
    fields: dict[str, Any] = {
        "uuid": str(uuid.uuid4()),
        "name": name,
        "group": f"default-{role}",
        "role": role,
        "image": "swarm-node",
        "flavor": "m1.small",
    }
    return DesiredNode(**{**fields, **changes})


def a_want(count: int, **changes: Any) -> DesiredInfra:
    fields: dict[str, Any] = {
        "cluster_id": str(uuid.uuid4()),
        "cluster_name": "contract",
        "owner": OWNER,
        "nodes": tuple(a_node(f"n-{number}") for number in range(count)),
    }
    return DesiredInfra(**{**fields, **changes})


def addresses_of(infra: ObservedInfra) -> dict[str, NodeAddress]:
    return {
        node.uuid: NodeAddress(address=node.address or "", floating_address=node.floating_address)
        for node in infra.nodes
    }


def idle(want: DesiredInfra) -> dict[str, NodeScript]:
    return {node.uuid: IDLE for node in want.nodes}


async def last(yielded) -> ObservedInfra:
    async with asyncio.timeout(60):
        seen = [infra async for infra in yielded]
    return seen[-1]


async def eventually(ask, until, *, seconds: float = 30):
    """The first answer that satisfies; not-yet is waited out."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                if until(found := await ask()):
                    return found
            except Temporary:
                pass
            await CLOCK.sleep(0.1)


def ready(observed) -> dict[str, bool]:
    return {member.uuid: member.ready for member in observed.members}


async def on_node(rig: "CoeRig", number: int, *command: str) -> str:
    """What a command on that node printed. Raises `Temporary` where it failed."""
    async with connect() as docker:
        found = await docker.containers.list(filters={"label": [f"jeroboam.node={rig.members[number].uuid}"]})
        done = await run_command(found[0], command)
    if done.exit_code != 0:
        raise Temporary(done.output)
    return done.output
