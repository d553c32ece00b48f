"""The published objects of this family, as types (contract: container-infra, sections 4 to 9).

Functions beside the handlers fill them; the OpenAPI document shows them. A member that only some versions or states
have is `NotRequired`. All others are always present, null where unset.
"""

from typing import NotRequired, TypedDict

from jeroboam.api.shapes import Link, Moment, NextPage, Uuid
from jeroboam.domain.clusters import Health, NodeState

Labels = dict[str, str]


class TemplateShape(TypedDict):
    """A cluster template."""

    uuid: Uuid
    name: str
    coe: str
    image_id: str
    flavor_id: str | None
    master_flavor_id: str | None
    keypair_id: str | None
    external_network_id: str | None
    fixed_network: str | None
    fixed_subnet: str | None
    network_driver: str | None
    volume_driver: str | None
    dns_nameserver: str | None
    apiserver_port: int | None
    docker_volume_size: int | None
    docker_storage_driver: str | None
    cluster_distro: str | None
    http_proxy: str | None
    https_proxy: str | None
    no_proxy: str | None
    insecure_registry: str | None
    labels: Labels
    registry_enabled: bool
    tls_disabled: bool
    master_lb_enabled: bool
    floating_ip_enabled: bool
    server_type: str
    tags: str | None
    driver: str | None
    public: bool
    hidden: bool
    project_id: str
    user_id: str
    links: list[Link]
    created_at: Moment | None
    updated_at: Moment | None


class TemplateList(TypedDict):
    """A page of cluster templates, whole: this list has no shorter form."""

    clustertemplates: list[TemplateShape]
    next: NotRequired[NextPage]
    total_count: NotRequired[int]


class ClusterInList(TypedDict):
    """A cluster as lists show it."""

    uuid: Uuid
    name: str
    cluster_template_id: Uuid
    keypair: str | None
    node_count: int
    master_count: int
    docker_volume_size: int | None
    labels: Labels
    master_flavor_id: str | None
    flavor_id: str | None
    create_timeout: int
    links: list[Link]
    cluster_id: NotRequired[Uuid]
    stack_id: Uuid
    status: str
    health_status: Health | None
    merge_labels: bool


class ClusterShape(ClusterInList):
    """A cluster."""

    status_reason: str | None
    health_status_reason: dict[str, str]
    discovery_url: str | None
    api_address: str | None
    coe_version: str | None
    container_version: str | None
    project_id: str
    user_id: str
    node_addresses: list[str]
    master_addresses: list[str]
    fixed_network: str | None
    fixed_subnet: str | None
    floating_ip_enabled: bool
    master_lb_enabled: bool
    labels_overridden: Labels
    labels_added: Labels
    labels_skipped: Labels
    created_at: Moment | None
    updated_at: Moment | None
    faults: NotRequired[dict[str, str | None]]


class ClusterList(TypedDict):
    """A page of clusters."""

    clusters: list[ClusterInList]
    next: NotRequired[NextPage]
    total_count: NotRequired[int]


class ClusterDetailList(TypedDict):
    """A page of clusters, whole."""

    clusters: list[ClusterShape]
    next: NotRequired[NextPage]
    total_count: NotRequired[int]


class NodeGroupInList(TypedDict):
    """A node group as lists show it."""

    uuid: Uuid
    name: str
    flavor_id: str | None
    image_id: str | None
    node_count: int
    role: str
    min_node_count: int
    max_node_count: int | None
    is_default: bool
    stack_id: Uuid
    status: str
    merge_labels: bool


class NodeShape(TypedDict):
    """A node of a group, as it was last seen. An addition to the published API."""

    uuid: Uuid
    name: str
    address: str | None
    server_id: str | None
    """The provider's id of the node."""
    state: NodeState
    ready: bool
    """Whether the COE counts it as a working member."""
    reason: str
    up_to_date: bool
    """Whether the node has the group's current build; otherwise the roll-out rebuilds it."""


class NodeGroupShape(NodeGroupInList):
    """A node group."""

    id: int | None
    cluster_id: Uuid
    project_id: str
    docker_volume_size: int | None
    labels: Labels
    labels_overridden: Labels
    labels_added: Labels
    labels_skipped: Labels
    links: list[Link]
    node_addresses: list[str]
    nodes: list[NodeShape]
    status_reason: str | None
    version: str | None
    node_labels: Labels
    node_taints: tuple[Labels, ...]
    created_at: Moment | None
    updated_at: Moment | None


class NodeGroupList(TypedDict):
    """A page of a cluster's node groups."""

    nodegroups: list[NodeGroupInList]
    next: NotRequired[NextPage]
    total_count: NotRequired[int]


class EventShape(TypedDict):
    """What happened to a cluster."""

    uuid: Uuid
    cluster_uuid: Uuid
    cluster_name: str
    project_id: str
    nodegroup: str | None
    event_type: str
    status: str | None
    message: str | None
    user_id: str | None
    request_id: str | None
    created_at: Moment | None


class EventList(TypedDict):
    """A page of events."""

    events: list[EventShape]
    next: NotRequired[NextPage]
    total_count: NotRequired[int]


class CertificateShape(TypedDict):
    """A cluster's authority, or a certificate that it signed."""

    cluster_uuid: Uuid
    bay_uuid: NotRequired[Uuid]
    csr: str | None
    pem: str
    ca_cert_type: str | None
    links: list[Link]
    created_at: Moment | None
    updated_at: Moment | None


class QuotaShape(TypedDict):
    """A project's limit. Only one that somebody set has an id and times."""

    project_id: str
    resource: str
    hard_limit: int
    id: NotRequired[int | None]
    created_at: NotRequired[Moment | None]
    updated_at: NotRequired[Moment | None]


class QuotaList(TypedDict):
    """A page of limits that somebody set."""

    quotas: list[QuotaShape]
    next: NotRequired[NextPage]


class Totals(TypedDict):
    """How many clusters and nodes there are, masters included."""

    clusters: int
    nodes: int


class ServiceShape(TypedDict):
    """A process that makes clusters."""

    id: int
    host: str
    binary: str
    state: str
    report_count: int
    disabled: bool
    disabled_reason: str | None
    created_at: Moment | None
    updated_at: Moment | None


class ServiceList(TypedDict):
    """The processes that make clusters."""

    mservices: list[ServiceShape]


class FederationList(TypedDict):
    """Federations: there are none."""

    federations: list[dict[str, str]]


class Error(TypedDict):
    """What went wrong: `client`, `server`, or nothing where the edge said so."""

    request_id: str
    code: str
    status: int
    title: str
    detail: str
    links: list[Link]


class Errors(TypedDict):
    """An error body; where clients of 2015 may meet it, with their form of it: JSON within JSON."""

    errors: list[Error]
    error_message: NotRequired[str]


class VersionError(TypedDict):
    """A version that is not there, and those that are."""

    code: str
    title: str
    description: str
    max_version: str
    min_version: str
    links: list[Link]


class Unsupported(TypedDict):
    """The error body for such a version."""

    errors: list[VersionError]
