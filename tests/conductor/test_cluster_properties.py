"""Whatever is wished of a cluster, in any order, with hints that are lost or come twice and a conductor that is killed
anywhere: in the end there is what was wished last.

Examples are the same in each run. For others, and more of them:
`JEROBOAM_EXAMPLES=2000 python -m pytest tests/conductor/test_cluster_properties.py`.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from jeroboam.domain import states
from jeroboam.domain.clusters import Cluster, NodeGroup, NodeState, Operation
from jeroboam.domain.errors import Conflict
from jeroboam.domain.upgrades import set_group_spec
from jeroboam.kit.bus import MemoryBus
from jeroboam.secrets.keyfile import KeyFileSealer
from tests.clock import ManualClock, settle, until
from tests.conductor.conftest import Rig
from tests.conductor.kills import KillableFaults, KillableStore, KillSwitch

EXAMPLES = int(os.environ.get("JEROBOAM_EXAMPLES", "0"))
SETTINGS = settings(max_examples=EXAMPLES or 10, deadline=None, derandomize=not EXAMPLES)


@dataclass(frozen=True)
class Resize:
    """The user wishes for that many workers."""

    workers: int
    hints: int


@dataclass(frozen=True)
class Rebuild:
    """The user wishes for another registry in every node, which makes the nodes anew."""

    registry: str
    hints: int


@dataclass(frozen=True)
class Delete:
    hints: int


@dataclass(frozen=True)
class Hint:
    """Somebody sends a hint for no reason."""


@dataclass(frozen=True)
class Work:
    """The conductor gets so far."""

    places: int


@dataclass(frozen=True)
class Kill:
    """The conductor is killed there. The same one starts again, or another one that has to wait for the lease."""

    places: int
    same: bool


Step = Resize | Rebuild | Delete | Hint | Work | Kill

hints, places = st.sampled_from([1, 0, 2]), st.integers(0, 40)
kills = st.builds(Kill, places, st.booleans())
wishes = st.one_of(
    st.builds(Resize, st.integers(0, 3), hints), st.builds(Rebuild, st.sampled_from(["r1:5000", "r2:5000"]), hints)
)
steps = st.lists(st.one_of(wishes, wishes, st.builds(Work, places), kills, st.builds(Hint)), min_size=4, max_size=10)
ends = st.lists(st.one_of(kills, st.builds(Hint)), max_size=2)


@dataclass
class KillableRig(Rig):
    """A conductor that can be killed, one cluster, and what was wished of it last."""

    switch: KillSwitch = field(default_factory=KillSwitch)
    uuid: str = ""
    workers: int = 0
    registry: str | None = None
    deleted: bool = False
    owners: int = 0

    def start(self, owner: str = "a") -> None:
        super().start(owner)
        for fake in (self.provider, self.coe):
            fake.faults = KillableFaults(self.clock, self.switch)

    async def take(self, step: Step) -> None:
        match step:
            case Resize(workers, hints):
                if await self._wish(Operation.UPDATE, hints, lambda group: resize(group, workers)):
                    self.workers = workers
            case Rebuild(registry, hints):
                if await self._wish(Operation.UPDATE, hints, rebuild, insecure_registry=registry):
                    self.registry = registry
            case Delete(hints):
                self.deleted = await self._wish(Operation.DELETE, hints, lambda group: group) or self.deleted
            case Hint():
                self.bus.publish("cluster", self.uuid)
            case Work(places):
                self.switch.set(places, kills=False)
                await self._idle_or_reached()
            case Kill(places, same):
                self.switch.set(places, kills=True)
                await self._idle_or_reached()
                self.switch.kill()
                await self.stop()
                self.switch.revive()
                self.owners += not same
                self.start(f"owner-{self.owners}")

    async def _wish(
        self, operation: Operation, hints: int, change: Callable[[NodeGroup], NodeGroup], **template: object
    ) -> bool:
        """One transaction, as the API writes it, and its hints; False if the state forbids the wish."""
        async with self.store.write() as tx:
            cluster = await tx.clusters.get(self.uuid)
            if cluster is None:
                return False
            try:
                wished = states.ask_cluster(cluster, operation, now=tx.now, minutes=60)
            except Conflict:
                return False
            spec = replace(wished.spec, template=replace(wished.spec.template, **template))
            await tx.clusters.update(replace(wished, spec=spec))
            for group in (await tx.nodegroups.groups_of(self.uuid))[self.uuid]:
                await tx.nodegroups.update(change(group))
        for _ in range(hints):
            self.bus.publish("cluster", self.uuid)
            await settle()
        return True

    async def _idle_or_reached(self) -> Cluster | None:
        """Wait until the place is reached, or until there is nothing more to do."""

        def is_over(cluster: Cluster | None) -> bool:
            is_settled = cluster is None or not states.is_in_progress(cluster)
            return self.switch.reached.is_set() or (is_settled and not self.loop.queue.is_working_on(self.uuid))

        return await until(self.clock, lambda: self.get(self.uuid), is_over)

    async def check_end(self) -> None:
        """What there is in the end is what was wished last."""
        self.switch.revive()
        self.switch.reached.clear()
        cluster = await self._idle_or_reached()
        if self.deleted:
            assert cluster is None
            assert self.cloud.clusters == {}
            async with self.store.read() as tx:
                assert await tx.certificates.select() == []
            return
        assert (cluster.status.partition("_")[2], cluster.status_reason) == ("COMPLETE", None)
        groups = await self.groups(self.uuid)
        counts = {group.spec.role: len(group.desired) for group in groups}
        assert counts == {"master": 1, "worker": self.workers}
        names = sorted(node.name for group in groups for node in group.desired)
        nodes = list(self.cloud.clusters[self.uuid].nodes.values())
        assert names == sorted(node.name for node in nodes) == sorted(self.members[self.uuid].names.values())
        assert {node.state for node in nodes} == {NodeState.RUNNING}
        if self.registry is None:
            assert len(self.cloud.boots) == len(set(self.cloud.boots)), "a node that nobody rebuilt is booted once"
        assert not set(names) & set(self.members[self.uuid].removed_names), "a name comes once"
        assert cluster.spec.template.insecure_registry == self.registry
        builds = {node.uuid: node.build for node in nodes}
        for group in groups:
            assert {builds[node.uuid] for node in group.desired} <= {group.spec.build}
            assert all(node.ready for node in group.observed)
            assert len(group.observed) == len(group.desired)


def resize(group: NodeGroup, workers: int) -> NodeGroup:
    return replace(group, spec=replace(group.spec, node_count=workers)) if group.spec.role == "worker" else group


def rebuild(group: NodeGroup) -> NodeGroup:
    return set_group_spec(group, group.spec, force_rebuild=True)


async def live(steps: list[Step], workers: int, database: Path, *, settled: bool) -> None:
    """One life of a cluster; with `settled` it is made before the first step."""
    with tempfile.TemporaryDirectory() as folder:
        clock, bus, switch = ManualClock(), MemoryBus(), KillSwitch()
        path = shutil.copy(database, Path(folder) / "store.db")
        store = KillableStore(f"sqlite+aiosqlite:///{path}", clock=clock, bus=bus)
        store.switch = switch
        rig = KillableRig(store, bus, clock, KeyFileSealer(Path(folder) / "key"), switch=switch, workers=workers)
        rig.start("owner-0")
        try:
            rig.uuid = (await rig.create(workers=workers)).uuid
            if settled:
                await rig.settled(rig.uuid)
            for step in steps:
                await rig.take(step)
            await rig.check_end()
        finally:
            await rig.stop()
            await store.close()


@SETTINGS
@given(steps=steps, workers=st.integers(0, 2))
def test_a_cluster_ends_as_last_wished(steps, workers, empty_database):
    asyncio.run(live(steps, workers, empty_database, settled=True))


@SETTINGS
@given(before=steps, hints=hints, after=ends)
def test_a_delete_always_ends(before, hints, after, empty_database):
    asyncio.run(live([*before, Delete(hints), *after], 1, empty_database, settled=False))
