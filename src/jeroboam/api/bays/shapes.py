"""The published objects of 2015, as types (contract: container-infra, section 15).

Those of bays and baymodels follow from the tables in `bays` and `baymodels`.
"""

from typing import NotRequired, TypedDict

from jeroboam.api.container_infra.shapes import Labels
from jeroboam.api.shapes import Link, Moment, NextPage, Uuid
from jeroboam.domain.bay_containers import BayContainerStatus
from jeroboam.domain.bay_manifests import BayManifestStatus


class BayContainerInList(TypedDict):
    """A container in a bay as lists show it."""

    uuid: Uuid
    name: str
    bay_uuid: Uuid
    status: BayContainerStatus
    links: list[Link]


class BayContainerShape(BayContainerInList):
    """A container in a bay."""

    image: str
    image_id: str
    command: str | None
    memory: str | None
    status_reason: str | None
    created_at: Moment | None
    updated_at: Moment | None


class BayContainerList(TypedDict):
    """A page of containers in bays."""

    containers: list[BayContainerInList]
    next: NotRequired[NextPage]


class BayContainerDetailList(TypedDict):
    """A page of containers in bays, whole."""

    containers: list[BayContainerShape]
    next: NotRequired[NextPage]


class Output(TypedDict):
    """What a container printed, or a command in it."""

    output: str


class NodeRecordShape(TypedDict):
    """A machine that somebody wrote down."""

    uuid: Uuid
    type: str | None
    image_id: str | None
    ironic_node_id: Uuid | None
    links: list[Link]
    created_at: Moment | None
    updated_at: Moment | None


class NodeRecordList(TypedDict):
    """A page of machines that somebody wrote down."""

    nodes: list[NodeRecordShape]
    next: NotRequired[NextPage]


class InBay(TypedDict):
    """A pod, service or replication controller as lists show it."""

    uuid: Uuid
    name: str
    bay_uuid: Uuid
    status: BayManifestStatus
    links: list[Link]


class OrchestratedShape(InBay):
    """What all three show."""

    status_reason: str | None
    labels: Labels
    manifest: str | None
    manifest_url: str | None
    created_at: Moment | None
    updated_at: Moment | None


class PodShape(OrchestratedShape):
    """A pod in a bay."""

    images: list[str]
    host: str | None
    desc: None


class BayServiceShape(OrchestratedShape):
    """A service in a bay."""

    selector: Labels
    ip: str | None
    ports: list[dict[str, int | str]]
    port: int | None


class RcShape(OrchestratedShape):
    """A replication controller in a bay."""

    images: list[str]
    selector: Labels
    replicas: int | None


class PodList(TypedDict):
    """A page of pods."""

    pods: list[InBay]
    next: NotRequired[NextPage]


class PodDetailList(TypedDict):
    """A page of pods, whole."""

    pods: list[PodShape]
    next: NotRequired[NextPage]


class BayServiceList(TypedDict):
    """A page of services in bays."""

    services: list[InBay]
    next: NotRequired[NextPage]


class BayServiceDetailList(TypedDict):
    """A page of services in bays, whole."""

    services: list[BayServiceShape]
    next: NotRequired[NextPage]


class RcList(TypedDict):
    """A page of replication controllers."""

    rcs: list[InBay]
    next: NotRequired[NextPage]


class RcDetailList(TypedDict):
    """A page of replication controllers, whole."""

    rcs: list[RcShape]
    next: NotRequired[NextPage]
