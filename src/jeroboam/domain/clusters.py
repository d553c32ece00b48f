"""Templates, clusters, node groups and their nodes.

Every object has three parts: the wish (`spec`, written by its user), `desired` (written by the conductor) and
`observed` (written by the one loop that looks at the real thing). Field names of the specs are those of the published
container-infra API.
"""

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self, TypeVar

from jeroboam.domain.conditions import Condition

MASTER = "master"
WORKER = "worker"
ROLES = frozenset({MASTER, WORKER})
"""The roles of nodes for their COE, whatever role the group names."""
DEFAULT_MASTERS = "default-master"
DEFAULT_WORKERS = "default-worker"
"""The names of the two node groups that every cluster has."""
LOAD_BALANCER = "load-balancer"
"""The server in front of the masters; it belongs to no node group."""


class Operation(StrEnum):
    """The current operation of a cluster; the first half of its public status."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    ROLLBACK = "ROLLBACK"


class OperationOutcome(StrEnum):
    """The outcome of the operation; the second half of its public status."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"


class ClusterStatus(StrEnum):
    """The public status of a cluster or a node group, with the two facts that it is made of."""

    operation: Operation
    outcome: OperationOutcome

    def __new__(cls, operation: Operation, outcome: OperationOutcome) -> Self:
        """Return the status of that operation with that outcome."""
        value = f"{operation}_{outcome}"
        status = str.__new__(cls, value)
        status._value_ = value
        status.operation = operation
        status.outcome = outcome
        return status

    CREATE_IN_PROGRESS = Operation.CREATE, OperationOutcome.IN_PROGRESS
    CREATE_COMPLETE = Operation.CREATE, OperationOutcome.COMPLETE
    CREATE_FAILED = Operation.CREATE, OperationOutcome.FAILED
    UPDATE_IN_PROGRESS = Operation.UPDATE, OperationOutcome.IN_PROGRESS
    UPDATE_COMPLETE = Operation.UPDATE, OperationOutcome.COMPLETE
    UPDATE_FAILED = Operation.UPDATE, OperationOutcome.FAILED
    DELETE_IN_PROGRESS = Operation.DELETE, OperationOutcome.IN_PROGRESS
    DELETE_COMPLETE = Operation.DELETE, OperationOutcome.COMPLETE
    DELETE_FAILED = Operation.DELETE, OperationOutcome.FAILED
    ROLLBACK_IN_PROGRESS = Operation.ROLLBACK, OperationOutcome.IN_PROGRESS
    ROLLBACK_COMPLETE = Operation.ROLLBACK, OperationOutcome.COMPLETE
    ROLLBACK_FAILED = Operation.ROLLBACK, OperationOutcome.FAILED


class Health(StrEnum):
    """`health_status` of the published API."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    UNKNOWN = "UNKNOWN"


WELL = frozenset({"ok", "True"})
"""The values of `health_status_reason` for a healthy part."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateSpec:
    """What clusters of a kind look like (contract: container-infra, section 5)."""

    coe: str
    image_id: str
    flavor_id: str | None = None
    master_flavor_id: str | None = None
    keypair_id: str | None = None
    external_network_id: str | None = None
    fixed_network: str | None = None
    fixed_subnet: str | None = None
    network_driver: str | None = None
    volume_driver: str | None = None
    dns_nameserver: str | None = None
    apiserver_port: int | None = None
    docker_volume_size: int | None = None
    docker_storage_driver: str | None = None
    cluster_distro: str | None = None
    http_proxy: str | None = field(default=None, repr=False)
    """Not shown by `repr`: it may hold a password."""
    https_proxy: str | None = field(default=None, repr=False)
    """The same."""
    no_proxy: str | None = None
    insecure_registry: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    registry_enabled: bool = False
    tls_disabled: bool = False
    master_lb_enabled: bool = False
    floating_ip_enabled: bool = True
    server_type: str = "vm"
    tags: str | None = None
    driver: str | None = None
    """The provider of the nodes (`local`, `heat`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A cluster template."""

    uuid: str
    name: str
    project_id: str
    user_id: str
    spec: TemplateSpec
    public: bool = False
    hidden: bool = False
    created_at: dt.datetime
    updated_at: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeGroupSpec:
    """A node group's wish (contract: container-infra, section 7)."""

    role: str
    node_count: int
    flavor_id: str | None = None
    image_id: str | None = None
    docker_volume_size: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    min_node_count: int = 0
    max_node_count: int | None = None
    is_default: bool = False
    merge_labels: bool = False
    node_labels: dict[str, str] = field(default_factory=dict)
    node_taints: tuple[dict[str, str], ...] = ()
    nodes_to_remove: tuple[str, ...] = ()
    """Uuids of the nodes that go. New nodes take their places if the group does not shrink by as many."""
    build: int = 0
    """The build that the group's nodes should have. A build is all that a node is made from.

    That is the image, the flavour, and what the template and the labels put into it. A node of another build is made
    anew, in its place.
    """
    builds: int = 0
    """The highest build number that the group has had; no number is used twice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviousSpec:
    """What a cluster was before a change that may be rolled back."""

    template_id: str
    template: TemplateSpec
    labels: dict[str, str]
    master_flavor_id: str | None
    flavor_id: str | None
    groups: dict[str, NodeGroupSpec]
    """The wishes of the groups that the change touches, by uuid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterSpec:
    """A cluster's wish. `template` is the template as it was when the wish was written."""

    template: TemplateSpec
    keypair: str | None = None
    docker_volume_size: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    """The effective labels: the template's, or the cluster's own, or both merged."""
    master_flavor_id: str | None = None
    flavor_id: str | None = None
    create_timeout: int = 60
    """Minutes; 0 means the service's own limit."""
    discovery_url: str | None = None
    fixed_network: str | None = None
    fixed_subnet: str | None = None
    floating_ip_enabled: bool = True
    master_lb_enabled: bool = False
    ca_generation: int = 0
    """Counts the authorities that were asked for after the first one."""
    max_batch_size: int = 1
    """How many workers of a group may be away at once while nodes are made anew."""
    former: "PreviousSpec | None" = None
    """What a failed update goes back to; None if the user asked for no rollback."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthCheckResult:
    """The result of the cluster loop's last look at the health, without the texts."""

    status: Health | None
    parts: tuple[str, ...] = ()
    """The parts of the cluster that were not well."""
    generation: int = 0
    """The wish at that time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterObserved:
    """What the cluster loop last observed."""

    generation: int = 0
    """The generation of the last wish that was carried out in full."""
    ca_generation: int = 0
    """The same for the cluster's authority."""
    api_address: str | None = None
    coe_version: str | None = None
    container_version: str | None = None
    health_status: Health | None = None
    health_status_reason: dict[str, str] = field(default_factory=dict)
    health_look: HealthCheckResult | None = None
    health_changes: int = 0
    """Counts the looks that had another result than the look before."""
    conditions: tuple[Condition, ...] = ()
    failure: str | None = None
    """Why a wish failed; set only when the loop gave up."""
    failed_generation: int = 0
    """The generation of that wish. The failure of an earlier wish than the current one does not count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportedHealth:
    """The health that was reported from outside, by a healer or a user. It counts until a look has another result."""

    health_status: Health | None
    health_status_reason: dict[str, str] = field(default_factory=dict)
    health_changes: int
    """The loop's count when the report came."""
    reported_at: dt.datetime


class _HasHealthChanges(Protocol):
    @property
    def health_changes(self) -> int: ...


_Observed = TypeVar("_Observed", bound=_HasHealthChanges)
_Reported = TypeVar("_Reported", bound=_HasHealthChanges)


def select_health(observed: _Observed, reported: _Reported | None) -> _Observed | _Reported:
    """Return the part of a cluster that has its public health: the report, unless a later look had another result."""
    if reported is not None and reported.health_changes == observed.health_changes:
        return reported
    return observed


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """A cluster: nodes plus a COE, owned by a project."""

    uuid: str
    name: str
    project_id: str
    user_id: str
    template_id: str
    spec: ClusterSpec
    observed: ClusterObserved = ClusterObserved()
    reported_health: ReportedHealth | None = None
    """The last report from outside, whether it still counts or not."""
    operation: Operation = Operation.CREATE
    generation: int = 1
    """Counts wishes: each accepted write adds one."""
    status: ClusterStatus = ClusterStatus.CREATE_IN_PROGRESS
    status_reason: str | None = None
    deadline_at: dt.datetime | None = None
    """When the current operation is given up."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None

    @property
    def health(self) -> ClusterObserved | ReportedHealth:
        """The part that has the public `health_status` and `health_status_reason`."""
        return select_health(self.observed, self.reported_health)


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A node that should exist: the conductor's plan. The name is unique in its cluster and never used again."""

    uuid: str
    name: str


class NodeState(StrEnum):
    """What the provider says of a node."""

    CREATING = "creating"
    RUNNING = "running"
    STOPPED = "stopped"
    GONE = "gone"


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeObserved:
    """A node as the provider and the COE see it."""

    uuid: str
    name: str
    state: NodeState
    address: str | None = None
    server_id: str | None = None
    """The provider's own id of it: a container's, a server's."""
    floating_address: str | None = None
    """Its address outside the cluster's network; None without one."""
    build: int = 0
    """The build of its group that it was made from."""
    ready: bool = False
    """Whether the COE counts it as a working member."""
    reason: str = ""
    unready_since: dt.datetime | None = None
    """Since when the COE does not count it as a working member; None while it does."""
    healed_at: dt.datetime | None = None
    """When it was last replaced for that; None once it works again."""
    idle_since: dt.datetime | None = None
    """Since when it has no work; None while it has work, or if nobody asks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeGroup:
    """Nodes of a cluster with one role, flavour and image."""

    uuid: str
    name: str
    cluster_id: str
    project_id: str
    spec: NodeGroupSpec
    desired: tuple[Node, ...] = ()
    observed: tuple[NodeObserved, ...] = ()
    status: ClusterStatus = ClusterStatus.CREATE_IN_PROGRESS
    status_reason: str | None = None
    deleting: bool = False
    next_index: int = 0
    """The number of the next new node, so that no name is used twice."""
    id: int | None = field(default=None, compare=False)
    """The store's number for it, which the published object shows; None until it is stored."""
    created_at: dt.datetime
    updated_at: dt.datetime | None = None


def role_of(spec: NodeGroupSpec) -> str:
    """Return the role of the group's nodes for their COE: any role but master is a worker's."""
    return MASTER if spec.role == MASTER else WORKER


DEFAULT_FLAVOR = "m1.small"


def flavor_of(cluster: Cluster, group: NodeGroup) -> str:
    """Return the flavour of the group's nodes: its own, the cluster's or the template's."""
    if group.spec.role != MASTER or cluster.spec.master_flavor_id is None:
        default = cluster.spec.flavor_id or cluster.spec.template.flavor_id
    else:
        default = cluster.spec.master_flavor_id
    return group.spec.flavor_id or default or DEFAULT_FLAVOR


# The main authority, and those beside it during a rotation: one that nodes learn of, one that all nodes accept, and
# the one that was `main` before. At most one of the three exists.
MAIN = "main"
NEXT = "next"
READY = "ready"
FORMER = "former"
STEPS = (NEXT, READY, FORMER)


def kind_at(kind: str, step: str) -> str:
    """Return the kind under which the authority is stored at that step of a rotation."""
    return step if kind == MAIN else f"{kind}-{step}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """A cluster's certificate authority. The key is sealed; its plain form exists only in memory."""

    cluster_id: str
    kind: str
    """`main`, for some COEs also `etcd` and `front-proxy`, and during a rotation one of the kinds above."""
    pem: str
    sealed_key: bytes
    created_at: dt.datetime
