"""Starts a conductor: its loops, and its membership among the conductors of the store.

Any number of conductors may run on one store. Each works on its own share of the objects, and each duty (the outbox,
the reaper, ageing, strays) runs in one of them at a time. Neighbours: `service`; `jeroboam.conductor`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from jeroboam.bootstrap.context import ProcessContext
from jeroboam.clients.addresses import AddressRules
from jeroboam.clients.manifest_url import UrlManifests
from jeroboam.coes.base import Coe
from jeroboam.conductor.admission.admission import DriverAdmission
from jeroboam.conductor.bays.connector import ClusterConnector
from jeroboam.conductor.bays.containers import BayContainerReconciler
from jeroboam.conductor.bays.manifests import BayManifestReconciler
from jeroboam.conductor.bays.queries import BayQueries
from jeroboam.conductor.bays.strays import StrayCollector
from jeroboam.conductor.clusters.certificates import CertificateSigner
from jeroboam.conductor.clusters.loop import ClusterReconciler, Drivers
from jeroboam.conductor.clusters.scaling import AutoScaler
from jeroboam.conductor.containers.loop import CapsuleReconciler, ContainerReconciler
from jeroboam.conductor.gateway import ConductorGateway
from jeroboam.conductor.loop import LeasedReconciler, LeaseRunner, Loop, Reconciler
from jeroboam.conductor.membership import Membership
from jeroboam.conductor.periodic.ageing import ClusterAgeing
from jeroboam.conductor.periodic.heartbeat import Heartbeat
from jeroboam.conductor.periodic.outbox import OutboxRelay, Publish
from jeroboam.conductor.periodic.reaper import Reaper
from jeroboam.domain.ports import Projects, Sealer
from jeroboam.providers.base import Provider
from jeroboam.settings import parse_networks

CONDUCTOR_BINARY = "jeroboam-conductor"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConductorParts:
    """The objects that a conductor works with, besides the context of its process."""

    providers: Mapping[str, Provider]
    coes: Mapping[str, Coe]
    connector: ClusterConnector
    projects: Projects
    publish: Publish
    sealer: Sealer
    """Opens the keys of clusters' authorities."""


def start_conductor(context: ProcessContext, parts: ConductorParts) -> Membership:
    """Start everything that a conductor runs. Return its membership among the conductors of the store."""
    settings = context.settings.conductor
    membership = Membership(
        store=context.store,
        bus=context.bus,
        clock=context.clock,
        member=context.name,
        duties=_build_duties(context, parts),
    )
    reconcilers: list[tuple[Reconciler, int]] = [
        (_lease(context, _build_clusters(context, parts)), settings.parallel_clusters),
        *((reconciler, settings.parallel_containers) for reconciler in _build_containers(context)),
        *((_lease(context, subject), settings.parallel_containers) for subject in _build_bays(context, parts)),
    ]
    loops = [_build_loop(context, membership, reconciler, parallel) for reconciler, parallel in reconcilers]
    heartbeat = Heartbeat(
        store=context.store,
        clock=context.clock,
        host=context.settings.host,
        binary=CONDUCTOR_BINARY,
        every_seconds=settings.heartbeat_seconds,
    )
    for loop in loops:
        context.tasks.start(loop.name, loop.run())
    context.tasks.start("heartbeat", heartbeat.run())
    context.tasks.start("membership", membership.run())
    return membership


def build_conductor_gateway(context: ProcessContext, parts: ConductorParts) -> ConductorGateway:
    """Return the gateway that answers the API's questions. Raises `ValueError` for settings that cannot be used."""
    settings, clock = context.settings, context.clock
    networks = parse_networks(settings.clusters.manifest_networks, "[clusters] manifest_networks")
    execute_seconds = settings.containers.execute_seconds
    return ConductorGateway(
        admission=DriverAdmission(
            providers=parts.providers, coes=parts.coes, default_provider=settings.clusters.default_provider
        ),
        bays=BayQueries(connector=parts.connector, clock=clock, execute_seconds=execute_seconds),
        manifests=UrlManifests(AddressRules(allowed_networks=networks)),
        signer=CertificateSigner(
            store=context.store, sealer=parts.sealer, clock=clock, days=settings.x509.term_of_validity
        ),
        clock=clock,
        answer_seconds=settings.conductor.answer_seconds,
        execute_seconds=execute_seconds,
    )


def _build_duties(context: ProcessContext, parts: ConductorParts) -> dict[str, Callable[[], Awaitable[None]]]:
    """Return the duties by name: the work that runs in one process at a time."""
    store, clock, settings = context.store, context.clock, context.settings
    every_seconds = settings.conductor.reaper_seconds
    relay = OutboxRelay(
        store=store,
        bus=context.bus,
        clock=clock,
        publish=parts.publish,
        publisher_id=f"container-infra.{settings.host}",
        meter=context.meter,
    )
    ageing = ClusterAgeing(
        store=store,
        projects=parts.projects,
        limits=context.limits,
        clock=clock,
        ids=context.ids,
        event_days=settings.clusters.event_days,
        every_seconds=every_seconds,
        operation_minutes=settings.clusters.operation_minutes,
    )
    reaper = Reaper(store=store, providers=parts.providers, clock=clock, every_seconds=every_seconds)
    duties: dict[str, Callable[[], Awaitable[None]]] = {"outbox": relay.run, "ageing": ageing.run, "reaper": reaper.run}
    connector = parts.connector
    for kind, way in (("containers", connector.connect_containers), ("manifests", connector.connect_manifests)):
        strays = StrayCollector(store=store, way=way, clock=clock, every_seconds=every_seconds)
        duties[f"strays among {kind}"] = strays.run
    return duties


def _build_clusters(context: ProcessContext, parts: ConductorParts) -> ClusterReconciler:
    settings = context.settings
    scaler = AutoScaler(
        store=context.store,
        projects=parts.projects,
        limits=context.limits,
        clock=context.clock,
        ids=context.ids,
        idle_seconds=settings.clusters.idle_seconds,
        operation_minutes=settings.clusters.operation_minutes,
    )
    return ClusterReconciler(
        store=context.store,
        drivers=Drivers(providers=parts.providers, coes=parts.coes),
        sealer=parts.sealer,
        clock=context.clock,
        ids=context.ids,
        check_seconds=settings.conductor.check_seconds,
        overlap_seconds=settings.clusters.ca_overlap_seconds,
        heal_after_seconds=settings.clusters.heal_after_seconds,
        operation_minutes=settings.clusters.operation_minutes,
        scaler=scaler,
    )


def _build_containers(context: ProcessContext) -> tuple[Reconciler, ...]:
    """Return the reconcilers of what is on hosts."""
    seconds = context.settings.conductor.service_down_seconds
    return (
        ContainerReconciler(store=context.store, host_down_seconds=seconds),
        CapsuleReconciler(store=context.store, host_down_seconds=seconds),
    )


def _build_bays(context: ProcessContext, parts: ConductorParts) -> tuple[LeasedReconciler, ...]:
    """Return the reconcilers of what is inside bays."""
    store, connector, clock = context.store, parts.connector, context.clock
    seconds = context.settings.conductor.check_seconds
    return (
        BayContainerReconciler(store=store, connector=connector, clock=clock, check_seconds=seconds),
        BayManifestReconciler(store=store, connector=connector, clock=clock, check_seconds=seconds),
    )


def _lease(context: ProcessContext, subject: LeasedReconciler) -> LeaseRunner:
    return LeaseRunner(subject, store=context.store, clock=context.clock, owner=context.name)


def _build_loop(context: ProcessContext, membership: Membership, reconciler: Reconciler, parallel: int) -> Loop:
    return Loop(
        reconciler,
        bus=context.bus,
        clock=context.clock,
        parallel=parallel,
        resync_seconds=context.settings.conductor.resync_seconds,
        share=membership,
        meter=context.meter,
    )
