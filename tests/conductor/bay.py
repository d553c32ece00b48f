"""A conductor with the workload loop beside the cluster loop, and a cluster whose containers a test can meddle with."""

import asyncio
import datetime as dt

from jeroboam.conductor.bays.connector import ClusterConnector
from jeroboam.conductor.bays.containers import BayContainerReconciler
from jeroboam.conductor.bays.strays import StrayCollector
from jeroboam.conductor.loop import LeaseRunner, Loop
from jeroboam.domain.bay_containers import BayContainer, ContainerAction, ask_bay_container, ask_delete, check_act
from tests import builders
from tests.clock import until
from tests.conductor.conftest import Rig

SECONDS = 120


class BayRig(Rig):
    """Also one process's worth: `restart` kills both loops."""

    subject = BayContainerReconciler
    workloads: Loop = None
    _beside: asyncio.Task = None

    def start(self, owner: str = "a") -> None:
        super().start(owner)
        self.connector = ClusterConnector(store=self.store, coes={"fake": self.coe}, sealer=self.sealer)
        subject = self.subject(store=self.store, connector=self.connector, clock=self.clock, check_seconds=30)
        leased = LeaseRunner(subject, store=self.store, clock=self.clock, owner=owner)
        self.workloads = Loop(leased, bus=self.bus, clock=self.clock, parallel=8, resync_seconds=60)
        self._beside = asyncio.ensure_future(self.workloads.run())
        self.strays = StrayCollector(store=self.store, way=self.way(), clock=self.clock, every_seconds=60)

    def way(self):
        return self.connector.connect_containers

    async def stop(self) -> None:
        self._beside.cancel()
        await asyncio.gather(self._beside, return_exceptions=True)
        await super().stop()

    async def restart(self) -> None:
        await self.stop()
        async with self.store.write() as tx:
            await tx.leases("cluster").release_all()
            await tx.leases("workload").release_all()
        self.start()

    async def make(self, cluster, **changes) -> str:
        """Ask for a container; its uuid."""
        deadline = self.clock.now() + dt.timedelta(seconds=SECONDS)
        made = builders.workload(cluster, deadline_at=deadline, created_at=self.clock.now(), **changes)
        async with self.store.write() as tx:
            await tx.bay_containers.insert(made)
            tx.hint("workload", made.uuid)
        return made.uuid

    async def act(self, uuid: str, *acts: ContainerAction) -> None:
        """Ask for these, one after the other, as the API does."""
        for act in acts:
            async with self.store.write() as tx:
                workload = await tx.bay_containers.get(uuid)
                check_act(workload, act)
                deadline = self.clock.now() + dt.timedelta(seconds=SECONDS)
                await tx.bay_containers.update(
                    ask_bay_container(workload, act, now=self.clock.now(), deadline=deadline)
                )
                tx.hint("workload", uuid)

    async def drop(self, uuid: str) -> None:
        """Ask for its end."""
        async with self.store.write() as tx:
            workload = await tx.bay_containers.get(uuid)
            deadline = self.clock.now() + dt.timedelta(seconds=SECONDS)
            await tx.bay_containers.update(ask_delete(workload, now=self.clock.now(), deadline=deadline))
            tx.hint("workload", uuid)

    async def workload(self, uuid: str) -> BayContainer | None:
        async with self.store.read() as tx:
            return await tx.bay_containers.get(uuid)

    async def state(self, uuid: str, condition) -> BayContainer | None:
        """The workload once the condition holds for it; virtual time passes meanwhile."""
        return await until(self.clock, lambda: self.workload(uuid), condition)

    async def is_(self, uuid: str, status: str) -> BayContainer:
        """The workload once nothing is under way and its status is that."""
        return await self.state(uuid, lambda w: w.deadline_at is None and w.status == status)

    async def event_for(self, stage: str, uuid: str | None = None) -> None:
        """Once the fake COE stands at that stage."""
        await self.state(uuid, lambda _: self.coe.faults.event_for(stage).is_set())

    def containers(self, cluster) -> dict:
        """What really exists there."""
        return self.members[cluster.uuid].containers if cluster.uuid in self.members else {}
