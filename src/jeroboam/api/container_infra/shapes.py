"""The published objects of this family, as types (contract: container-infra, sections 4 to 9).

Functions beside the handlers fill them; the OpenAPI document shows them. A member that only some versions or states
have is `NotRequired`. All others are always present, null where unset. Those of templates, clusters and node groups
follow from the tables in the `fields` of their folders.
"""

from typing import NotRequired, TypedDict

from jeroboam.api.shapes import Link, Moment, NextPage, Uuid
from jeroboam.domain.clusters import NodeState

Labels = dict[str, str]


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
