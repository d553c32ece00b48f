"""The whole service in one process, for `jeroboam up`: API, conductor, dispatch and an agent.

The parts are the same objects that a larger installation runs in many processes. Here the bus, the agent's session and
the gateway to the host are the in-memory implementations of the same ports.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector

from jeroboam.agent.journal import Journal
from jeroboam.agent.session import Agent
from jeroboam.api.app import create_app
from jeroboam.api.parts import ApiParts
from jeroboam.bootstrap import drivers, seeds
from jeroboam.bootstrap.api_options import build_api_options
from jeroboam.bootstrap.audit import audit_into
from jeroboam.bootstrap.http import HttpLimits, allow_origins, serve
from jeroboam.bootstrap.limits import read_limits
from jeroboam.bootstrap.state import StateFolder
from jeroboam.clients.addresses import AddressRules
from jeroboam.clients.manifest_url import UrlManifests
from jeroboam.conductor.admission.admission import DriverAdmission
from jeroboam.conductor.bays.connector import ClusterConnector
from jeroboam.conductor.bays.containers import BayContainerReconciler
from jeroboam.conductor.bays.manifests import BayManifestReconciler
from jeroboam.conductor.bays.queries import BayQueries
from jeroboam.conductor.bays.strays import StrayCollector
from jeroboam.conductor.clusters.loop import ClusterReconciler, Drivers
from jeroboam.conductor.clusters.scaling import AutoScaler
from jeroboam.conductor.containers.loop import ContainerReconciler
from jeroboam.conductor.loop import LeaseRunner, Loop, Reconciler, report
from jeroboam.conductor.metrics import LoopMetrics
from jeroboam.conductor.periodic.ageing import ClusterAgeing
from jeroboam.conductor.periodic.heartbeat import Heartbeat
from jeroboam.conductor.periodic.outbox import OutboxRelay, log_notification
from jeroboam.conductor.periodic.reaper import Reaper
from jeroboam.dispatch.gateway import ANSWER_SECONDS, SessionGateway
from jeroboam.dispatch.records import DispatchRecords
from jeroboam.dispatch.sessions import Dispatcher
from jeroboam.domain.errors import DriverError
from jeroboam.identity.embedded import EmbeddedKeystone
from jeroboam.identity.keystone import KeystoneProjects, KeystoneTokens
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.ids import RandomIds
from jeroboam.kit.tasks import Tasks
from jeroboam.protocol import AgentConnection
from jeroboam.protocol.memory import session_pair
from jeroboam.runtimes.base import SupportsClose
from jeroboam.secrets.keyfile import KeyFileSealer
from jeroboam.settings import Settings, parse_address, parse_networks
from jeroboam.store import Store, fault_of
from jeroboam.store.migrations import upgrade

CONDUCTOR_BINARY = "jeroboam-conductor"
# Seconds for requests in progress. The whole shutdown has to fit into the promised 5 seconds.
DRAIN_SECONDS = 3
LAST_SECONDS = 4.5

log = structlog.get_logger("jeroboam")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenAddresses:
    """The addresses of a running service."""

    api: str
    keystone: str


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `ValueError` that names the address if it is not available."""
    try:
        return socket.create_server((host, port), backlog=512, reuse_port=False)
    except OSError as error:
        raise ValueError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


class SingleProcess:
    """All parts of one process. Start it with `running`."""

    def __init__(self, settings: Settings, folder: StateFolder, keystone: EmbeddedKeystone) -> None:
        """The Keystone has been started; it need not answer yet."""
        self._settings = settings
        self._folder = folder
        self._keystone = keystone
        self._installation = folder.installation()
        self._clock = SystemClock()
        self._ids = RandomIds()
        self._bus = MemoryBus()
        self._sealer = KeyFileSealer(folder.key_file)
        self._store = Store(settings.database_url, clock=self._clock, bus=self._bus, sealer=self._sealer)
        self._passwords = folder.passwords()
        self._providers = drivers.make_providers(settings, self._installation, self._clock)
        self._coes = drivers.make_coes(settings, self._clock)
        self._reach = ClusterConnector(store=self._store, coes=self._coes, sealer=self._sealer)
        self._runtime = drivers.make_runtime(settings, self._installation)
        self._limits = read_limits(settings.api.limits_file)
        self._audit = audit_into(settings.api.audit_file, self._clock)
        self._counters = CollectorRegistry()
        ProcessCollector(registry=self._counters)
        self._meter = LoopMetrics(self._counters)
        self._tasks = Tasks(report)

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[ListenAddresses]:
        """Run the service while the context lasts. Then requests are drained; clusters and containers keep running."""
        settings = self._settings
        api_socket = _listen(*parse_address(settings.api.listen, "[api] listen"))
        host, port = api_socket.getsockname()[:2]
        api_url = f"http://{host}:{port}"
        keystone = self._keystone
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(api_socket.close)
            stack.push_async_callback(self._store.close)
            stack.push_async_callback(keystone.stop)
            await asyncio.gather(keystone.ready(), self._open_store())
            await keystone.register(api_url, heat_views=settings.api.heat_views)
            addresses = ListenAddresses(api=api_url, keystone=keystone.url)
            tokens = KeystoneTokens(
                auth_url=keystone.url,
                username="jeroboam",
                password=self._passwords.service,
                project_name="service",
                clock=self._clock,
            )
            stack.push_async_callback(tokens.close)
            await self._seed(tokens)
            stack.push_async_callback(self._close_drivers)
            stack.push_async_callback(self._tasks.close)
            self._tasks.start("keystone", keystone.restart_when_ended(self._clock))
            gateway = self._start_hosts()
            self._start_conductor(tokens)
            self._start_workloads()
            app = allow_origins(create_app(self._api_parts(addresses, tokens, gateway)), settings.api.cors_origins)
            limits = HttpLimits(idle_seconds=settings.api.idle_seconds, connections=settings.api.max_connections)
            server = serve(app, api_socket, tasks=self._tasks, drain_seconds=DRAIN_SECONDS, limits=limits)
            await stack.enter_async_context(server)
            self._folder.write_addresses(api_url=api_url, auth_url=keystone.url)
            self._folder.write_clients(auth_url=keystone.url, passwords=self._passwords)
            yield addresses

    async def _open_store(self) -> None:
        try:
            await upgrade(self._store.engine)
        except Exception as error:
            reason = fault_of(error)
            if reason is None:
                raise
            url = self._settings.database_url
            name = url.partition("///")[2] if url.startswith("sqlite") else "[database] connection"
            raise ValueError(f"{name}: the database does not work: {reason}") from error
        async with self._store.write() as tx:
            # The folder is locked, so no other process holds a lease.
            for kind in ("cluster", "workload"):
                await tx.leases(kind).release_all()
            sealed_keys = [certificate.sealed_key for certificate in await tx.certificates.select()]
        lost_count = sum(not self._sealer.has_key_of(key) for key in sealed_keys)
        if lost_count:
            keys = f"{lost_count} of {len(sealed_keys)} keys"
            text = f"{keys} of clusters were sealed with a key that is not in it; put it back"
            raise ValueError(f"{self._folder.key_file}: {text}")

    async def _seed(self, tokens: KeystoneTokens) -> None:
        marker = self._folder.path / "seeded"
        if not marker.exists():
            caller = await tokens.own()
            await seeds.seed(self._store, self._ids, project_id=caller.project_id, user_id=caller.user_id)
            marker.touch()

    def _api_parts(self, addresses: ListenAddresses, tokens: KeystoneTokens, gateway: SessionGateway) -> ApiParts:
        settings = self._settings
        return ApiParts(
            store=self._store,
            tokens=tokens,
            projects=KeystoneProjects(tokens),
            admission=DriverAdmission(
                providers=self._providers, coes=self._coes, default_provider=settings.clusters.default_provider
            ),
            gateway=gateway,
            workloads=BayQueries(
                connector=self._reach, clock=self._clock, execute_seconds=settings.containers.execute_seconds
            ),
            manifests=UrlManifests(
                AddressRules(
                    allowed_networks=parse_networks(settings.clusters.manifest_networks, "[clusters] manifest_networks")
                )
            ),
            sealer=self._sealer,
            clock=self._clock,
            ids=self._ids,
            options=build_api_options(settings, auth_uri=addresses.keystone),
            limits=self._limits,
            audit=self._audit,
            counters=(self._counters,),
        )

    def _start_hosts(self) -> SessionGateway:
        """Start dispatch, and the agent of this machine with a session to it."""
        records = DispatchRecords(self._store, ids=self._ids)
        dispatcher = Dispatcher(records, bus=self._bus, clock=self._clock)
        self._tasks.start("dispatch", dispatcher.run())
        agent = Agent(
            runtime=self._runtime,
            journal=_open_journal(self._folder.path / "agent.db"),
            clock=self._clock,
            hostname=self._settings.host,
            open_session=lambda: self._open_session(dispatcher),
            execute_limit=self._settings.containers.execute_seconds,
        )
        self._tasks.start("agent", agent.run())
        self._tasks.start("limits", self._learn_limits())
        # A command may take that long; the other answers of the agent have the gateway's own limit.
        patience = ANSWER_SECONDS + self._settings.containers.execute_seconds
        return SessionGateway(dispatcher, answer_seconds=patience)

    def _start_conductor(self, tokens: KeystoneTokens) -> None:
        conductor = self._settings.conductor
        store, clock = self._store, self._clock
        clusters = ClusterReconciler(
            store=store,
            drivers=Drivers(providers=self._providers, coes=self._coes),
            sealer=self._sealer,
            clock=clock,
            ids=self._ids,
            check_seconds=conductor.check_seconds,
            overlap_seconds=self._settings.clusters.ca_overlap_seconds,
            heal_after_seconds=self._settings.clusters.heal_after_seconds,
            operation_minutes=self._settings.clusters.operation_minutes,
            scaler=self._build_scaler(tokens),
        )
        containers = ContainerReconciler(store=store, host_down_seconds=conductor.service_down_seconds)
        leased = LeaseRunner(clusters, store=store, clock=clock, owner=self._ids.uuid())
        loops = [
            self._build_loop(leased, conductor.parallel_clusters),
            self._build_loop(containers, conductor.parallel_containers),
        ]
        runners = [
            *((loop.name, loop.run()) for loop in loops),
            ("outbox", self._build_relay().run()),
            (
                "reaper",
                Reaper(
                    store=store, providers=self._providers, clock=clock, every_seconds=conductor.reaper_seconds
                ).run(),
            ),
            ("ageing", self._build_ageing(tokens).run()),
            (
                "heartbeat",
                Heartbeat(
                    store=store,
                    clock=clock,
                    host=self._settings.host,
                    binary=CONDUCTOR_BINARY,
                    every_seconds=conductor.heartbeat_seconds,
                ).run(),
            ),
        ]
        for name, work in runners:
            self._tasks.start(name, work)

    def _build_loop(self, reconciler: Reconciler, parallel: int) -> Loop:
        return Loop(
            reconciler,
            bus=self._bus,
            clock=self._clock,
            parallel=parallel,
            resync_seconds=self._settings.conductor.resync_seconds,
            meter=self._meter,
        )

    def _build_scaler(self, tokens: KeystoneTokens) -> AutoScaler:
        return AutoScaler(
            store=self._store,
            projects=KeystoneProjects(tokens),
            limits=self._limits,
            clock=self._clock,
            ids=self._ids,
            idle_seconds=self._settings.clusters.idle_seconds,
            operation_minutes=self._settings.clusters.operation_minutes,
        )

    def _build_relay(self) -> OutboxRelay:
        publisher = f"container-infra.{self._settings.host}"
        return OutboxRelay(
            store=self._store,
            bus=self._bus,
            clock=self._clock,
            publish=log_notification,
            publisher_id=publisher,
            meter=self._meter,
        )

    def _build_ageing(self, tokens: KeystoneTokens) -> ClusterAgeing:
        return ClusterAgeing(
            store=self._store,
            projects=KeystoneProjects(tokens),
            limits=self._limits,
            clock=self._clock,
            ids=self._ids,
            event_days=self._settings.clusters.event_days,
            every_seconds=self._settings.conductor.reaper_seconds,
            operation_minutes=self._settings.clusters.operation_minutes,
        )

    def _start_workloads(self) -> None:
        """Start the loops for objects inside clusters."""
        conductor, clock, store, reach = self._settings.conductor, self._clock, self._store, self._reach
        seconds = conductor.check_seconds
        for subject in (
            BayContainerReconciler(store=store, connector=reach, clock=clock, check_seconds=seconds),
            BayManifestReconciler(store=store, connector=reach, clock=clock, check_seconds=seconds),
        ):
            leased = LeaseRunner(subject, store=store, clock=clock, owner=self._ids.uuid())
            loop = self._build_loop(leased, conductor.parallel_containers)
            self._tasks.start(loop.name, loop.run())
        for kind, way in (("containers", reach.connect_containers), ("manifests", reach.connect_manifests)):
            strays = StrayCollector(store=store, way=way, clock=clock, every_seconds=conductor.reaper_seconds)
            self._tasks.start(f"strays among {kind}", strays.run())

    async def _learn_limits(self) -> None:
        """Let each provider find out what its environment supports, so that the first cluster does not wait for it."""
        for name, provider in self._providers.items():
            try:
                for condition in await provider.limits():
                    if condition.status is False:
                        log.warning("limited", provider=name, what=condition.type, message=condition.message)
            except DriverError as error:
                log.warning("limits are not known yet", provider=name, reason=error.reason)

    async def _open_session(self, dispatcher: Dispatcher) -> AgentConnection:
        agent_end, server_end = session_pair()
        self._tasks.start("session", dispatcher.serve(server_end))
        return agent_end

    async def _close_drivers(self) -> None:
        for provider in self._providers.values():
            await provider.close()
        if isinstance(self._runtime, SupportsClose):
            await self._runtime.close()


def _open_journal(path: Path) -> Journal:
    try:
        return Journal(path)
    except sqlite3.Error as error:
        raise ValueError(f"{path}: the agent's journal cannot be used: {error}") from error


async def wait_for_stop() -> None:
    """Wait until the process is asked to end (SIGTERM, Ctrl-C). From then on it has a few seconds."""
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_requested.set)
    await stop_requested.wait()
    last = threading.Timer(LAST_SECONDS, _exit_now)
    last.daemon = True
    last.start()


def _exit_now() -> None:
    """End at once: an Engine that does not answer must not block the end. The next start completes unfinished work."""
    log.warning("not everything has ended in time")
    os._exit(0)
