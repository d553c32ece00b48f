"""The capabilities of an Engine for containers that are nodes, found with a probe container.

Many machines refuse `--privileged` (nested virtual machines, hardened hosts), and many of those that accept it still
lack something. One small container, run once per process, shows which of two configurations works and what is missing.
The result becomes a part of every node's configuration, and conditions for users. Neighbours: `provider`.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jeroboam.clients.docker import CONNECTION_LOST, DockerClient, translate_errors
from jeroboam.clients.docker_types import DockerContainer, DockerError, JSONValue
from jeroboam.domain.conditions import Condition
from jeroboam.domain.errors import Permanent
from jeroboam.domain.owner_labels import KIND, ObjectKind, has_kind

PROBE = "jeroboam.probe"
# Containers of users never have a dot in their names on the Engine.
_PROBE_NAME = "jeroboam-probe."

# The numbers are the kernel's (linux/capability.h).
_SYS_RESOURCE = 24
_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
_MODULES = Path("/lib/modules")
_LOW_DISK_GIB = 5
_PROBE_SECONDS = 30
_NOT_A_REFUSAL = frozenset({HTTPStatus.NOT_FOUND, CONNECTION_LOST})

# Prints facts as `name value` lines. The data folder is the volume's, hence the Engine's own disk.
_QUESTIONS = """
grep CapEff /proc/self/status | { read _ caps; echo caps $caps; }
[ -e /proc/net/ip_vs ] || modprobe ip_vs 2>/dev/null
[ -e /proc/net/ip_vs ] && echo ipvs 1 || echo ipvs 0
df -k /probe | tail -1 | { read _ _ _ free _; echo free_kib $free; }
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineCapabilities:
    """The capabilities of the Engine and of its machine."""

    host_config: Mapping[str, Any]
    """The part of HostConfig that a container needs as a node."""
    cpus: int
    data_root: str
    """The Engine's data folder, on its machine."""
    facts: Mapping[str, str]

    def conditions(self) -> tuple[Condition, ...]:
        """Return conditions that tell users what clusters lack here."""
        caps = int(self.facts.get("caps", "0"), 16)
        free = self._free_gib()
        ipvs = self.facts.get("ipvs") == "1"
        can_raise_limits = bool(caps >> _SYS_RESOURCE & 1)
        has_space = free >= _LOW_DISK_GIB
        return (
            Condition(
                type="VirtualIPs",
                status=ipvs,
                reason="" if ipvs else "NoIPVS",
                message=""
                if ipvs
                else "This kernel has no IPVS: a service's virtual address and ingress ports do not answer. "
                "Use `--endpoint-mode dnsrr` and `--publish mode=host`.",
            ),
            Condition(
                type="ResourceLimits",
                status=can_raise_limits,
                reason="" if can_raise_limits else "NoSysResource",
                message="" if can_raise_limits else "CAP_SYS_RESOURCE is missing: nodes cannot raise process limits.",
            ),
            Condition(
                type="DiskSpace",
                status=has_space,
                reason="" if has_space else "LowDisk",
                message="" if has_space else f"The Engine's disk has {free:.1f} GiB left.",
            ),
            Condition(
                type="VolumeSizes",
                status=False,
                reason="NoQuota",
                message="Volumes of local nodes share the Engine's disk: docker_volume_size sets no limit.",
            ),
        )

    def _free_gib(self) -> float:
        """Return the free disk space: the present one if the Engine is on this machine, else that of the probe."""
        try:
            return shutil.disk_usage(self.data_root).free / (1 << 30)
        except OSError:
            return int(self.facts.get("free_kib", "0")) / (1 << 20)


class LocalEngine:
    """Probes the Engine once and caches the result."""

    def __init__(self, docker: Callable[[], DockerClient], labels: Mapping[str, str]) -> None:
        """`labels` are set on the probe container."""
        self._docker = docker
        self._labels = {**labels, PROBE: "1"}
        self._tries = 0
        self._capabilities: EngineCapabilities | None = None
        self._asking = asyncio.Lock()

    async def get_capabilities(self, image: str) -> EngineCapabilities:
        """Return the capabilities for nodes of that image. Raises `Permanent` with the Engine's errors."""
        async with self._asking:
            if self._capabilities is None:
                self._capabilities = await self._find_capabilities(image)
            return self._capabilities

    @property
    def capabilities(self) -> EngineCapabilities | None:
        """The cached capabilities; None before the first probe."""
        return self._capabilities

    async def _find_capabilities(self, image: str) -> EngineCapabilities:
        refusals = []
        with translate_errors("asking what the Docker Engine may give to a node"):
            info = await self._docker().system.info()
            for host_config in _list_host_configs_here():
                try:
                    facts = await self._probe(image, host_config)
                except DockerError as error:
                    if error.status in _NOT_A_REFUSAL:
                        raise
                    refusals.append(error.message)
                    continue
                return EngineCapabilities(
                    host_config=host_config, cpus=int(info["NCPU"]), data_root=info["DockerRootDir"], facts=facts
                )
        raise Permanent(f"the Docker Engine refuses a container that can be a node: {'; '.join(refusals)}")

    async def remove_probes(self) -> None:
        """Remove probe containers of a process that was killed."""
        async with self._asking:
            with translate_errors("clearing away an earlier try"):
                for old in await self._docker().containers.list(all=True, filters=label_filter(self._labels)):
                    if _is_probe(old):
                        await old.delete(force=True, v=True)

    async def _probe(self, image: str, host_config: Mapping[str, Any]) -> dict[str, str]:
        config: dict[str, JSONValue] = {
            "Image": image,
            "Entrypoint": ["/bin/sh", "-c", _QUESTIONS],
            "Labels": {**self._labels, KIND: ObjectKind.PROBE.value},
            "Volumes": {"/probe": {}},
            "HostConfig": {**host_config, "NetworkMode": "none", "RestartPolicy": {"Name": "no"}},
        }
        self._tries += 1
        name = f"{_PROBE_NAME}{os.getpid()}.{self._tries}"
        container = await self._docker().containers.create(config, name=name)
        try:
            await container.start()
            async with asyncio.timeout(_PROBE_SECONDS):
                await container.wait()
            lines = "".join(await container.log(stdout=True, stderr=False)).splitlines()
        finally:
            await asyncio.shield(container.delete(force=True, v=True))
        pairs = (line.split(None, 1) for line in lines)
        return {pair[0]: pair[1] for pair in pairs if len(pair) > 1}


def _is_probe(container: DockerContainer) -> bool:
    names = [name.lstrip("/") for name in container["Names"] or ()]
    return has_kind(container["Labels"], ObjectKind.PROBE) and any(name.startswith(_PROBE_NAME) for name in names)


def _own_caps() -> int | None:
    """Return the capabilities that a process here can have at all; the Engine is usually on the same machine."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapBnd")), None)


def _list_host_configs_here() -> list[dict[str, Any]]:
    return list_host_configs(_own_caps(), modules=_MODULES.is_dir())


def list_host_configs(caps: int | None, *, modules: bool) -> list[dict[str, Any]]:
    """Return parts of HostConfig to try, the best one that is likely to work first.

    `caps` are the capabilities that a process here can have at all (None: unknown). With the kernel's modules mounted a
    node can load those that its engine needs, such as IPVS.
    """
    missing = [name for number, name in enumerate(_NAMES) if caps is not None and not caps >> number & 1]
    privileged_config: dict[str, Any] = {"Privileged": True, "CgroupnsMode": "private"}
    explicit_config: dict[str, Any] = {
        "CapAdd": ["ALL"],
        "CapDrop": missing or ["SYS_RESOURCE"],
        "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "DeviceCgroupRules": ["a *:* rwm"],
        "CgroupnsMode": "private",
    }
    configs = [explicit_config, privileged_config] if missing else [privileged_config, explicit_config]
    mount = {"Type": "bind", "Source": str(_MODULES), "Target": str(_MODULES), "ReadOnly": True}
    return [{**way, "Mounts": [mount]} for way in configs if modules] + configs


def read_free_memory(info: Mapping[str, Any], table: Path = Path("/proc/meminfo")) -> int | None:
    """Return the free memory of the Engine's machine in MiB; None when the Engine is on another machine."""
    if _local_data_root(info) is None:
        return None
    try:
        lines = table.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("MemAvailable:")), None)


def read_free_disk(info: Mapping[str, Any]) -> float | None:
    """Return the free space on the Engine's disk in GiB; None when the Engine is on another machine."""
    folder = _local_data_root(info)
    return None if folder is None else shutil.disk_usage(folder).free / (1 << 30)


def _local_data_root(info: Mapping[str, Any]) -> Path | None:
    """Return the Engine's data folder if it is on this machine: a folder of that name may exist on any machine."""
    folder = Path(info["DockerRootDir"])
    return folder if info.get("Name") == os.uname().nodename and folder.is_dir() else None


def label_filter(labels: Mapping[str, str]) -> str:
    """Return the Engine's filter for resources with all these labels."""
    return json.dumps({"label": [f"{name}={value}" for name, value in labels.items()]})
