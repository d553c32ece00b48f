"""The labels that a Kubernetes cluster supports, under Magnum's names, and their defaults.

Neighbours: `node_script` and `components`, which write them into nodes; the COE, which checks them on requests;
`flags` and `security`, which have labels of their own.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from jeroboam.coes.kubernetes import flags, registries, security
from jeroboam.domain import automation
from jeroboam.domain.clusters import MASTER, WORKER
from jeroboam.domain.conditions import Condition
from jeroboam.domain.errors import bad_label
from jeroboam.domain.field_effects import list_infra_labels

VERSION = "kube_tag"
"""The version of Kubernetes, which is the version of the node image."""
PODS = "flannel_network_cidr"
SUBNET_BITS = "flannel_network_subnetlen"
BACKEND = "flannel_backend"
SERVICES = "service_cluster_ip_range"
SANS = "api_server_cert_sans"
"""Further names and addresses of the API, with commas between them."""

# Options that are part of a node: a change rebuilds nodes. Networks are not among them, since they cannot change.
MASTER_OPTIONS = frozenset(
    {
        SANS,
        flags.API_SERVER,
        flags.SCHEDULER,
        flags.CONTROLLER_MANAGER,
        flags.ADMISSION,
        *security.LABELS,
    }
)
"""The node options that are part of masters only."""
NODE_OPTIONS = frozenset({VERSION, flags.KUBELET, flags.PROXY, registries.MIRROR, *MASTER_OPTIONS})
# What a node uses before it runs any work (measured, plus a small reserve): MiB of memory, GiB of disk.
NODE_MEMORY = {MASTER: 640, WORKER: 192}
NODE_DISK = 0.25
FIXED = (PODS, SUBNET_BITS, BACKEND, SERVICES)
_KNOWN = frozenset({*NODE_OPTIONS, *FIXED, "metrics_server_enabled", "local_storage_enabled"})
_ELSEWHERE = automation.LABELS
_TAG = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+", re.ASCII)
_SAN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?", re.ASCII)
_BACKENDS = ("vxlan", "host-gw")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterNetworks:
    """The addresses of pods and services."""

    pods: ipaddress.IPv4Network
    services: ipaddress.IPv4Network
    node_bits: int
    """The prefix length of one node's pod range."""
    backend: str

    @property
    def dns(self) -> str:
        """The address of CoreDNS: the tenth address of services, as in kubeadm."""
        return str(self.services[10])


def read_networks(labels: Mapping[str, str]) -> ClusterNetworks:
    """Return the networks that the labels set, with defaults. Raises `Invalid` for bad values."""
    pods = _read_network(labels, PODS, "10.100.0.0/16")
    services = _read_network(labels, SERVICES, "10.254.0.0/16")
    if pods.overlaps(services):
        raise bad_label(SERVICES, str(services), f"it overlaps {PODS} {pods}.")
    bits = labels.get(SUBNET_BITS, "24")
    if not (bits.isascii() and bits.isdigit()) or not pods.prefixlen < int(bits[:3]) <= 28:  # noqa: PLR2004  (room for some pods)
        raise bad_label(SUBNET_BITS, bits, f"it has to be a number from {pods.prefixlen + 1} to 28.")
    backend = labels.get(BACKEND, "vxlan")
    if backend not in _BACKENDS:
        raise bad_label(BACKEND, backend, f"it has to be one of: {', '.join(_BACKENDS)}.")
    return ClusterNetworks(pods=pods, services=services, node_bits=int(bits), backend=backend)


def check(labels: Mapping[str, str]) -> None:
    """Raise `Invalid` for a label with a bad value."""
    read_networks(labels)
    automation.check_labels(labels)
    if (tag := labels.get(VERSION)) is not None and _TAG.fullmatch(tag) is None:
        raise bad_label(VERSION, tag, "it has to be a version such as v1.36.3.")
    for name in list_sans(labels):
        if _SAN.fullmatch(name) is None:
            raise bad_label(SANS, name, "it has to be a name or an address.")
    flags.check(labels)
    security.check(labels)


def list_sans(labels: Mapping[str, str]) -> list[str]:
    """Return the further names and addresses of the API."""
    return [word.strip() for word in labels.get(SANS, "").split(",") if word.strip()]


def parse_version(version: str) -> tuple[int, ...]:
    """Return a version such as `v1.36.3` as numbers that can be compared."""
    return tuple(int(part) for part in version.removeprefix("v").split("."))


def build_labels_condition(labels: Mapping[str, str], driver: str | None = None) -> Condition:
    """Return the condition that says whether this COE, the service or that provider supports every label."""
    ignored_labels = sorted(labels.keys() - _KNOWN - _ELSEWHERE - list_infra_labels(driver))
    if not ignored_labels:
        return Condition(type="LabelsHonoured", status=True)
    text = f"These labels have no effect here yet: {', '.join(ignored_labels)}."
    return Condition(type="LabelsHonoured", status=False, reason="NoMeaning", message=text)


def _read_network(labels: Mapping[str, str], name: str, default: str) -> ipaddress.IPv4Network:
    value = labels.get(name, default)
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise bad_label(name, value, "it has to be an IPv4 network such as 10.100.0.0/16.") from error
    if not 8 <= network.prefixlen <= 24:  # noqa: PLR2004  (room for nodes, and for services)
        raise bad_label(name, value, "its prefix has to have 8 to 24 bits.")
    return network
