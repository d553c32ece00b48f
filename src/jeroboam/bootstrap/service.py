"""The whole service in one process, for `jeroboam up`: API, conductor, dispatch and an agent.

The parts are the same objects that a larger installation runs in many processes. Here the bus, the agent's session and
the gateway to the host are the in-memory implementations of the same ports.
"""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector

from jeroboam.api.app import create_app
from jeroboam.bootstrap import drivers, seeds
from jeroboam.bootstrap.agent import start_agent
from jeroboam.bootstrap.api import build_api_parts
from jeroboam.bootstrap.conductor import ConductorParts, build_conductor_gateway, start_conductor
from jeroboam.bootstrap.context import ProcessContext, name_process
from jeroboam.bootstrap.database import translate_faults
from jeroboam.bootstrap.dispatch import start_dispatch
from jeroboam.bootstrap.health import build_health_details
from jeroboam.bootstrap.http import HttpLimits, allow_origins, serve
from jeroboam.bootstrap.limits import read_limits
from jeroboam.bootstrap.policy import check_policy
from jeroboam.bootstrap.state import StateFolder
from jeroboam.conductor.bays.connector import ClusterConnector
from jeroboam.conductor.gateway import ConductorGateway
from jeroboam.conductor.loop import report
from jeroboam.conductor.metrics import LoopMetrics
from jeroboam.conductor.periodic.outbox import log_notification
from jeroboam.dispatch.gateway import ANSWER_SECONDS, SessionGateway
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
from jeroboam.settings import Settings, name_database, parse_address
from jeroboam.store import Store
from jeroboam.store.migrations import UnknownVersion, upgrade

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
    """Return a listening socket. Raises `ValueError` that names the address if it is not available."""
    try:
        return socket.create_server((host, port), backlog=512, reuse_port=False)
    except OSError as error:
        raise ValueError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


class SingleProcess:
    """All parts of one process. Start it with `run`."""

    def __init__(self, settings: Settings, folder: StateFolder, keystone: EmbeddedKeystone) -> None:
        """The Keystone must have been started, but may not answer yet.

        Raises `ValueError` for settings, policy rules and limits that cannot be used.
        """
        check_policy(settings.api.policy_file)
        self._settings = settings
        self._folder = folder
        self._keystone = keystone
        installation = folder.installation()
        clock, ids, bus, sealer = SystemClock(), RandomIds(), MemoryBus(), KeyFileSealer(folder.key_file)
        self._sealer = sealer
        self._store = Store(settings.database_url, clock=clock, bus=bus, sealer=sealer)
        self._passwords = folder.passwords()
        self._providers = drivers.make_providers(settings, installation, clock)
        self._coes = drivers.make_coes(settings, clock)
        self._connector = ClusterConnector(store=self._store, coes=self._coes, sealer=sealer)
        self._runtime = drivers.make_runtime(settings, installation)
        self._tasks = Tasks(report)
        counters = CollectorRegistry()
        ProcessCollector(registry=counters)
        self._context = ProcessContext(
            settings=settings,
            store=self._store,
            bus=bus,
            clock=clock,
            ids=ids,
            tasks=self._tasks,
            limits=tuple(read_limits(settings.api.limits_file)),
            counters=counters,
            meter=LoopMetrics(counters),
            name=name_process(settings.host, ids),
        )

    @contextlib.asynccontextmanager
    async def run(self, show_step: Callable[[str], None]) -> AsyncIterator[ListenAddresses]:
        """Run the service while the context lasts. Then requests are drained; clusters and containers keep running.

        `show_step` receives what the start does, in words.
        """
        settings = self._settings
        api_socket = _listen(*parse_address(settings.api.listen, "[api] listen"))
        host, port = api_socket.getsockname()[:2]
        api_url = f"http://{host}:{port}"
        keystone = self._keystone
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(api_socket.close)
            stack.push_async_callback(self._store.close)
            stack.push_async_callback(keystone.stop)
            await asyncio.gather(self._wait_for_keystone(show_step), self._open_store(show_step))
            has_volumes = settings.volumes.driver != "none"
            await keystone.register(api_url, heat_views=settings.api.heat_views, has_volumes=has_volumes)
            addresses = ListenAddresses(api=api_url, keystone=keystone.url)
            tokens = KeystoneTokens(
                auth_url=keystone.url,
                username="jeroboam",
                password=self._passwords.service,
                project_name="service",
                clock=self._context.clock,
            )
            stack.push_async_callback(tokens.close)
            await self._seed(tokens)
            stack.push_async_callback(self._close_drivers)
            stack.push_async_callback(self._tasks.close)
            self._tasks.start("keystone", keystone.restart_when_ended(self._context.clock))
            gateway, conductor = self._start_hosts(), self._start_conductor(tokens)
            # Nothing else was started yet, so these are the tasks that have to run as long as the process.
            loops = self._tasks.names
            self._tasks.start("limits", self._learn_limits())
            parts = build_api_parts(
                self._context,
                tokens=tokens,
                auth_uri=addresses.keystone,
                gateway=gateway,
                conductor=conductor,
                details=build_health_details(self._context, tokens=tokens, loops=loops),
            )
            app = allow_origins(create_app(parts), settings.api.cors_origins)
            limits = HttpLimits(idle_seconds=settings.api.idle_seconds, connections=settings.api.max_connections)
            server = serve(app, api_socket, tasks=self._tasks, drain_seconds=DRAIN_SECONDS, limits=limits)
            await stack.enter_async_context(server)
            self._folder.write_addresses(api_url=api_url, auth_url=keystone.url)
            self._folder.write_clients(auth_url=keystone.url, passwords=self._passwords)
            show_step(f"API: listens on {api_url}")
            yield addresses

    async def _wait_for_keystone(self, show_step: Callable[[str], None]) -> None:
        await self._keystone.ready()
        show_step(f"Keystone: answers on {self._keystone.url}")

    async def _open_store(self, show_step: Callable[[str], None]) -> None:
        name = name_database(self._settings.database_url)
        try:
            with translate_faults(name):
                await upgrade(self._store.engine)
        except UnknownVersion as error:
            raise ValueError(f"{name}: {error}: start the later program") from error
        async with self._store.write() as tx:
            # The folder is locked and everything runs in this process, so no other process holds a lease.
            for kind in ("cluster", "workload"):
                await tx.leases(kind).release_all()
            await tx.named_leases.release_all()
            sealed_keys = [certificate.sealed_key for certificate in await tx.certificates.select()]
        lost_count = sum(not self._sealer.has_key_of(key) for key in sealed_keys)
        if lost_count:
            keys = f"{lost_count} of {len(sealed_keys)} keys"
            text = f"{keys} of clusters were sealed with a key that is not in it; put it back"
            raise ValueError(f"{self._folder.key_file}: {text}")
        show_step(f"database: ready, {name}")

    async def _seed(self, tokens: KeystoneTokens) -> None:
        marker = self._folder.path / "seeded"
        if not marker.exists():
            caller = await tokens.own()
            await seeds.seed(self._store, self._context.ids, project_id=caller.project_id, user_id=caller.user_id)
            marker.touch()

    def _start_hosts(self) -> SessionGateway:
        """Start dispatch, and the agent of this machine with a session to it."""
        dispatcher = start_dispatch(self._context)
        start_agent(
            self._context,
            runtime=self._runtime,
            storage=drivers.make_storage(self._settings),
            journal_file=self._folder.path / "agent.db",
            open_session=lambda: self._open_session(dispatcher),
        )
        # A command may take that long; the other answers of the agent have the gateway's own limit.
        patience = ANSWER_SECONDS + self._settings.containers.execute_seconds
        return SessionGateway(dispatcher, answer_seconds=patience)

    def _start_conductor(self, tokens: KeystoneTokens) -> ConductorGateway:
        parts = ConductorParts(
            providers=self._providers,
            coes=self._coes,
            connector=self._connector,
            projects=KeystoneProjects(tokens),
            publish=log_notification,
            sealer=self._sealer,
        )
        gateway = build_conductor_gateway(self._context, parts)
        start_conductor(self._context, parts)
        return gateway

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


def catch_stop_signals() -> asyncio.Event:
    """Return an event that is set when the process is asked to end (SIGTERM, Ctrl-C)."""
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_requested.set)
    return stop_requested


async def wait_for_stop(stop_requested: asyncio.Event) -> None:
    """Wait until the event is set. Then the process has a few seconds to end."""
    await stop_requested.wait()
    last = threading.Timer(LAST_SECONDS, _exit_now)
    last.daemon = True
    last.start()


def _exit_now() -> None:
    """End at once: an Engine that does not answer must not block the end. The next start completes unfinished work."""
    log.warning("not everything has ended in time")
    os._exit(0)
