"""The shapes of answers: the fields that commands of users read, with their types. Other fields pass unread.

A server's answer is checked before it is used, so that the code behind needs no check of its own.
Neighbours: `openstack`, which checks; `container_infra` and `container`, which name the shape of each answer.
"""

import datetime as dt
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

ExitCode = Annotated[int, msgspec.Meta(ge=0, le=255)]


class ClusterAnswer(TypedDict):
    """A cluster."""

    uuid: str
    name: str
    status: str
    cluster_template_id: str
    status_reason: NotRequired[str | None]
    api_address: NotRequired[str | None]
    coe_version: NotRequired[str | None]


class ListedCluster(ClusterAnswer):
    """A cluster in a list."""

    master_count: int | None
    node_count: int | None


class ClustersPage(TypedDict):
    """Clusters."""

    clusters: list[ListedCluster]
    next: NotRequired[str | None]


class TemplateCoe(TypedDict):
    """A template, of which only the COE counts."""

    coe: str


class TemplateAnswer(TemplateCoe):
    """A template."""

    uuid: str
    name: str
    labels: dict[str, Any]


class SessionAnswer(TypedDict):
    """A command with a WebSocket to it."""

    exec_id: str
    proxy_url: str


class ListedTemplate(TemplateAnswer):
    """A template in a list."""

    hidden: bool
    created_at: str | None


class TemplatesPage(TypedDict):
    """Templates."""

    clustertemplates: list[ListedTemplate]
    next: NotRequired[str | None]


class Created(TypedDict):
    """What was created."""

    uuid: str


class CertificateAnswer(TypedDict):
    """A certificate."""

    pem: str


class ListedNodeGroup(TypedDict):
    """A node group in a list."""

    uuid: str
    name: str


class NodeGroupsPage(TypedDict):
    """Node groups."""

    nodegroups: list[ListedNodeGroup]
    next: NotRequired[str | None]


class NodeAnswer(TypedDict):
    """A node; an extension of this service."""

    uuid: str
    name: str
    state: str
    ready: bool
    reason: str | None
    address: str | None


class NodeGroupAnswer(TypedDict):
    """A node group."""

    name: str
    nodes: NotRequired[list[NodeAnswer]]


class EventAnswer(TypedDict):
    """An event of a cluster; an extension of this service."""

    uuid: str
    created_at: dt.datetime
    event_type: str
    status: str | None
    message: str | None


class EventsPage(TypedDict):
    """Events."""

    events: list[EventAnswer]


class AddressAnswer(TypedDict):
    """An address of a container."""

    addr: str


class ContainerAnswer(TypedDict):
    """A container."""

    uuid: str
    name: str
    status: str
    task_state: str | None
    status_reason: NotRequired[str | None]


class ListedContainer(ContainerAnswer):
    """A container in a list."""

    image: str
    addresses: dict[str, list[AddressAnswer]] | None


class ContainersPage(TypedDict):
    """Containers."""

    containers: list[ListedContainer]
    next: NotRequired[str | None]


class ExecAnswer(TypedDict):
    """The end of a command in a container."""

    output: str | None
    exit_code: ExitCode
