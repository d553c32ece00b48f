"""All options, with their defaults and help texts, and the frozen values that they become.

Neighbour: `load`, which reads them.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_config import cfg, types


def default_state() -> Path:
    """Return `$XDG_STATE_HOME/jeroboam`, usually `~/.local/state/jeroboam`."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "jeroboam"


def default_cache() -> Path:
    """Return `$XDG_CACHE_HOME/jeroboam`, usually `~/.cache/jeroboam`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "jeroboam"


DEFAULT = [
    cfg.StrOpt("state", default="", help="Folder of everything that lasts; empty is a folder of the user."),
    cfg.StrOpt("host", default="", help="This machine's name; empty is its host name."),
    cfg.StrOpt("log_level", default="info", choices=["debug", "info", "warning", "error"], help="Least level logged."),
    cfg.StrOpt(
        "log_file",
        default="",
        help=(
            "Where the log goes: a file, of which 10 MiB and as many former ones are kept, or - for standard error. "
            "Empty is standard error; on a terminal and with --detach it is jeroboam.log in the state folder."
        ),
    ),
]
API = [
    cfg.StrOpt("listen", default="127.0.0.1:9511", help="ADDRESS:PORT of the one HTTP port; port 0 takes a free one."),
    cfg.IntOpt("max_limit", default=1000, min=1, help="Most objects on a page, and how many without a limit."),
    cfg.IntOpt("max_body", default=1 << 20, min=4096, help="Largest body of a request, in octets."),
    cfg.IntOpt(
        "max_upload",
        default=10 << 30,
        min=4096,
        help="Largest archive that a client may send, in octets. It is passed on in pieces and never held in memory.",
    ),
    cfg.IntOpt("parallel_requests", default=64, min=1, help="Requests of a project that are answered at once."),
    cfg.IntOpt("max_connections", default=1000, min=16, help="Connections that are open at once."),
    cfg.IntOpt("idle_seconds", default=75, min=1, help="How long a connection stays open between two requests."),
    cfg.ListOpt("cors_origins", default=[], help="Origins whose pages may use the API from a browser; * is any."),
    cfg.StrOpt("policy_file", default="", help="The operator's policy.yaml, over the built-in defaults."),
    cfg.StrOpt("limits_file", default="", help="A file of limits for projects; empty is none."),
    cfg.BoolOpt(
        "heat_views", default=False, help="Show clusters as stacks of Heat too, for autoscaler and auto-healer."
    ),
    cfg.StrOpt("audit_file", default="", help="Where each write leaves a line of JSON, beside the log."),
]
KEYSTONE = [
    cfg.StrOpt("listen", default="127.0.0.1:5000", help="ADDRESS:PORT of the embedded Keystone; port 0: a free one."),
]
DATABASE = [
    cfg.StrOpt("connection", default="", help="SQLAlchemy URL; empty is SQLite in the state folder.", secret=True),
]
DOCKER = [
    cfg.StrOpt("url", default="", help="The Docker Engine; empty is DOCKER_HOST, else the local socket."),
]
CONDUCTOR = [
    cfg.IntOpt("parallel_clusters", default=16, min=1, help="Clusters that are worked on at once."),
    cfg.IntOpt(
        "parallel_containers", default=64, min=1, help="Containers that are placed, or seen to in bays, at once."
    ),
    cfg.FloatOpt("resync_seconds", default=30.0, min=1, help="How often every loop reads everything again."),
    cfg.FloatOpt("check_seconds", default=30.0, min=1, help="How often a cluster that is well is looked at."),
    cfg.FloatOpt("reaper_seconds", default=60.0, min=1, help="How often leftovers are looked for."),
    cfg.FloatOpt("heartbeat_seconds", default=10.0, min=1, help="How often a process says that it is alive."),
    cfg.FloatOpt("answer_seconds", default=30.0, min=1, help="How long a request waits for drivers and clusters."),
    cfg.FloatOpt("service_down_seconds", default=180.0, min=1, help="After which silence a service counts as down."),
]
CLUSTERS = [
    cfg.ListOpt("providers", default=["local"], help="Where nodes may come from."),
    cfg.ListOpt("coes", default=["swarm", "kubernetes"], help="What clusters may run."),
    cfg.StrOpt("default_provider", default="local", help="The provider of templates that name none."),
    cfg.IntOpt("operation_minutes", default=60, min=1, help="When an update or delete of a cluster is given up."),
    cfg.FloatOpt("ca_overlap_seconds", default=60.0, min=0, help="How long a CA that is replaced still counts."),
    cfg.FloatOpt(
        "heal_after_seconds", default=300.0, min=1, help="When a node that does not work is replaced, where asked for."
    ),
    cfg.FloatOpt(
        "idle_seconds", default=600.0, min=1, help="When a node without work goes, where clusters scale themselves."
    ),
    cfg.IntOpt("max_per_project", default=20, min=0, help="Clusters a project may have."),
    cfg.ListOpt(
        "manifest_networks", default=[], help="Networks, none of the Internet's, that a manifest_url may lead into."
    ),
    cfg.IntOpt("event_days", default=30, min=1, help="How long events of clusters are kept."),
]
X509 = [
    cfg.IntOpt(
        "term_of_validity",
        default=365,
        min=1,
        max=3650,
        help="Days that a certificate lasts which a user asks for; none outlives its cluster's authority.",
    ),
]
CONTAINERS = [
    cfg.StrOpt("runtime", default="docker", help="What starts containers on this host."),
    cfg.FloatOpt("default_cpu", default=1.0, min=0, help="Cores of a container that names none."),
    cfg.IntOpt("default_memory", default=512, min=4, help="MiB of memory of a container that names none."),
    cfg.FloatOpt("minimum_cpu", default=0.1, min=0, help="Least cores that a container may ask for."),
    cfg.FloatOpt("maximum_cpu", default=16.0, min=0, help="Most cores that a container may ask for."),
    cfg.IntOpt("minimum_memory", default=4, min=4, help="Least MiB of memory that a container may ask for."),
    cfg.IntOpt("maximum_memory", default=8192, min=4, help="Most MiB of memory that a container may ask for."),
    cfg.IntOpt("maximum_disk", default=160, min=1, help="Most GiB of disk that a container may ask for."),
    cfg.IntOpt("max_containers", default=40, min=-1, help="Containers a project may have; -1 is no limit."),
    cfg.IntOpt("max_memory", default=51200, min=-1, help="MiB that a project's containers may have together."),
    cfg.IntOpt("max_cpu", default=20, min=-1, help="Cores that a project's containers may have together."),
    cfg.IntOpt("max_disk", default=100, min=-1, help="GiB that a project's containers may have together."),
    cfg.FloatOpt("execute_seconds", default=5.0, min=0.1, help="How long a command run in a container may take."),
    cfg.IntOpt("create_seconds", default=600, min=1, help="When the creation of a container is given up."),
    cfg.ListOpt(
        "dedicated_cpus",
        default=[],
        item_type=types.Integer(min=0),
        help="Numbers of cores of this host for containers with cpu_policy dedicated; no other container uses them.",
    ),
    cfg.IntOpt("max_processes", default=2048, min=16, help="Processes and threads that a container may have at once."),
    cfg.IntOpt("log_mib", default=10, min=1, help="MiB of a container's output that are kept in one file."),
    cfg.IntOpt("log_files", default=2, min=1, help="Files of a container's output that are kept."),
    cfg.ListOpt(
        "registry_networks", default=[], help="Networks, none of the Internet's, that images may be pulled from."
    ),
    cfg.IntOpt(
        "image_days",
        default=0,
        min=0,
        help="Days without use until an image that a container has brought is removed; 0 is never.",
    ),
    cfg.IntOpt("action_seconds", default=120, min=1, help="When any other action on a container is given up."),
]
VOLUMES = [
    cfg.StrOpt("driver", default="local", help="Where volumes of containers come from; none is nowhere."),
    cfg.IntOpt("maximum_size", default=100, min=1, help="Most GiB of one volume."),
    cfg.IntOpt("max_volumes", default=40, min=-1, help="Volumes a project may have; -1 is no limit."),
    cfg.IntOpt("max_gigabytes", default=200, min=-1, help="GiB that a project's volumes may have together."),
]
NODE_IMAGES = [
    cfg.StrOpt("cache", default="", help="Folder of programs that were made; empty is a folder of the user."),
    cfg.StrOpt("mirror", default="", help="URL of a mirror of published programs; empty is their own homes."),
]
GROUPS: dict[str, list[Any]] = {
    "DEFAULT": DEFAULT,
    "api": API,
    "keystone": KEYSTONE,
    "database": DATABASE,
    "docker": DOCKER,
    "conductor": CONDUCTOR,
    "clusters": CLUSTERS,
    "x509": X509,
    "containers": CONTAINERS,
    "volumes": VOLUMES,
    "node_images": NODE_IMAGES,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiSettings:
    """`[api]`."""

    listen: str
    max_limit: int
    max_body: int
    max_upload: int
    parallel_requests: int
    max_connections: int
    idle_seconds: int
    cors_origins: list[str]
    policy_file: str
    limits_file: str
    heat_views: bool
    audit_file: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KeystoneSettings:
    """`[keystone]`."""

    listen: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ConductorSettings:
    """`[conductor]`."""

    parallel_clusters: int
    parallel_containers: int
    resync_seconds: float
    check_seconds: float
    reaper_seconds: float
    heartbeat_seconds: float
    answer_seconds: float
    service_down_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterSettings:
    """`[clusters]`."""

    providers: list[str]
    coes: list[str]
    default_provider: str
    operation_minutes: int
    ca_overlap_seconds: float
    heal_after_seconds: float
    idle_seconds: float
    max_per_project: int
    manifest_networks: list[str]
    event_days: int


@dataclass(frozen=True, kw_only=True, slots=True)
class X509Settings:
    """`[x509]`."""

    term_of_validity: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerSettings:
    """`[containers]`."""

    runtime: str
    default_cpu: float
    default_memory: int
    minimum_cpu: float
    maximum_cpu: float
    minimum_memory: int
    maximum_memory: int
    maximum_disk: int
    max_containers: int
    max_memory: int
    max_cpu: int
    max_disk: int
    execute_seconds: float
    create_seconds: int
    dedicated_cpus: list[int]
    max_processes: int
    log_mib: int
    log_files: int
    registry_networks: list[str]
    image_days: int
    action_seconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeSettings:
    """`[volumes]`."""

    driver: str
    maximum_size: int
    max_volumes: int
    max_gigabytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The values of the options, by group."""

    state: Path
    host: str
    log_level: str
    log_file: str
    api: ApiSettings
    keystone: KeystoneSettings
    database_url: str
    docker_url: str | None
    conductor: ConductorSettings
    clusters: ClusterSettings
    x509: X509Settings
    containers: ContainerSettings
    volumes: VolumeSettings
    image_cache: Path
    image_mirror: str
