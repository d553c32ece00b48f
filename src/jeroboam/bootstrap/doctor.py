"""Examines this machine for the service: what stops it, what will limit it, and what to do about either.

Neighbours: `machine` reads what needs no Engine; `cli`, which shows the findings; `images`; `drivers`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from jeroboam.bootstrap import drivers, images, machine
from jeroboam.bootstrap.engine import ENGINE_SECONDS
from jeroboam.bootstrap.state import StateFolder
from jeroboam.clients.docker import ask_registry, connect, translate_errors
from jeroboam.clients.docker_engine import EngineFacts, read_engine
from jeroboam.domain.errors import DriverError, Permanent
from jeroboam.kit.clock import Clock, SystemClock
from jeroboam.nodeimages import kubernetes
from jeroboam.nodeimages.engine import EngineNodeImage
from jeroboam.settings import Settings, parse_address

REGISTRY_SECONDS = 10.0
GO_SECONDS = 60.0
PROBE_IMAGE = "hello-world"
LOW_DISK_GIB = 5
LOW_MEMORY_MIB, LITTLE_MEMORY_MIB = 512, 2048
# What several Kubernetes nodes on one kernel need; Debian's own limit is 128.
INOTIFY_INSTANCES, INOTIFY_WATCHES = 512, 65536
CLOCK_SECONDS = 5.0

# The node images by name, with the COE whose clusters need each; the load balancer serves any.
_IMAGES = {"swarm": ("swarm-node", "swarm"), "kubernetes": ("kubernetes-node", "kubernetes")}
_BALANCER = "load-balancer"


class Severity(Enum):
    """How much a finding matters."""

    SOUND = "ok"
    NOTE = "note"
    """The service works with it; something of it is limited."""
    PROBLEM = "no"
    """The service does not start, or can make nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One fact about the machine, with what to do if it is not sound."""

    subject: str
    severity: Severity
    message: str = ""
    error: DriverError | None = None
    """Why the Engine cannot be reached: whoever shows the finding has the sentence for it."""


async def examine(settings: Settings, clock: Clock | None = None) -> list[Finding]:
    """Return the findings. Nothing is changed, but for one short container that tries what nodes may do."""
    clock = clock or SystemClock()
    findings: list[Finding] = []
    facts = None
    try:
        facts = await read_engine(settings.docker_url, answer_seconds=ENGINE_SECONDS)
    except DriverError as error:
        findings.append(Finding(subject="Docker Engine", severity=Severity.PROBLEM, message=error.reason, error=error))
    # Now, since what comes next may take longer than the clocks may be apart.
    clock_finding = check_clock(facts, clock, is_corrected=machine.is_clock_corrected())
    if facts is not None:
        findings += describe_engine(facts)
        findings += await _examine_images(settings)
        findings += [finding async for finding in _examine_providers(settings)]
        findings.append(await _check_registry(settings))
    findings += check_ports(settings)
    findings += check_disks(settings.state, facts)
    findings += check_memory(machine.read_free_memory())
    findings += check_inotify(
        machine.read_inotify_limit("max_user_instances"), machine.read_inotify_limit("max_user_watches")
    )
    return [*findings, clock_finding]


def describe_engine(facts: EngineFacts) -> list[Finding]:
    """Return what an Engine that answers says of itself."""
    engine = f"{facts.version} (API {facts.api_version}) at {facts.address}, {facts.storage_driver}"
    cgroups = f"version {facts.cgroup_version or 'unknown'}, driver {facts.cgroup_driver or 'unknown'}"
    has_cgroups = facts.cgroup_driver not in {"", "none"}
    remedy = "" if has_cgroups else ": limits on processors and memory have no effect; run the Engine as root"
    return [
        Finding(subject="Docker Engine", severity=Severity.SOUND, message=engine),
        Finding(
            subject="cgroups", severity=Severity.SOUND if has_cgroups else Severity.NOTE, message=f"{cgroups}{remedy}"
        ),
    ]


async def _examine_images(settings: Settings) -> list[Finding]:
    try:
        node_images = await images.list_node_images(settings)
    except DriverError as error:
        return [Finding(subject="node images", severity=Severity.PROBLEM, message=error.reason, error=error)]
    findings = check_images(node_images, settings.clusters.coes)
    lacks_kubernetes = all(image.name != _IMAGES["kubernetes"][0] for image in node_images)
    if lacks_kubernetes and "kubernetes" in settings.clusters.coes:
        findings.append(await _check_compiler())
    return findings


def check_images(node_images: Sequence[EngineNodeImage], coes: Sequence[str]) -> list[Finding]:
    """Return a finding for each node image that the COEs need. It is a problem if no cluster at all can be made."""
    names = {image.name for image in node_images}
    wanted = [_IMAGES[coe] for coe in coes if coe in _IMAGES]
    has_any = any(name in names for name, _ in wanted)
    findings = []
    for name, argument in (*wanted, (_BALANCER, _BALANCER)):
        tags = [image.names[-1] for image in node_images if image.name == name]
        if tags:
            findings.append(Finding(subject=f"image {name}", severity=Severity.SOUND, message=", ".join(tags)))
            continue
        missing_all = not has_any and name != _BALANCER
        message = f"not on the Engine: `jeroboam node-image build {argument}` makes it"
        severity = Severity.PROBLEM if missing_all else Severity.NOTE
        findings.append(Finding(subject=f"image {name}", severity=severity, message=message))
    return findings


async def _check_compiler() -> Finding:
    """Return whether programs of Kubernetes can be compiled here; only without the image does that matter."""
    try:
        async with asyncio.timeout(GO_SECONDS):
            await kubernetes.build_modules().ready()
    except Permanent as error:
        return Finding(subject="Go", severity=Severity.NOTE, message=error.reason)
    except TimeoutError:
        return Finding(subject="Go", severity=Severity.NOTE, message=f"no answer of `go env` within {GO_SECONDS:g} s")
    return Finding(subject="Go", severity=Severity.SOUND, message="programs of Kubernetes can be compiled here")


async def _examine_providers(settings: Settings) -> AsyncIterator[Finding]:
    for name, provider in drivers.make_providers(settings, "doctor", SystemClock()).items():
        try:
            for condition in await provider.limits():
                # Images are looked at by name, and the Engine's disk beside the state's.
                if condition.type in {"NodeImages", "DiskSpace"}:
                    continue
                severity = Severity.SOUND if condition.status else Severity.NOTE
                yield Finding(subject=condition.type, severity=severity, message=condition.message)
        except DriverError as error:
            yield Finding(subject=f"provider {name}", severity=Severity.PROBLEM, message=error.reason, error=error)
        finally:
            await provider.close()


async def _check_registry(settings: Settings) -> Finding:
    """Return whether the Engine can pull images from its default registry."""
    try:
        async with connect(settings.docker_url) as docker:
            with translate_errors("asking the Engine for a registry"):
                trouble = await asyncio.wait_for(ask_registry(docker, PROBE_IMAGE), REGISTRY_SECONDS)
    except DriverError as error:
        trouble = error.reason
    except TimeoutError:
        trouble = f"no answer within {REGISTRY_SECONDS:g} s"
    if trouble is None:
        return Finding(subject="registry", severity=Severity.SOUND, message="images can be pulled")
    message = f"images cannot be pulled ({trouble}): load or import them, or name a registry of your own in front"
    return Finding(subject="registry", severity=Severity.NOTE, message=message)


def check_ports(settings: Settings) -> list[Finding]:
    """Return whether the service can listen where it is to; a running one of the same state may listen there."""
    is_running = StateFolder(settings.state).find_process() is not None
    findings = []
    for option, address in (("[api] listen", settings.api.listen), ("[keystone] listen", settings.keystone.listen)):
        fault = machine.find_port_fault(*parse_address(address, option))
        if fault is None:
            findings.append(Finding(subject=f"port {address}", severity=Severity.SOUND, message="free"))
        elif is_running:
            text = "taken, by the service that runs on this state"
            findings.append(Finding(subject=f"port {address}", severity=Severity.SOUND, message=text))
        else:
            text = f"{fault}: end what has it, or set {option} to another one"
            findings.append(Finding(subject=f"port {address}", severity=Severity.PROBLEM, message=text))
    return findings


def check_disks(state: Path, facts: EngineFacts | None) -> list[Finding]:
    """Return the free space for the state, and for the Engine's data if they are on this machine."""
    places = [("disk of the state", state)]
    if facts is not None and facts.is_local:
        places.append(("disk of the Engine", Path(facts.data_root)))
    findings = []
    for subject, path in places:
        try:
            free = machine.read_free_disk(path)
        except OSError as error:
            findings.append(Finding(subject=subject, severity=Severity.NOTE, message=f"{path}: {error.strerror}"))
            continue
        remedy = "" if free >= LOW_DISK_GIB else f": make room, nodes and images need at least {LOW_DISK_GIB} GiB"
        severity = Severity.PROBLEM if remedy else Severity.SOUND
        findings.append(
            Finding(subject=subject, severity=severity, message=f"{free:.0f} GiB are free in {path}{remedy}")
        )
    return findings


def check_memory(free: int | None) -> list[Finding]:
    """Return whether there is memory for nodes; nothing if it is not known."""
    if free is None:
        return []
    severity, remedy = Severity.SOUND, ""
    if free < LITTLE_MEMORY_MIB:
        severity = Severity.PROBLEM if free < LOW_MEMORY_MIB else Severity.NOTE
        remedy = f": a Kubernetes needs {LITTLE_MEMORY_MIB} MiB, a Swarm {LOW_MEMORY_MIB} MiB"
    return [Finding(subject="memory", severity=severity, message=f"{free} MiB are free{remedy}")]


def check_inotify(instances: int | None, watches: int | None) -> list[Finding]:
    """Return whether the kernel lets several Kubernetes nodes watch their files; nothing if it is not known."""
    findings = []
    for name, value, needed in (
        ("max_user_instances", instances, INOTIFY_INSTANCES),
        ("max_user_watches", watches, INOTIFY_WATCHES),
    ):
        if value is None:
            continue
        is_enough = value >= needed
        remedy = "" if is_enough else f": too few for several Kubernetes nodes; sudo sysctl fs.inotify.{name}={needed}"
        severity = Severity.SOUND if is_enough else Severity.NOTE
        findings.append(Finding(subject="inotify", severity=severity, message=f"{name} is {value}{remedy}"))
    return findings


def check_clock(facts: EngineFacts | None, clock: Clock, *, is_corrected: bool | None) -> Finding:
    """Return whether the clock is right: certificates and tokens are refused where two clocks differ."""
    apart = None if facts is None else machine.seconds_between(clock.now(), facts.system_time)
    if apart is not None and apart > CLOCK_SECONDS:
        text = f"this machine and the Engine's are {apart:.0f} s apart: certificates will be refused; set the clocks"
        return Finding(subject="clock", severity=Severity.PROBLEM, message=text)
    if is_corrected is False:
        text = "no time source corrects it: install chrony or systemd-timesyncd, if this machine reaches one"
        return Finding(subject="clock", severity=Severity.NOTE, message=text)
    return Finding(subject="clock", severity=Severity.SOUND, message=f"{clock.now():%F %T} UTC")
