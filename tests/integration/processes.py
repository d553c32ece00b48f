"""Several conductors and dispatchers on one database, in virtual time; each has a store of its own."""

import asyncio
import contextlib
import datetime as dt
import itertools
from collections import Counter
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from jeroboam.bootstrap.conductor import ConductorParts, start_conductor
from jeroboam.bootstrap.context import ProcessContext
from jeroboam.bootstrap.dispatch import start_dispatch
from jeroboam.coes.fake.coe import FakeCoe
from jeroboam.conductor.bays.connector import ClusterConnector
from jeroboam.conductor.loop import report
from jeroboam.conductor.membership import Membership
from jeroboam.conductor.metrics import LoopMetrics
from jeroboam.dispatch.sessions import Dispatcher
from jeroboam.domain.hosts import HostFacts
from jeroboam.domain.notifications import Message
from jeroboam.domain.states import is_in_progress
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.ids import RandomIds
from jeroboam.kit.tasks import Tasks
from jeroboam.protocol import VERSION, Assignment, Assignments, Hello
from jeroboam.protocol.memory import session_pair
from jeroboam.providers.fake import FakeCloud, FakeCluster, FakeProvider
from jeroboam.secrets.keyfile import KeyFileSealer
from jeroboam.settings import Settings
from jeroboam.store import Store, StoreUnavailable
from tests import builders
from tests.clock import ManualClock, until
from tests.ports import AllProjects

RESYNC_SECONDS = 30.0
# Real seconds for what needs no virtual time to pass.
SECONDS = 20.0
LOOKS = 5
DUTIES = 5


class CountingStore(Store):
    """Counts transactions, and those that are open."""

    transactions = 0
    open_transactions = 0

    @contextlib.contextmanager
    def _count(self):
        self.transactions += 1
        self.open_transactions += 1
        try:
            yield
        finally:
            self.open_transactions -= 1

    @contextlib.asynccontextmanager
    async def read(self, *, strict: bool = False):
        with self._count():
            async with super().read(strict=strict) as tx:
                yield tx

    @contextlib.asynccontextmanager
    async def write(self):
        with self._count():
            async with super().write() as tx:
                yield tx


class CountingProvider(FakeProvider):
    """Counts what it was asked for, by method and by cluster."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.calls: Counter[str] = Counter()
        self.clusters: Counter[str] = Counter()

    async def list_owned(self):
        self.calls["list_owned"] += 1
        return await super().list_owned()

    async def observe(self, cluster_id):
        self.clusters[cluster_id] += 1
        return await super().observe(cluster_id)

    def make_leftovers(self, uuid: str) -> None:
        """Infrastructure of a cluster that no row knows."""
        self.cloud.clusters[uuid] = FakeCluster(installation="i")


class LosingBus(MemoryBus):
    """Loses the hints of some topics."""

    def __init__(self) -> None:
        super().__init__()
        self._lost_topics: set[str] = set()

    def lose(self, topic: str) -> None:
        self._lost_topics.add(topic)

    def publish(self, topic: str, key: str) -> None:
        if topic not in self._lost_topics:
            super().publish(topic, key)


class AgentEnd:
    """The test in the place of an agent: the host is the one that said hello."""

    def __init__(self, end, installation: "Installation") -> None:
        self._end = end
        self.send = end.send
        self.close = end.close
        self._installation = installation

    async def receive_assignments(self, count: int) -> list[str]:
        """The uuids of so many containers, in order; each one comes once."""
        uuids: list[str] = []
        async with asyncio.timeout(SECONDS):
            while len(uuids) < count:
                message = await anext(self._end)
                if isinstance(message, Assignments):
                    uuids += [assignment.uuid for assignment in message.containers]
                elif isinstance(message, Assignment):
                    uuids.append(message.uuid)
        return uuids

    async def is_over(self) -> bool:
        async with asyncio.timeout(SECONDS):
            return [message async for message in self._end if isinstance(message, Assignment)] == []


def facts(hostname: str) -> HostFacts:
    return HostFacts(hostname=hostname, cpus=64, mem_total=1 << 17, disk_total=1000)


@dataclass
class Process:
    """A conductor and a dispatcher with a store of their own."""

    store: CountingStore
    provider: CountingProvider
    context: ProcessContext
    dispatcher: Dispatcher
    membership: Membership

    def count_passes(self, loop: str) -> float:
        """How many passes that loop has made."""
        samples = [sample for metric in self.context.counters.collect() for sample in metric.samples]
        return sum(
            sample.value
            for sample in samples
            if sample.name == "jeroboam_reconcile_seconds_count" and sample.labels["loop"] == loop
        )

    async def leave(self) -> None:
        await self.context.tasks.close()

    def cut_off(self) -> None:
        """The database does not answer this process any more."""

        @contextlib.asynccontextmanager
        async def refuse(**_: object):
            raise StoreUnavailable("it does not answer")
            yield

        self.store.read = self.store.write = refuse

    async def die(self) -> None:
        """As a process that is killed: its leases stay until they run out."""
        self.cut_off()
        await self.leave()


@dataclass
class Installation:
    """What the processes of an installation share."""

    url: str
    settings: Settings
    sealer: KeyFileSealer
    clock: ManualClock = field(default_factory=ManualClock)
    bus: LosingBus = field(default_factory=LosingBus)
    cloud: FakeCloud = field(default_factory=FakeCloud)
    members: dict = field(default_factory=dict)
    published: list[Message] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    store: Store = None

    def start(self, name: str) -> Process:
        store = CountingStore(self.url, clock=self.clock, bus=self.bus)
        provider = CountingProvider(installation="i", clock=self.clock, cloud=self.cloud)
        coes = {"fake": FakeCoe(clock=self.clock, clusters=self.members, scripts=self.scripts)}
        counters = CollectorRegistry()
        context = ProcessContext(
            settings=self.settings,
            store=store,
            bus=self.bus,
            clock=self.clock,
            ids=RandomIds(),
            tasks=Tasks(report),
            limits=(),
            counters=counters,
            meter=LoopMetrics(counters),
            name=name,
        )
        parts = ConductorParts(
            providers={"fake": provider},
            coes=coes,
            connector=ClusterConnector(store=store, coes=coes, sealer=self.sealer),
            projects=AllProjects(),
            publish=self.publish,
            sealer=self.sealer,
        )
        process = Process(store, provider, context, start_dispatch(context), start_conductor(context, parts))
        self.processes.append(process)
        return process

    async def publish(self, message: Message) -> None:
        self.published.append(message)

    def scripts(self, uuid: str) -> dict:
        cluster = self.cloud.clusters.get(uuid)
        return {} if cluster is None else cluster.scripts

    async def close(self) -> None:
        for process in self.processes:
            await process.context.tasks.close()
            await process.store.close()
        await self.store.close()

    async def connect(self, process: Process, hostname: str) -> AgentEnd:
        """An agent's session with that process, once it has all its assignments."""
        end, server = session_pair()
        process.context.tasks.start("session", process.dispatcher.serve(server))
        await end.send(Hello(version=VERSION, hostname=hostname, facts=facts(hostname)))
        async with asyncio.timeout(SECONDS):
            assert isinstance(await anext(end), Assignments)
        return AgentEnd(end, self)

    async def create_clusters(self, count: int, *, share: Membership | None = None) -> list[str]:
        """So many clusters, of a master and a worker each; with `share` all of them belong to it."""
        template = builders.template()
        deadline_at = self.clock.now() + dt.timedelta(minutes=60)
        uuids = (builders.new_uuid() for _ in itertools.count())
        own_uuids = itertools.islice((uuid for uuid in uuids if share is None or share.has(uuid)), count)
        clusters = [builders.cluster(template, uuid=uuid, deadline_at=deadline_at) for uuid in own_uuids]
        async with self.store.write() as tx:
            await tx.templates.insert(template)
            for cluster in clusters:
                await tx.clusters.insert(cluster)
                for group in builders.groups(cluster, 1, 1):
                    await tx.nodegroups.insert(group)
                tx.hint("cluster", cluster.uuid)
        return [cluster.uuid for cluster in clusters]

    async def create_containers(self, count: int, **changes) -> list[str]:
        deadline_at = self.clock.now() + dt.timedelta(minutes=10)
        containers = [builders.container(deadline_at=deadline_at, **changes) for _ in range(count)]
        async with self.store.write() as tx:
            for container in containers:
                await tx.containers.insert(container)
                tx.hint("container", container.uuid)
        return [container.uuid for container in containers]

    async def wait_for_clusters(self, uuids: list[str]) -> None:
        async def look():
            async with self.store.read() as tx:
                return await tx.clusters.select({"uuid": uuids})

        clusters = await until(
            self.clock, look, lambda clusters: not any(map(is_in_progress, clusters)), looks=lambda: 50
        )
        assert {cluster.status for cluster in clusters} == {"CREATE_COMPLETE"}

    async def wait_for_members(self, *processes: Process) -> None:
        """Until these conductors know each other, and no other one."""
        names = tuple(sorted(process.context.name for process in processes))

        async def look():
            return {process.membership.members for process in processes}

        await self.until(look, lambda members: members == {names})

    async def until(self, look, condition):
        """What a look shows once the condition holds; virtual time passes only while no process is at the database."""

        def looks() -> int:
            return 1000 if any(process.store.open_transactions for process in self.processes) else LOOKS

        return await until(self.clock, look, condition, looks=looks)

    async def let_pass(self, seconds: float) -> None:
        """Let that much virtual time pass, with everything that happens in it."""
        end = self.clock.monotonic() + seconds

        async def look():
            return self.clock.monotonic()

        await self.until(look, lambda now: now >= end)

    async def wait_for_duties(self, *processes: Process) -> dict[str, str]:
        """Until each duty is held by the process to whose share it belongs. Returns who holds which."""

        async def look():
            async with self.store.read() as tx:
                return await tx.named_leases.select("duty/")

        def is_settled(duties: dict[str, str]) -> bool:
            if any(len(process.membership.members) != len(processes) for process in processes):
                return False
            return len(duties) == DUTIES and all(
                process.membership.has(name) == (holder == process.context.name)
                for name, holder in duties.items()
                for process in processes
            )

        return await self.until(look, is_settled)
