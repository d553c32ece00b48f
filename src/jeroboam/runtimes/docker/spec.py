"""The mapping between the Engine's JSON and our data classes. Pure.

The Engine's fields are those of its published API (1.41 and later). Neighbours: `runtime`, which sends the requests.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from jeroboam.clients.docker_containers import build_memory_limits, find_owned_uuid, moment, state_of
from jeroboam.clients.docker_images import check_image
from jeroboam.domain.containers import Address, ContainerSpec, HealthCheck, RuntimeState
from jeroboam.domain.hosts import HostFacts
from jeroboam.domain.owner_labels import KIND, ObjectKind, is_reserved
from jeroboam.runtimes.base import ContainerState, HostMount, RuntimeOptions

OWNER = "jeroboam.installation"
CONTAINER = "jeroboam.container"
PROJECT = "jeroboam.project"
SANDBOX = "jeroboam.sandbox"
"""The uuid of the sandbox, on itself and on its members."""

_MIB = 1024 * 1024
_GIB = 1024 * _MIB
_NANO = 1_000_000_000


def uuid_of(labels: Mapping[str, str], names: Sequence[str]) -> str | None:
    """Return the uuid of the container with these labels and names; None when we have not created it."""
    return find_owned_uuid(labels, names, label=CONTAINER, kind=ObjectKind.CONTAINER)


def member_uuid_of(labels: Mapping[str, str], names: Sequence[str]) -> str | None:
    """Return the uuid of the container of a capsule with these labels and names; None for any other."""
    is_member = labels.get(KIND) == ObjectKind.MEMBER and SANDBOX in labels
    return find_owned_uuid(labels, names, label=CONTAINER, kind=ObjectKind.MEMBER) if is_member else None


def any_uuid_of(labels: Mapping[str, str], names: Sequence[str]) -> str | None:
    """Return the uuid of a container by itself or of a capsule; None for any other."""
    return uuid_of(labels, names) or member_uuid_of(labels, names)


def sandbox_uuid_of(labels: Mapping[str, str], names: Sequence[str]) -> str | None:
    """Return the uuid of the sandbox with these labels and names; None for any other container."""
    is_sandbox = labels.get(KIND) == ObjectKind.SANDBOX
    return find_owned_uuid(labels, names, label=SANDBOX, kind=ObjectKind.SANDBOX) if is_sandbox else None


def event_uuid_of(labels: Mapping[str, str]) -> str | None:
    """Return what an event of a container with these labels is about: a container, or the sandbox it belongs to."""
    in_sandbox = labels.get(KIND) in {ObjectKind.MEMBER, ObjectKind.SANDBOX}
    return labels.get(SANDBOX if in_sandbox else CONTAINER)


def build_creation_body(
    *, installation: str, uuid: str, project: str, spec: ContainerSpec, options: RuntimeOptions
) -> dict[str, Any]:
    """Return the request body that creates the container. Raises `Permanent` for what this runtime does not support."""
    check_image(spec.full_image)
    body: dict[str, Any] = {
        "Image": spec.full_image,
        "Env": [f"{key}={value}" for key, value in spec.environment.items()],
        # Our labels override those of the image. Labels of users with our prefix are dropped.
        "Labels": {**_user_labels(spec.labels), **_owner_labels(installation, uuid, project)},
        "Tty": spec.tty,
        "OpenStdin": spec.interactive,
        "ExposedPorts": {port: {} for port in spec.exposed_ports},
        "HostConfig": _build_host_config(spec, options),
    }
    if spec.command is not None:
        body["Cmd"] = list(spec.command)
    if spec.entrypoint is not None:
        body["Entrypoint"] = list(spec.entrypoint)
    if spec.workdir:
        body["WorkingDir"] = spec.workdir
    if spec.hostname:
        body["Hostname"] = spec.hostname
    if spec.user:
        body["User"] = spec.user
    if spec.healthcheck is not None:
        body["Healthcheck"] = _build_healthcheck(spec.healthcheck)
    return body


def build_mounts(volumes: Sequence[HostMount]) -> list[dict[str, Any]]:
    """Return the mounts of these folders. Unlike `Binds`, they make no folder that is not there."""
    return [
        {
            "Type": "bind",
            "Source": str(volume.source),
            "Target": volume.destination,
            "ReadOnly": volume.is_read_only,
        }
        for volume in volumes
    ]


def build_limits(*, cpu: float, memory: int) -> dict[str, int]:
    """Return the limits of CPU time and of memory, without swap beyond it. 0 sets no limit."""
    limits_body: dict[str, int] = {}
    if cpu:
        limits_body["NanoCpus"] = round(cpu * _NANO)
    if memory:
        limits_body |= build_memory_limits(memory * _MIB)
    return limits_body


def _owner_labels(installation: str, uuid: str, project: str) -> dict[str, str]:
    return {KIND: ObjectKind.CONTAINER.value, OWNER: installation, CONTAINER: uuid, PROJECT: project}


def _user_labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if not is_reserved(name)}


def _build_host_config(spec: ContainerSpec, options: RuntimeOptions) -> dict[str, Any]:
    config: dict[str, Any] = {
        "Privileged": spec.privileged,
        **build_limits(cpu=spec.cpu, memory=spec.memory),
        # With raw sockets a container could forge packets of its neighbours.
        "CapDrop": [name for name in dict.fromkeys(("NET_RAW", *spec.cap_drop)) if name not in spec.cap_add],
        "CapAdd": list(spec.cap_add),
        "ReadonlyRootfs": spec.read_only,
        "Tmpfs": {path: f"rw,nosuid,nodev,size={size}m" for path, size in spec.tmpfs.items()},
        "Ulimits": [{"Name": name, "Soft": limit.soft, "Hard": limit.hard} for name, limit in spec.ulimits.items()],
        "Sysctls": dict(spec.sysctls),
        "PidsLimit": options.max_processes,
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": f"{options.log_mib}m", "max-file": str(options.log_files)},
        },
    }
    if spec.restart_policy is not None:
        config["RestartPolicy"] = {
            "Name": spec.restart_policy.name,
            "MaximumRetryCount": spec.restart_policy.maximum_retry_count,
        }
    if spec.init:
        config["Init"] = True
    if spec.runtime:
        config["Runtime"] = spec.runtime
    if spec.disk:
        config["StorageOpt"] = {"size": f"{spec.disk}G"}
    return config


def _build_healthcheck(check: HealthCheck) -> dict[str, Any]:
    body: dict[str, Any] = {"Test": ["CMD-SHELL", check.test]}
    if check.interval is not None:
        body["Interval"] = check.interval * _NANO
    if check.timeout is not None:
        body["Timeout"] = check.timeout * _NANO
    if check.retries is not None:
        body["Retries"] = check.retries
    return body


def build_created_state(*, uuid: str, runtime_id: str, spec: ContainerSpec) -> ContainerState:
    """Return the state that an inspection would show of a container that was just created."""
    return ContainerState(
        uuid=uuid,
        runtime_id=runtime_id,
        state=RuntimeState.CREATED,
        ports=_read_ports(spec.exposed_ports),
        hostname=spec.hostname or runtime_id[:12],
    )


def read_state(details: Mapping[str, Any]) -> ContainerState:
    """Return the state from the Engine's inspection."""
    state, config = details["State"], details["Config"]
    status = state_of(state["Status"])
    has_ended = status in {RuntimeState.EXITED, RuntimeState.DEAD}
    return ContainerState(
        uuid=config["Labels"][CONTAINER],
        runtime_id=details["Id"],
        state=status,
        exit_code=state.get("ExitCode") if has_ended else None,
        error=state.get("Error") or "",
        started_at=moment(state.get("StartedAt")),
        finished_at=moment(state.get("FinishedAt")),
        addresses=read_addresses(details.get("NetworkSettings") or {}),
        ports=_read_ports(config.get("ExposedPorts") or {}),
        hostname=config.get("Hostname") or None,
        command=tuple(config.get("Cmd") or ()),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        health=(state.get("Health") or {}).get("Status"),
    )


def _read_ports(port_specs: Mapping[str, object]) -> tuple[int, ...]:
    return tuple(sorted({int(port.partition("/")[0]) for port in port_specs}))


def read_addresses(settings: Mapping[str, Any]) -> tuple[Address, ...]:
    """Return the addresses from the part of an inspection that is about networks."""
    addresses = []
    for network in (settings.get("Networks") or {}).values():
        for key, version in (("IPAddress", 4), ("GlobalIPv6Address", 6)):
            if network.get(key):
                addresses.append(
                    Address(
                        network=network["NetworkID"],
                        addr=network[key],
                        version=version,
                        port=network.get("EndpointID", ""),
                    )
                )
    return tuple(addresses)


def format_cpus(cpuset: Sequence[int], options: RuntimeOptions) -> str:
    """Return a container's own cores, or those that all share; empty if they share all of the machine."""
    dedicated_cpus = options.dedicated_cpus
    shared_cpus = [cpu for cpu in range(os.cpu_count() or 1) if dedicated_cpus and cpu not in dedicated_cpus]
    return ",".join(map(str, cpuset or shared_cpus))


def read_facts(
    info: Mapping[str, Any],
    disk_bytes: int,
    dedicated_cpus: tuple[int, ...] = (),
    *,
    used_subnets: tuple[str, ...] = (),
) -> HostFacts:
    """Return the facts of the Engine's host."""
    return HostFacts(
        hostname=info["Name"],
        cpus=info["NCPU"],
        mem_total=info["MemTotal"] // _MIB,
        disk_total=disk_bytes // _GIB,
        disk_quota_supported=info.get("Driver") in {"btrfs", "zfs", "devicemapper", "windowsfilter"},
        architecture=info.get("Architecture", ""),
        os_type=info.get("OSType", ""),
        os=info.get("OperatingSystem", ""),
        kernel_version=info.get("KernelVersion", ""),
        labels=dict(label.partition("=")[::2] for label in info.get("Labels") or ()),
        runtimes=tuple(sorted(info.get("Runtimes") or ())),
        dedicated_cpus=dedicated_cpus,
        runtime_name="docker",
        runtime_version=info.get("ServerVersion", ""),
        used_subnets=used_subnets,
    )


def read_stats(sample: Mapping[str, Any]) -> dict[str, str | float]:
    """Return one sample with the keys of `HostGateway.stats`. CPU counts one core as 100."""
    memory = sample.get("memory_stats") or {}
    counters = memory.get("stats") or {}
    # Memory that the kernel can reclaim at once does not count as used: its names in cgroups v1 and v2.
    droppable = counters.get("total_inactive_file", counters.get("inactive_file", 0))
    networks = (sample.get("networks") or {}).values()
    block_io = (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    return {
        "cpu_percent": _compute_cpu_percent(sample),
        "memory_mib": max(memory.get("usage", 0) - droppable, 0) / _MIB,
        "memory_limit_mib": memory.get("limit", 0) / _MIB,
        "block_read": sum(entry["value"] for entry in block_io if entry["op"].lower() == "read"),
        "block_write": sum(entry["value"] for entry in block_io if entry["op"].lower() == "write"),
        "net_rx": sum(network["rx_bytes"] for network in networks),
        "net_tx": sum(network["tx_bytes"] for network in networks),
    }


def _compute_cpu_percent(sample: Mapping[str, Any]) -> float:
    now, before = sample.get("cpu_stats") or {}, sample.get("precpu_stats") or {}
    system = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    cpu_time = (now.get("cpu_usage") or {}).get("total_usage", 0) - (before.get("cpu_usage") or {}).get(
        "total_usage", 0
    )
    if system <= 0 or cpu_time <= 0:
        return 0.0
    cores = now.get("online_cpus") or len((now.get("cpu_usage") or {}).get("percpu_usage") or ()) or 1
    return float(round(cpu_time / system * cores * 100, 2))


def build_log_query(
    *, stdout: bool, stderr: bool, timestamps: bool, tail: int | None, since: float | None
) -> dict[str, str]:
    """Return the Engine's arguments for a log; `tail` counts lines, `since` is a Unix time."""
    query = {"stdout": str(int(stdout)), "stderr": str(int(stderr)), "timestamps": str(int(timestamps))}
    query["tail"] = "all" if tail is None else str(tail)
    if since is not None:
        query["since"] = f"{since:.9f}"
    return query
