"""Sandboxes on a Docker Engine: a container that waits, whose network and ipc namespaces others join.

The sandbox is on the network of its project. Members have its network, its host name and its /dev/shm, and processes of
their own. Folders that members share are volumes with our labels; they go before the sandbox does, so what is left of
a sandbox is always found by it. Neighbours: `runtime`, which this is a part of; `pause_image`; `spec`.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.clients.docker_containers import container_name, get_by_name, remove_container, state_of
from jeroboam.clients.docker_types import DockerContainer, DockerError
from jeroboam.domain.capsules import EMPTY_DIR, SandboxSpec
from jeroboam.domain.containers import BIND, ContainerSpec, RuntimeState
from jeroboam.domain.errors import Permanent
from jeroboam.domain.owner_labels import KIND, ObjectKind
from jeroboam.runtimes.base import ContainerGone, ContainerState, RuntimeOptions
from jeroboam.runtimes.docker import spec as spec_of
from jeroboam.runtimes.docker.networks import ProjectNetworks
from jeroboam.runtimes.docker.pause_image import NAME, import_pause_image
from jeroboam.runtimes.sandboxes import SandboxState, SupportsSandboxes

_ENDED = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT})


class EngineSandboxes(SupportsSandboxes):
    """The part of the runtime that runs sandboxes. What it needs of the rest stands here without a body."""

    installation: str
    _options: RuntimeOptions
    _networks: ProjectNetworks
    _ids: dict[str, str]

    @property
    @abstractmethod
    def _ops(self) -> DockerClient: ...

    @abstractmethod
    def _about_container(self, action: str, uuid: str) -> AbstractContextManager[None]: ...

    @abstractmethod
    async def inspect(self, uuid: str) -> ContainerState: ...

    @abstractmethod
    async def _container(self, uuid: str, *, live: bool = False) -> DockerContainer: ...

    @abstractmethod
    async def _write_files(self, container: DockerContainer, spec: ContainerSpec) -> None: ...

    async def run_sandbox(self, spec: SandboxSpec) -> SandboxState:
        with translate_errors(f"creating the sandbox of {spec.name}"):
            try:
                container = await self._create_sandbox(spec)
            except DockerError as error:
                if error.status == HTTPStatus.CONFLICT:
                    container = await get_by_name(self._ops, spec.uuid, spec.name)
                elif error.status == HTTPStatus.NOT_FOUND and "image" in error.message.lower():
                    await import_pause_image(self._ops)
                    container = await self._create_sandbox(spec)
                else:
                    raise
            details = await container.show()
            self._check_sandbox(details, spec.uuid)
            state = state_of(details["State"]["Status"])
            if state is RuntimeState.CREATED:
                await container.start()
            elif state is not RuntimeState.RUNNING:
                raise Permanent(f"the sandbox of {spec.name} has stopped")
        return await self.inspect_sandbox(spec.uuid)

    async def _create_sandbox(self, spec: SandboxSpec) -> DockerContainer:
        labels = {KIND: ObjectKind.SANDBOX.value, spec_of.OWNER: self.installation, spec_of.SANDBOX: spec.uuid}
        body: dict[str, Any] = {
            "Image": NAME,
            "Hostname": spec.hostname,
            "ExposedPorts": {port: {} for port in spec.ports},
            "Labels": {**labels, spec_of.PROJECT: spec.project_id},
            "HostConfig": {
                "IpcMode": "shareable",
                "CapDrop": ["ALL"],
                "ReadonlyRootfs": True,
                "PidsLimit": 16,
                "LogConfig": {"Type": "none"},
            },
        }
        async with self._networks.hold_network(spec.project_id) as network:
            body["HostConfig"]["NetworkMode"] = network
            return await self._ops.containers.create(body, name=container_name(spec.uuid))

    def _check_sandbox(self, details: dict[str, Any], uuid: str) -> None:
        labels = details["Config"]["Labels"] or {}
        is_own = labels.get(spec_of.OWNER) == self.installation
        if not is_own or spec_of.sandbox_uuid_of(labels, [details["Name"]]) != uuid:
            raise Permanent(f"the name of the sandbox {uuid} on the Engine is taken by another's")

    async def stop_sandbox(self, uuid: str) -> None:
        with translate_errors(f"stopping the sandbox {uuid}"):
            containers = await self._list_parts(uuid)
            await asyncio.gather(*(_kill(container) for container in containers if container["State"] == "running"))

    async def remove_sandbox(self, uuid: str) -> None:
        with translate_errors(f"removing the sandbox {uuid}"):
            parts = await self._list_parts(uuid)
            members = [part for part in parts if spec_of.member_uuid_of(part["Labels"], part["Names"])]
            await asyncio.gather(*(remove_container(member, force=True) for member in members))
            await self._remove_folders(uuid)
            for part in parts:
                if part not in members:
                    await remove_container(part, force=True)
        for member in members:
            self._ids.pop(member["Labels"][spec_of.CONTAINER], None)

    async def inspect_sandbox(self, uuid: str) -> SandboxState:
        with translate_errors(f"inspecting the sandbox {uuid}"):
            parts = await self._list_parts(uuid)
            if not parts:
                raise ContainerGone(f"the sandbox {uuid} is not on this host")
            return await self._read_sandbox(uuid, parts)

    async def list_sandboxes(self) -> Sequence[SandboxState]:
        with translate_errors("listing sandboxes"):
            by_sandbox: dict[str, list[DockerContainer]] = {}
            for part in await self._list_parts():
                by_sandbox.setdefault(part["Labels"][spec_of.SANDBOX], []).append(part)
            return [await self._read_sandbox(uuid, parts) for uuid, parts in by_sandbox.items()]

    async def create_member(self, sandbox: SandboxSpec, uuid: str, name: str, spec: ContainerSpec) -> ContainerState:
        with translate_errors(f"creating container {name}"):
            body = self._build_member_body(sandbox, uuid, spec)
            try:
                container = await self._ops.containers.create(body, name=container_name(uuid))
            except DockerError as error:
                if error.status != HTTPStatus.CONFLICT or "already in use" not in error.message:
                    raise
                container = await get_by_name(self._ops, uuid, name)
            state = await self.inspect(uuid)
            if state.started_at is None:
                await self._write_files(container, spec)
        return state

    def _build_member_body(self, sandbox: SandboxSpec, uuid: str, spec: ContainerSpec) -> dict[str, Any]:
        folders = [mount for mount in spec.mounts if mount["type"] == EMPTY_DIR]
        files = tuple(mount for mount in spec.mounts if mount["type"] == BIND)
        # Ports and the host name are the sandbox's, restarts the agent's.
        own_spec = replace(spec, hostname=None, exposed_ports={}, restart_policy=None, mounts=files)
        body = spec_of.build_creation_body(
            installation=self.installation,
            uuid=uuid,
            project=sandbox.project_id,
            spec=own_spec,
            options=self._options,
        )
        body["Labels"] |= {KIND: ObjectKind.MEMBER.value, spec_of.SANDBOX: sandbox.uuid}
        namespace = f"container:{container_name(sandbox.uuid)}"
        body["HostConfig"] |= {
            "CpusetCpus": spec_of.format_cpus((), self._options),
            "NetworkMode": namespace,
            "IpcMode": namespace,
            "Mounts": [
                {
                    "Type": "volume",
                    "Source": _folder_name(sandbox.uuid, mount["source"]),
                    "Target": mount["destination"],
                    "ReadOnly": mount.get("readonly") == "true",
                    "VolumeOptions": {"Labels": _build_folder_labels(sandbox.uuid)},
                }
                for mount in folders
            ],
        }
        return body

    async def start_member(self, uuid: str) -> ContainerState:
        with self._about_container("starting", uuid):
            await (await self._container(uuid)).start()
        return await self.inspect(uuid)

    async def _list_parts(self, uuid: str | None = None) -> list[DockerContainer]:
        """Return the containers of that sandbox, itself first, or of all."""
        marks = [f"{spec_of.OWNER}={self.installation}"]
        marks.append(spec_of.SANDBOX if uuid is None else f"{spec_of.SANDBOX}={uuid}")
        containers = await self._ops.containers.list(all=True, filters={"label": marks})
        return sorted(filter(_is_part, containers), key=lambda part: part["Labels"][KIND], reverse=True)

    async def _read_sandbox(self, uuid: str, parts: Iterable[DockerContainer]) -> SandboxState:
        sandbox = SandboxState(uuid=uuid, runtime_id="", state=RuntimeState.ABSENT)
        members = []
        for part in parts:
            member_uuid = spec_of.member_uuid_of(part["Labels"], part["Names"])
            try:
                if member_uuid is not None:
                    members.append(await self.inspect(member_uuid))
                    continue
                details = await part.show()
            except ContainerGone:
                continue
            except DockerError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
                continue
            sandbox = replace(
                sandbox,
                runtime_id=details["Id"],
                state=state_of(details["State"]["Status"]),
                addresses=spec_of.read_addresses(details.get("NetworkSettings") or {}),
            )
        return replace(sandbox, members=tuple(members))

    async def _remove_folders(self, uuid: str) -> None:
        labels = _build_folder_labels(uuid)
        filters = {"label": [f"{key}={value}" for key, value in labels.items()]}
        volumes = (await self._ops.volumes.list(filters=filters))["Volumes"] or []
        for volume in volumes:
            if volume["Name"].startswith(_folder_name(uuid, "")):
                try:
                    await (await self._ops.volumes.get(volume["Name"])).delete()
                except DockerError as error:
                    if error.status != HTTPStatus.NOT_FOUND:
                        raise


def _is_part(container: DockerContainer) -> bool:
    labels, names = container["Labels"], container["Names"]
    return bool(spec_of.sandbox_uuid_of(labels, names) or spec_of.member_uuid_of(labels, names))


def _build_folder_labels(uuid: str) -> dict[str, str]:
    """Return the labels of a folder. Inventories of nodes look at volumes with the installation's: it has none."""
    return {KIND: ObjectKind.SANDBOX_FOLDER.value, spec_of.SANDBOX: uuid}


def _folder_name(uuid: str, name: str) -> str:
    return f"{container_name(uuid)}-{name}"


async def _kill(container: DockerContainer) -> None:
    """Kill the container. One that has ended meanwhile is no error."""
    try:
        await container.kill()
    except DockerError as error:
        if error.status not in _ENDED:
            raise
