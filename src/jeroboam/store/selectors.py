"""The fields by which queries select the objects of each kind, so that the type checker refuses any other.

A selector is a dictionary of fields and their values: all of them have to match, and of a list any one value. These are
fields that our code names; what users filter lists by is in `filters`. `RowKind` refuses a selector with a field that
its table does not have when it is made. Neighbour: `rows`, whose queries take them.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict, TypeVar

Text = str | Sequence[str]
"""A text, or any of several."""


class ObjectSelector(TypedDict, total=False):
    """What every object of a project is selected by."""

    uuid: Text
    name: str
    project_id: Text


class TemplateSelector(ObjectSelector, total=False):
    """Which templates."""

    image_id: str


class ClusterSelector(ObjectSelector, total=False):
    """Which clusters."""

    template_id: str


class NodeGroupSelector(ObjectSelector, total=False):
    """Which node groups."""

    cluster_id: Text
    role: str


class CertificateSelector(TypedDict, total=False):
    """Which authorities of clusters."""

    cluster_id: str
    kind: Text


class ContainerSelector(ObjectSelector, total=False):
    """Which containers. A host of None: those that have none."""

    user_id: str
    image: str
    memory: int
    status: str
    task_state: str
    auto_remove: bool
    host: str
    host_id: str | None
    registry_id: str


class CapsuleSelector(ObjectSelector, total=False):
    """Which capsules. A host of None: those that have none."""

    status: str
    host_id: str | None


class CapsuleEventSelector(TypedDict, total=False):
    """Which events of capsules."""

    uuid: Text
    capsule_id: str
    project_id: Text


class HostSelector(TypedDict, total=False):
    """Which hosts."""

    uuid: Text
    hostname: str


class ServiceSelector(TypedDict, total=False):
    """Which processes of the service."""

    binary: str


class QuotaSelector(TypedDict, total=False):
    """Which limits of projects."""

    project_id: Text
    resource: Text


class BayObjectSelector(ObjectSelector, total=False):
    """Which containers or manifests inside bays."""

    kind: str
    cluster_id: str


class NodeRecordSelector(TypedDict, total=False):
    """Which records of machines."""

    uuid: Text
    project_id: Text


class EventSelector(TypedDict, total=False):
    """Which events of clusters."""

    project_id: Text
    cluster_id: str
    event_type: str


class ContainerActionSelector(TypedDict, total=False):
    """Which records of what was asked of containers."""

    container_id: str
    request_id: str


class RegistrySelector(ObjectSelector, total=False):
    """Which registries."""

    user_id: str
    domain: str


class HostImageSelector(TypedDict, total=False):
    """Which images on hosts."""

    uuid: Text
    repo: str
    tag: str
    host_id: str
    status: Text


class VolumeSelector(ObjectSelector, total=False):
    """Which volumes."""

    host_id: str | None
    status: Text


class VolumeAttachmentSelector(TypedDict, total=False):
    """Which volumes in containers."""

    volume_id: Text
    container_id: Text


class InteractiveSessionSelector(TypedDict, total=False):
    """Which sessions that are not opened yet."""

    token_hash: str
    container_id: str


class NetworkSelector(ObjectSelector, total=False):
    """Which networks."""

    description: str
    is_default: bool


class SubnetSelector(ObjectSelector, total=False):
    """Which subnets."""

    network_id: Text
    description: str
    cidr: str
    gateway_ip: str
    is_default: bool


class PortSelector(ObjectSelector, total=False):
    """Which ports."""

    network_id: Text
    subnet_id: str
    ip_address: str
    description: str
    device_id: Text
    device_owner: str
    preserve_on_delete: bool


class SecurityGroupSelector(ObjectSelector, total=False):
    """Which security groups."""

    description: str
    container_id: str


class SecurityGroupRuleSelector(TypedDict, total=False):
    """Which rules of security groups."""

    uuid: Text
    project_id: Text
    security_group_id: Text
    description: str
    direction: str
    ethertype: str
    protocol: str
    remote_group_id: str
    remote_ip_prefix: str


S = TypeVar("S", bound=Mapping[str, object])
"""The selector of a kind."""
