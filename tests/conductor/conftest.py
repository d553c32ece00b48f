"""A conductor on a real store, with a fake provider and COE, in virtual time."""

import asyncio
import datetime as dt
import shutil
from dataclasses import dataclass, field, replace

import pytest

from jeroboam.coes.fake.coe import FakeCoe
from jeroboam.conductor.clusters.loop import ClusterReconciler, Drivers
from jeroboam.conductor.clusters.scaling import AutoScaler
from jeroboam.conductor.loop import LeaseRunner, Loop
from jeroboam.domain import states
from jeroboam.domain.clusters import Cluster, NodeGroup, Operation
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.ids import RandomIds
from jeroboam.providers.fake import FakeCloud, FakeProvider
from jeroboam.secrets.keyfile import KeyFileSealer
from jeroboam.store import Store
from tests import builders
from tests.clock import ManualClock, until
from tests.ports import AllProjects

# While work goes on, virtual time stands still for so many looks, so that real reads and writes cost none of it.
LOOKS = 20


@dataclass
class Rig:
    """One process's worth of conductor; `restart` is a SIGKILL and a new start on the same store and cloud."""

    store: Store
    bus: MemoryBus
    clock: ManualClock
    sealer: KeyFileSealer
    limits: tuple = ()
    cloud: FakeCloud = field(default_factory=FakeCloud)
    members: dict = field(default_factory=dict)
    provider: FakeProvider = None
    coe: FakeCoe = None
    coes: type[FakeCoe] = FakeCoe
    """What kind of COE a start takes."""
    providers: type[FakeProvider] = FakeProvider
    loop: Loop = None
    conductor: ClusterReconciler = None
    _running: asyncio.Task = None

    def start(self, owner: str = "a") -> None:
        self.provider = self.providers(installation="i", clock=self.clock, cloud=self.cloud)
        self.coe = self.coes(clock=self.clock, clusters=self.members, scripts=self.scripts)
        self.conductor = ClusterReconciler(
            store=self.store,
            drivers=Drivers(providers={"fake": self.provider}, coes={"fake": self.coe}),
            sealer=self.sealer,
            clock=self.clock,
            ids=RandomIds(),
            check_seconds=30,
            overlap_seconds=5,
            heal_after_seconds=300,
            operation_minutes=60,
            scaler=AutoScaler(
                store=self.store,
                projects=AllProjects(),
                limits=self.limits,
                clock=self.clock,
                ids=RandomIds(),
                idle_seconds=600,
                operation_minutes=60,
            ),
        )
        leased = LeaseRunner(self.conductor, store=self.store, clock=self.clock, owner=owner)
        self.loop = Loop(leased, bus=self.bus, clock=self.clock, parallel=8, resync_seconds=60)
        self._running = asyncio.ensure_future(self.loop.run())

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def restart(self) -> None:
        await self.stop()
        async with self.store.write() as tx:
            await tx.leases("cluster").release_all()
        self.start()

    async def create(self, *, masters: int = 1, workers: int = 2, minutes: int = 60, **changes) -> Cluster:
        template = builders.template()
        cluster = builders.cluster(template, deadline_at=self.clock.now() + dt.timedelta(minutes=minutes), **changes)
        async with self.store.write() as tx:
            await tx.templates.insert(template)
            await tx.clusters.insert(cluster)
            for group in builders.groups(cluster, masters, workers):
                await tx.nodegroups.insert(group)
            tx.hint("cluster", cluster.uuid)
        return cluster

    async def ask(
        self, uuid: str, operation: Operation, *, workers: int | None = None, remove: tuple = (), minutes: int = 60
    ) -> None:
        async with self.store.write() as tx:
            if workers is not None:
                group = next(g for g in (await tx.nodegroups.groups_of(uuid))[uuid] if g.spec.role == "worker")
                spec = replace(group.spec, node_count=workers, nodes_to_remove=remove)
                await tx.nodegroups.update(replace(group, spec=spec))
            cluster = await tx.clusters.get(uuid)
            await tx.clusters.update(states.ask_cluster(cluster, operation, now=self.clock.now(), minutes=minutes))
            tx.hint("cluster", uuid)

    async def get(self, uuid: str) -> Cluster | None:
        async with self.store.read() as tx:
            return await tx.clusters.get(uuid)

    async def groups(self, uuid: str) -> list[NodeGroup]:
        async with self.store.read() as tx:
            return (await tx.nodegroups.groups_of(uuid))[uuid]

    async def until(self, uuid: str, condition) -> Cluster | None:
        """The cluster once the condition holds for it; virtual time passes meanwhile, as far as it has to."""

        def looks() -> int:
            return LOOKS if self.loop.queue.is_working_on(uuid) else LOOKS // 4

        return await until(self.clock, lambda: self.get(uuid), condition, looks=looks)

    async def settled(self, uuid: str) -> Cluster | None:
        return await self.until(uuid, lambda c: c is None or not states.is_in_progress(c))

    def scripts(self, uuid: str) -> dict:
        """What the nodes that exist were booted with."""
        cluster = self.cloud.clusters.get(uuid)
        return {} if cluster is None else cluster.scripts

    def names(self, uuid: str) -> list[str]:
        """What really exists."""
        cluster = self.cloud.clusters.get(uuid)
        return [] if cluster is None else sorted(node.name for node in cluster.nodes.values())


@pytest.fixture
def rig_class() -> type[Rig]:
    """The kind of rig that the tests of a module have."""
    return Rig


@pytest.fixture
async def rig(rig_class, tmp_path, empty_database):
    clock, bus = ManualClock(), MemoryBus()
    path = shutil.copy(empty_database, tmp_path / "store.db")
    store = Store(f"sqlite+aiosqlite:///{path}", clock=clock, bus=bus)
    rig = rig_class(store, bus, clock, KeyFileSealer(tmp_path / "key"))
    rig.start()
    yield rig
    await rig.stop()
    await store.close()


@pytest.fixture
async def bay(rig) -> Cluster:
    """A cluster that is up."""
    cluster = await rig.create()
    return await rig.settled(cluster.uuid)
