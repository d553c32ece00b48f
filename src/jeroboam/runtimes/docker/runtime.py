"""The `docker` runtime: containers on one Docker Engine.

Users should wait for nothing but the Engine, so nothing is asked twice. A container is inspected once to check by its
labels that it is ours; after that its Engine id is cached. Neighbours: `spec`, which maps the Engine's JSON;
`networks`, the networks of projects; `jeroboam.clients.docker`, the client.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self, final

from jeroboam.clients import docker as client
from jeroboam.clients import docker_archives, docker_streams
from jeroboam.clients.addresses import AddressRules
from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.clients.docker_containers import (
    MOST_BYTES,
    container_name,
    get_by_name,
    remove_container,
    run_command,
)
from jeroboam.clients.docker_types import DockerContainer, DockerError
from jeroboam.domain.archives import PathStat
from jeroboam.domain.containers import ContainerSpec, read_files
from jeroboam.domain.errors import Permanent, describe_bad_value
from jeroboam.domain.host_images import LocalImage
from jeroboam.domain.host_ports import HostPort
from jeroboam.domain.hosts import HostFacts
from jeroboam.domain.ports import ExecResult
from jeroboam.domain.registries import RegistryLogin
from jeroboam.domain.streams import ByteStream, TerminalSize
from jeroboam.runtimes.base import (
    CommandTimedOut,
    ContainerGone,
    ContainerState,
    HostMount,
    InvalidRequest,
    Runtime,
    RuntimeOptions,
    RuntimeSettings,
    SupportsArchives,
    SupportsAttach,
    SupportsCleanup,
    SupportsClose,
    SupportsExec,
    SupportsFollowLogs,
    SupportsImages,
    SupportsInteractiveExec,
    SupportsLogs,
    SupportsPause,
    SupportsPlug,
    SupportsResize,
    SupportsStats,
    SupportsTop,
)
from jeroboam.runtimes.docker import spec as spec_of
from jeroboam.runtimes.docker.events import watch_containers
from jeroboam.runtimes.docker.facts import ask_facts
from jeroboam.runtimes.docker.images import EngineImages
from jeroboam.runtimes.docker.networks import ProjectNetworks, is_own_machine, start_unless_detached
from jeroboam.runtimes.docker.sandboxes import EngineSandboxes

# The Engine's errors when ps does not know its options, or its output lacks the column that the Engine needs.
_PS_REFUSES = ("ps:", "Couldn't find PID field")
_NOT_FOUND = 404
_CONFLICT = 409
_PATH_REFUSED = frozenset({400, _NOT_FOUND})

_INSPECTIONS_AT_ONCE = 8


@final
class DockerRuntime(
    Runtime,
    SupportsPlug,
    SupportsPause,
    SupportsResize,
    SupportsLogs,
    SupportsFollowLogs,
    SupportsExec,
    SupportsInteractiveExec,
    SupportsAttach,
    SupportsArchives,
    SupportsImages,
    SupportsTop,
    SupportsStats,
    EngineSandboxes,
    SupportsCleanup,
    SupportsClose,
):
    """Implements `Runtime` and all the `Supports…` protocols of the contract.

    `installation` separates our containers from those of another service on the same Engine; `url` is the address of
    the Engine (None: from the environment, else the local socket).
    """

    def __init__(self, *, installation: str, url: str | None = None, options: RuntimeOptions | None = None) -> None:
        self.installation = installation
        self._options = options or RuntimeOptions()
        rules = AddressRules(allowed_networks=self._options.registry_networks, may_allow_own=True)
        self._images = EngineImages(lambda: self._ops, rules)
        self._url = url
        self._clients: dict[str, DockerClient] = {}
        self._networks = ProjectNetworks(lambda: self._ops, installation)
        self._ids: dict[str, str] = {}

    @classmethod
    def from_settings(cls, settings: RuntimeSettings) -> Self:
        return cls(installation=settings.installation, url=settings.url, options=settings.options)

    async def facts(self) -> HostFacts:
        return await ask_facts(self._live, self._options, self.installation)

    async def pull(
        self,
        image: str,
        policy: str | None,
        *,
        login: RegistryLogin | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        await self._images.pull(image, policy, login=login, report=report)

    async def find_image(self, image: str) -> LocalImage | None:
        return await self._images.find_image(image)

    async def list_images(self) -> Sequence[LocalImage]:
        return await self._images.list_images()

    async def check_image(self, image: str, login: RegistryLogin | None) -> None:
        await self._images.check_image(image, login)

    async def remove_image(self, image: str) -> None:
        await self._images.remove_image(image)

    async def create(
        self,
        uuid: str,
        name: str,
        spec: ContainerSpec,
        *,
        project: str,
        volumes: Sequence[HostMount] = (),
        cpuset: Sequence[int] = (),
        ports: Sequence[HostPort] = (),
    ) -> ContainerState:
        body = spec_of.build_creation_body(
            installation=self.installation, uuid=uuid, project=project, spec=spec, options=self._options
        )
        body["HostConfig"]["CpusetCpus"] = spec_of.format_cpus(cpuset, self._options)
        if volumes and not await is_own_machine(self._ops):
            raise Permanent("volumes lie on this machine, and its Docker Engine is on another one")
        body["HostConfig"]["Mounts"] = spec_of.build_mounts(volumes)
        try:
            with translate_errors(f"creating container {name}"):
                try:
                    async with self._networks.hold_first(body, name, project, ports):
                        container = await self._ops.containers.create(body, name=container_name(uuid))
                except DockerError as error:
                    if error.status != _CONFLICT:
                        raise
                    container = await get_by_name(self._ops, uuid, name)
                    state = await self.inspect(uuid)
                    if state.started_at is None:
                        await self._networks.plug_others(container, name, project, ports)
                        await self._write_files(container, spec)
                    return state
                await self._networks.plug_others(container, name, project, ports)
                await self._write_files(container, spec)
        except ContainerGone as error:
            raise Permanent(f"creating container {name}: its name on the Engine is taken by another's") from error
        self._ids[uuid] = container.id
        return spec_of.build_created_state(uuid=uuid, runtime_id=container.id, spec=spec)

    async def plug(self, uuid: str, name: str, *, project: str, ports: Sequence[HostPort]) -> ContainerState:
        with self._about_container("changing the networks of", uuid):
            await self._networks.plug(await self._container(uuid), name, project, ports)
        return await self.inspect(uuid)

    async def _write_files(self, container: DockerContainer, spec: ContainerSpec) -> None:
        if files := read_files(spec):
            await docker_archives.write_files(self._ops, container.id, files)

    async def start(self, uuid: str) -> ContainerState:
        with self._about_container("starting", uuid):
            container = await self._container(uuid)
            if not (await self._networks.is_shielded() and await start_unless_detached(container)):
                async with self._networks.hold_rejoined(container):
                    await container.start()
        return await self.inspect(uuid)

    async def stop(self, uuid: str, timeout: int | None) -> ContainerState:
        with self._about_container("stopping", uuid):
            await (await self._container(uuid)).stop(t=10 if timeout is None else timeout)
        return await self.inspect(uuid)

    async def kill(self, uuid: str, signal: str) -> ContainerState:
        with self._about_container("killing", uuid):
            await (await self._container(uuid)).kill(signal=signal)
        return await self.inspect(uuid)

    async def remove(self, uuid: str, *, force: bool) -> None:
        try:
            with self._about_container("removing", uuid):
                await remove_container(await self._container(uuid), force=force)
        except ContainerGone:
            pass
        self._ids.pop(uuid, None)

    async def inspect(self, uuid: str) -> ContainerState:
        with self._about_container("inspecting", uuid):
            return await self._inspect(uuid, self._ops)

    async def list_owned(self) -> Sequence[ContainerState]:
        filters = {"label": [f"{spec_of.OWNER}={self.installation}"]}
        with translate_errors("listing containers"):
            containers = await self._ops.containers.list(all=True, filters=filters)
        uuids = [uuid for container in containers if (uuid := spec_of.uuid_of(container["Labels"], container["Names"]))]
        gate = asyncio.Semaphore(_INSPECTIONS_AT_ONCE)

        async def look(uuid: str) -> ContainerState | None:
            async with gate:
                try:
                    return await self.inspect(uuid)
                except ContainerGone:
                    return None

        return [state for state in await asyncio.gather(*map(look, uuids)) if state is not None]

    async def tidy(self) -> None:
        await self._networks.tidy()

    def events(self) -> AsyncIterator[str]:
        return watch_containers(self._live, self.installation)

    async def pause(self, uuid: str) -> ContainerState:
        with self._about_container("pausing", uuid):
            await (await self._container(uuid)).pause()
        return await self.inspect(uuid)

    async def unpause(self, uuid: str) -> ContainerState:
        with self._about_container("unpausing", uuid):
            await (await self._container(uuid)).unpause()
        return await self.inspect(uuid)

    async def resize(self, uuid: str, *, cpu: float, memory: int) -> ContainerState:
        with self._about_container("resizing", uuid):
            container = await self._container(uuid)
            await client.post(
                self._ops, f"containers/{container.id}/update", spec_of.build_limits(cpu=cpu, memory=memory)
            )
        return await self.inspect(uuid)

    async def logs(
        self, uuid: str, *, stdout: bool, stderr: bool, timestamps: bool, tail: int | None, since: float | None
    ) -> str:
        if not (stdout or stderr):
            return ""
        query = spec_of.build_log_query(stdout=stdout, stderr=stderr, timestamps=timestamps, tail=tail, since=since)
        with self._about_container("reading the logs of", uuid):
            container = await self._container(uuid, live=True)
            tty = (await container.show())["Config"]["Tty"]
            text = await client.read_log(self._live, container.id, query, tty=tty, limit=MOST_BYTES)
        return text.decode(errors="replace")

    async def follow_logs(
        self, uuid: str, *, stdout: bool, stderr: bool, timestamps: bool, tail: int | None, since: float | None
    ) -> ByteStream:
        if not (stdout or stderr):
            raise InvalidRequest("stdout or stderr has to be wanted")
        query = spec_of.build_log_query(stdout=stdout, stderr=stderr, timestamps=timestamps, tail=tail, since=since)
        with self._about_container("following the logs of", uuid):
            container = await self._container(uuid, live=True)
            tty = (await container.show())["Config"]["Tty"]
            return await docker_streams.open_log(self._live, container.id, query, tty=tty)

    async def open_exec(self, uuid: str, command: Sequence[str], *, tty: bool, size: TerminalSize | None) -> ByteStream:
        with self._about_container("running a command in", uuid):
            container = await self._container(uuid, live=True)
            return await docker_streams.open_exec(container, command, tty=tty, size=size)

    async def open_attach(self, uuid: str) -> ByteStream:
        with self._about_container("attaching to", uuid):
            container = await self._container(uuid, live=True)
            # The Engine would wait for the container's next start.
            if not (await container.show())["State"]["Running"]:
                raise Permanent(f"container {uuid} is not running")
            return await docker_streams.open_attach(container)

    async def resize_terminal(self, uuid: str, size: TerminalSize) -> None:
        with self._about_container("setting the terminal size of", uuid):
            await docker_streams.resize_terminal(await self._container(uuid, live=True), size)

    async def stat_path(self, uuid: str, path: str) -> PathStat:
        with self._about_path("looking for", uuid, path):
            container = await self._container(uuid, live=True)
            return await docker_archives.stat_path(self._live, container.id, path)

    async def read_archive(self, uuid: str, path: str) -> ByteStream:
        with self._about_path("reading", uuid, path):
            container = await self._container(uuid, live=True)
            return await docker_archives.open_reader(self._live, container.id, path)

    async def write_archive(self, uuid: str, path: str) -> ByteStream:
        with self._about_path("writing to", uuid, path):
            container = await self._container(uuid, live=True)
            await docker_archives.stat_path(self._live, container.id, path)
            return docker_archives.ArchiveWriter(self._live, container.id, path)

    async def execute(self, uuid: str, command: Sequence[str], *, limit: float) -> ExecResult:
        with self._about_container("running a command in", uuid):
            container = await self._container(uuid, live=True)
            try:
                async with asyncio.timeout(limit):
                    return await run_command(container, command)
            except TimeoutError as error:
                raise CommandTimedOut(f"the command did not end within {limit:g} seconds") from error

    async def top(self, uuid: str, ps_args: str | None) -> Mapping[str, object]:
        with self._about_container("listing the processes of", uuid):
            container = await self._container(uuid, live=True)
            try:
                processes = await container.top(ps_args=ps_args)
            except DockerError as error:
                if ps_args is None or not error.message.startswith(_PS_REFUSES):
                    raise
                text = describe_bad_value("ps_args", ps_args, f"{error.message}.")
                raise InvalidRequest(text) from error
        return {"Titles": processes["Titles"], "Processes": processes["Processes"] or []}

    async def stats(self, uuid: str) -> Mapping[str, str | float]:
        with self._about_container("measuring", uuid):
            (sample,) = await (await self._container(uuid, live=True)).stats(stream=False)
        return spec_of.read_stats(sample)

    async def close(self) -> None:
        for engine in self._clients.values():
            await engine.close()
        self._clients.clear()

    @property
    def _ops(self) -> DockerClient:
        return self._client("ops")

    @property
    def _live(self) -> DockerClient:
        """A client of its own for live requests, facts and events: they never wait behind operations."""
        return self._client("live")

    def _client(self, purpose: str) -> DockerClient:
        if purpose not in self._clients:
            self._clients[purpose] = client.connect(self._url)
        return self._clients[purpose]

    @contextmanager
    def _about_container(self, action: str, uuid: str) -> Iterator[None]:
        """Run requests about one container. Raises `ContainerGone` for one that the Engine does not have."""
        with translate_errors(f"{action} container {uuid}"):
            try:
                yield
            except DockerError as error:
                if error.status != _NOT_FOUND or "no such container" not in error.message.lower():
                    raise
                self._ids.pop(uuid, None)
                raise ContainerGone(f"container {uuid} is not on this host") from error

    @contextmanager
    def _about_path(self, action: str, uuid: str, path: str) -> Iterator[None]:
        """Run requests about a path. Raises `InvalidRequest` for one that the container does not have."""
        with self._about_container(f"{action} a path in", uuid):
            try:
                yield
            except DockerError as error:
                if error.status not in _PATH_REFUSED or "no such container" in error.message.lower():
                    raise
                raise InvalidRequest(describe_bad_value("path", path, f"{error.message}.")) from error

    async def _container(self, uuid: str, *, live: bool = False) -> DockerContainer:
        """Return a handle of one of our containers. Raises `ContainerGone` for any other."""
        engine = self._live if live else self._ops
        runtime_id = self._ids.get(uuid)
        if runtime_id is None:
            runtime_id = (await self._inspect(uuid, engine)).runtime_id
        return engine.containers.container(runtime_id)

    async def _inspect(self, uuid: str, engine: DockerClient) -> ContainerState:
        details = await engine.containers.container(self._ids.get(uuid, container_name(uuid))).show()
        labels = details["Config"]["Labels"] or {}
        own_uuid = spec_of.any_uuid_of(labels, [details["Name"]])
        if labels.get(spec_of.OWNER) != self.installation or own_uuid != uuid:
            raise ContainerGone(f"container {uuid} is not on this host")
        self._ids[uuid] = details["Id"]
        return spec_of.read_state(details)
