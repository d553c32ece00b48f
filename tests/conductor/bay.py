"""A conductor with the loop of one kind of objects inside bays, and clusters whose objects a test can meddle with."""

import asyncio
import datetime as dt
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar

from jeroboam.coes.base import DesiredContainer, DesiredManifest
from jeroboam.coes.fake.containers import FakeContainer
from jeroboam.coes.fake.manifests import FakeObject
from jeroboam.conductor.bays.connector import ClusterConnector
from jeroboam.conductor.bays.containers import BayContainerReconciler
from jeroboam.conductor.bays.manifests import BayManifestReconciler
from jeroboam.conductor.bays.objects import BayObjectReconciler
from jeroboam.conductor.bays.strays import StrayCollector
from jeroboam.conductor.loop import LeaseRunner, Loop
from jeroboam.domain.bay_containers import ContainerAction, ask_bay_container, ask_delete, check_act
from jeroboam.domain.bay_manifests import BayManifestKind, ask_manifest_change, ask_manifest_delete
from tests import builders
from tests.clock import until
from tests.conductor.conftest import Rig

SECONDS = 120


class BayRig(Rig, ABC):
    """Also one process's worth: `restart` kills both loops. What differs between the kinds is in the classes below."""

    reconciler: type[BayObjectReconciler]
    ready: str
    """The status of an object that was made as its user wished."""
    stages: ClassVar[dict[str, str]]
    """Where the fake COE can be held."""
    objects: Loop = None
    _beside: asyncio.Task = None

    @abstractmethod
    def table(self, tx):
        """The rows of the kind, in that transaction."""

    @abstractmethod
    def build(self, cluster, **fields):
        """An object of that bay, as the API stores it."""

    @abstractmethod
    def end(self, bay_object):
        """The object with the wish that it goes."""

    @abstractmethod
    def connect(self):
        """The connector's way to what the kind needs."""

    @abstractmethod
    def real(self, cluster) -> dict:
        """What really exists there, by uuid."""

    @abstractmethod
    def add_stray(self, cluster, uuid: str) -> None:
        """Have something with our marks exist there that nobody asked for."""

    def start(self, owner: str = "a") -> None:
        super().start(owner)
        self.connector = ClusterConnector(store=self.store, coes={"fake": self.coe}, sealer=self.sealer)
        reconciler = self.reconciler(store=self.store, connector=self.connector, clock=self.clock, check_seconds=30)
        leased = LeaseRunner(reconciler, store=self.store, clock=self.clock, owner=owner)
        self.objects = Loop(leased, bus=self.bus, clock=self.clock, parallel=8, resync_seconds=60)
        self._beside = asyncio.ensure_future(self.objects.run())
        self.strays = StrayCollector(store=self.store, way=self.connect(), clock=self.clock, every_seconds=60)

    async def stop(self) -> None:
        self._beside.cancel()
        await asyncio.gather(self._beside, return_exceptions=True)
        await super().stop()

    async def restart(self) -> None:
        await self.stop()
        async with self.store.write() as tx:
            await tx.leases("cluster").release_all()
            await tx.leases(self.reconciler.topic).release_all()
        self.start()

    def deadline(self) -> dt.datetime:
        return self.clock.now() + dt.timedelta(seconds=SECONDS)

    async def make(self, cluster, **fields) -> str:
        """Ask for an object; its uuid."""
        bay_object = self.build(cluster, deadline_at=self.deadline(), created_at=self.clock.now(), **fields)
        async with self.store.write() as tx:
            await self.table(tx).insert(bay_object)
            tx.hint(self.reconciler.topic, bay_object.uuid)
        return bay_object.uuid

    async def ask_change(self, uuid: str, change) -> None:
        """Store the object with another wish."""
        async with self.store.write() as tx:
            await self.table(tx).update(change(await self.table(tx).get(uuid)))
            tx.hint(self.reconciler.topic, uuid)

    async def drop(self, uuid: str) -> None:
        """Ask for its end."""
        await self.ask_change(uuid, self.end)

    async def read(self, uuid: str):
        async with self.store.read() as tx:
            return await self.table(tx).get(uuid)

    async def state(self, uuid: str, condition):
        """The object once the condition holds for it; virtual time passes meanwhile."""
        return await until(self.clock, lambda: self.read(uuid), condition)

    async def is_(self, uuid: str, status: str):
        """The object once nothing is under way and its status is that."""
        return await self.state(uuid, lambda bay_object: bay_object.deadline_at is None and bay_object.status == status)

    async def gone(self, uuid: str) -> None:
        assert await self.state(uuid, lambda bay_object: bay_object is None) is None

    async def event_for(self, stage: str, uuid: str | None = None) -> None:
        """Once the fake COE stands at that stage."""
        await self.state(uuid, lambda _: self.coe.faults.event_for(stage).is_set())


class ContainerRig(BayRig):
    """Containers inside bays."""

    reconciler = BayContainerReconciler
    ready = "Stopped"
    stages: ClassVar[dict[str, str]] = {
        "make": "container.make",
        "made": "container.made",
        "remove": "container.remove",
        "removed": "container.removed",
    }

    def table(self, tx):
        return tx.bay_containers

    def build(self, cluster, **fields):
        return builders.workload(cluster, **fields)

    def end(self, container):
        return ask_delete(container, now=self.clock.now(), deadline=self.deadline())

    def connect(self):
        return self.connector.connect_containers

    def real(self, cluster) -> dict[str, FakeContainer]:
        return self.members[cluster.uuid].containers if cluster.uuid in self.members else {}

    def add_stray(self, cluster, uuid: str) -> None:
        self.real(cluster)[uuid] = FakeContainer(DesiredContainer(uuid=uuid, name="s", image="busybox"))

    async def act(self, uuid: str, *acts: ContainerAction) -> None:
        """Ask for these, one after the other, as the API does."""
        for act in acts:

            def change(container, act=act):
                check_act(container, act)
                return ask_bay_container(container, act, now=self.clock.now(), deadline=self.deadline())

            await self.ask_change(uuid, change)


class ManifestRig(BayRig):
    """What manifests make inside bays."""

    reconciler = BayManifestReconciler
    ready = "Running"
    stages: ClassVar[dict[str, str]] = {
        "make": "manifest.have",
        "made": "manifest.had",
        "remove": "manifest.remove",
        "removed": "manifest.removed",
    }

    def table(self, tx):
        return tx.bay_manifests

    def build(self, cluster, **fields):
        return builders.orchestrated(cluster, **fields)

    def end(self, manifest):
        return ask_manifest_delete(manifest, now=self.clock.now(), deadline=self.deadline())

    def connect(self):
        return self.connector.connect_manifests

    def real(self, cluster) -> dict[str, FakeObject]:
        return self.members[cluster.uuid].objects if cluster.uuid in self.members else {}

    def add_stray(self, cluster, uuid: str) -> None:
        manifest = builders.manifest(name=uuid)
        self.real(cluster)[uuid] = FakeObject(
            DesiredManifest(uuid=uuid, kind=BayManifestKind.POD, name=uuid, manifest=manifest)
        )

    async def change(self, uuid: str, **fields) -> None:
        """Ask for another manifest."""

        def change(bay_manifest):
            spec = replace(
                bay_manifest.spec, manifest=builders.manifest(bay_manifest.kind, bay_manifest.name, **fields)
            )
            return ask_manifest_change(bay_manifest, spec, now=self.clock.now(), deadline=self.deadline())

        await self.ask_change(uuid, change)
