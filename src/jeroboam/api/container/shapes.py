"""The published objects of this family, as types (contract: container, sections 2 and 5).

Functions in `views`, `hosts` and `quotas` fill them; the OpenAPI document shows them. A member that only some callers
see is `NotRequired`. All others are always present, null where unset. Times are `2026-11-21 21:32:11`, in UTC.
"""

from typing import NotRequired, TypedDict

from jeroboam.api.shapes import Link, NextPage, Uuid
from jeroboam.domain.host_images import ImageStatus


class RestartPolicyShape(TypedDict):
    """What the runtime does when the process ends."""

    Name: str
    MaximumRetryCount: str


class HealthCheckShape(TypedDict, total=False):
    """A command that the runtime runs in the container; empty where there is none."""

    test: str
    interval: int | None
    retries: int | None
    timeout: int | None


class AddressShape(TypedDict):
    """One address on one network."""

    addr: str
    version: int
    port: str
    subnet_id: str
    preserve_on_delete: bool


class Executed(TypedDict):
    """What a command wrote and how it ended; or, with `run=false`, its id and the URL of its WebSocket."""

    output: str | None
    exit_code: int | None
    exec_id: str | None
    proxy_url: str | None


class Processes(TypedDict):
    """The processes of a container, as the host's `ps` shows them."""

    Titles: list[str]
    Processes: list[list[str]]


class NetworkAddress(TypedDict):
    """One address on a subnet."""

    subnet_id: str
    version: int
    ip_address: str


class NetworkOfOneAddress(NetworkAddress):
    """An address with its network, as versions 1.13 to 1.17 show it."""

    net_id: str
    port_id: str


class NetworkOfPort(TypedDict):
    """A network with the addresses of the container's port, from version 1.18 on."""

    net_id: str
    port_id: str
    fixed_ips: list[NetworkAddress]


class NetworkList(TypedDict):
    """The networks of a container, from version 1.18 on."""

    networks: list[NetworkOfPort]


class NetworkAddressList(TypedDict):
    """The addresses of a container, as versions 1.13 to 1.17 show them."""

    networks: list[NetworkOfOneAddress]


class NetworkShape(TypedDict):
    """A network, as Zun shows the Engine's side of one."""

    uuid: Uuid
    name: str
    project_id: str
    user_id: str
    network_id: str
    neutron_net_id: str


class PathStatShape(TypedDict):
    """A file or folder in a container; `mode` as Docker shows it."""

    name: str
    size: int
    mode: int
    mtime: str
    linkTarget: str


class Archive(TypedDict):
    """A tar archive, in base64 from version 1.25 on, before that as text."""

    data: str
    stat: PathStatShape


class ActionShape(TypedDict):
    """What was asked of a container. `message` says why it failed. From version 1.33 on with `finish_time`."""

    action: str
    container_uuid: Uuid
    request_id: str
    user_id: str
    project_id: str
    start_time: str | None
    finish_time: NotRequired[str | None]
    message: str | None


class ActionList(TypedDict):
    """The newest first."""

    containerActions: list[ActionShape]


class ActionEvent(TypedDict):
    """The work on a host that an action caused. `result` is Success or Error, null while it goes on."""

    event: str
    start_time: str | None
    finish_time: str | None
    result: str | None
    traceback: str | None


class ActionWithEvents(ActionShape):
    """An action, with its events."""

    events: list[ActionEvent]


Sample = TypedDict(
    "Sample",
    {
        "CONTAINER": str,
        "CPU %": float,
        "MEM USAGE(MiB)": float,
        "MEM LIMIT(MiB)": float,
        "MEM %": float,
        "BLOCK I/O(B)": str,
        "NET I/O(B)": str,
    },
)


class HostShape(TypedDict):
    """A host: memory in MiB, disk in GiB."""

    uuid: Uuid
    links: list[Link]
    hostname: str
    mem_total: int
    mem_used: int
    cpus: int
    cpu_used: float
    disk_total: int
    disk_used: int
    disk_quota_supported: bool
    total_containers: int
    architecture: str
    os_type: str
    os: str
    kernel_version: str
    labels: dict[str, str]
    runtimes: tuple[str, ...]
    enable_cpu_pinning: bool


class HostList(TypedDict):
    """A page of hosts."""

    hosts: list[HostShape]
    next: NextPage | None


class RegistryShape(TypedDict):
    """A registry of a project. The password is never shown: there are stars in its place."""

    uuid: Uuid
    name: str | None
    domain: str
    username: str | None
    password: str
    project_id: str
    user_id: str
    links: list[Link]


class RegistryAnswer(TypedDict):
    """One registry."""

    registry: RegistryShape


class RegistryList(TypedDict):
    """A page of registries."""

    registries: list[RegistryShape]
    next: NextPage | None


class HostImageShape(TypedDict):
    """An image on a host; its size in bytes. `status` and `status_reason` are not Zun's."""

    uuid: Uuid
    links: list[Link]
    image_id: str | None
    repo: str
    tag: str
    size: str | None
    project_id: str
    host: str
    status: ImageStatus
    status_reason: str | None


class HostImageList(TypedDict):
    """A page of images on hosts."""

    images: list[HostImageShape]
    next: NextPage | None


class FoundImageMetadata(TypedDict):
    """What Docker's own registry says of its images. Of those on hosts nobody says it."""

    is_official: bool
    star_count: int


class FoundImage(TypedDict):
    """An image that a search has found. `tags` are not in Zun's answer, but its client shows them."""

    name: str
    description: str
    metadata: FoundImageMetadata
    tags: list[str]


class ServiceShape(TypedDict):
    """The agent of a host."""

    id: int
    host: str
    binary: str
    availability_zone: str
    disabled: bool
    disabled_reason: str | None
    forced_down: bool
    last_seen_up: str | None
    report_count: int
    state: str
    created_at: str | None
    updated_at: str | None


class ServiceList(TypedDict):
    """The agents."""

    services: list[ServiceShape]


class SwitchedService(TypedDict):
    """What was switched at an agent."""

    host: str
    binary: str
    disabled: NotRequired[bool]
    disabled_reason: NotRequired[str | None]
    forced_down: NotRequired[bool]


class ServiceAnswer(TypedDict):
    """An agent after a switch."""

    service: SwitchedService


class Zone(TypedDict):
    """An availability zone."""

    availability_zone: str


class ZoneList(TypedDict):
    """The availability zones that hosts are in."""

    availability_zones: list[Zone]
    next: None


class Limits(TypedDict):
    """What a project may have: a count, MiB, cores, GiB; -1 is no limit."""

    containers: int
    memory: int
    cpu: int
    disk: int


class LimitUse(TypedDict):
    """A limit, and what is in use."""

    limit: int
    in_use: float


class Usages(TypedDict):
    """Each limit with what is in use of it."""

    containers: LimitUse
    memory: LimitUse
    cpu: LimitUse
    disk: LimitUse


class Error(TypedDict):
    """What went wrong; the code begins with `container.`."""

    request_id: str
    code: str
    status: int
    title: str
    detail: str
    links: list[Link]


class Errors(TypedDict):
    """An error body."""

    errors: list[Error]


class VersionError(Error):
    """A version that is not there, and those that are."""

    max_version: str
    min_version: str


class Unsupported(TypedDict):
    """The error body for such a version."""

    errors: list[VersionError]
