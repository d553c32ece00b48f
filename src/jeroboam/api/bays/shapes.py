"""The published objects of 2015, as types (contract: container-infra, section 15)."""

from typing import NotRequired, TypedDict

from jeroboam.api.container_infra.shapes import Labels
from jeroboam.api.shapes import Link, Moment, NextPage, Uuid
from jeroboam.domain.bay_containers import BayContainerStatus
from jeroboam.domain.bay_manifests import BayManifestStatus


class BayInList(TypedDict):
    """A bay as lists show it."""

    uuid: Uuid
    name: str
    baymodel_id: Uuid
    node_count: int
    master_count: int
    bay_create_timeout: int
    stack_id: Uuid
    status: str
    links: list[Link]


class BayShape(BayInList):
    """A bay."""

    status_reason: str | None
    discovery_url: str | None
    api_address: str | None
    node_addresses: list[str]
    master_addresses: list[str]
    created_at: Moment | None
    updated_at: Moment | None


class BayList(TypedDict):
    """A page of bays."""

    bays: list[BayInList]
    next: NotRequired[NextPage]


class BayDetailList(TypedDict):
    """A page of bays, whole."""

    bays: list[BayShape]
    next: NotRequired[NextPage]


class BayModelInList(TypedDict):
    """A baymodel as lists show it."""

    uuid: Uuid
    name: str
    image_id: str
    apiserver_port: int | None
    coe: str
    links: list[Link]


class BayModelShape(BayModelInList):
    """A baymodel."""

    flavor_id: str | None
    master_flavor_id: str | None
    dns_nameserver: str | None
    keypair_id: str | None
    external_network_id: str | None
    fixed_network: str | None
    docker_volume_size: int | None
    cluster_distro: str | None
    network_driver: str | None
    volume_driver: str | None
    http_proxy: str | None
    https_proxy: str | None
    no_proxy: str | None
    insecure_registry: str | None
    registry_enabled: bool
    labels: Labels
    tls_disabled: bool
    server_type: str
    ssh_authorized_key: None
    public: bool
    created_at: Moment | None
    updated_at: Moment | None


class BayModelList(TypedDict):
    """A page of baymodels."""

    baymodels: list[BayModelInList]
    next: NotRequired[NextPage]


class BayModelDetailList(TypedDict):
    """A page of baymodels, whole."""

    baymodels: list[BayModelShape]
    next: NotRequired[NextPage]


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
