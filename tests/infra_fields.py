"""The table of what a provider is asked for: each field of the contract, and the field or label of a user behind it.

Neighbours: `tests/conductor/test_infra_fields.py`, which sets each of them and looks into the provider, and
`tests/unit/test_field_effects.py`, which wants a word of `local` about each of them.
"""

from dataclasses import dataclass
from typing import Any

from jeroboam.coes.fake.coe import API_PORT
from jeroboam.domain import infra_labels
from jeroboam.domain.nodes import open_tcp


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way from a user to the provider."""

    where: str
    """The attribute of DesiredInfra (`infra`), of the worker, the master or the balancer, or of the load balancer."""
    source: str
    """`template`, `cluster`, `group` or `label`."""
    field: str
    value: Any
    reaches: Any


def row(where: str, source: str, field: str, value: Any, reaches: Any = None) -> Row:
    return Row(where=where, source=source, field=field, value=value, reaches=value if reaches is None else reaches)


ROWS = [
    row("infra.server_type", "template", "server_type", "bm"),
    row("infra.keypair", "cluster", "keypair", "mine"),
    row("infra.external_network_id", "template", "external_network_id", "public"),
    row("infra.fixed_network", "cluster", "fixed_network", "inner"),
    row("infra.fixed_subnet", "cluster", "fixed_subnet", "inner-subnet"),
    row("infra.fixed_subnet_cidr", "label", infra_labels.FIXED_SUBNET_CIDR, "10.7.0.0/24"),
    row("infra.dns_nameservers", "template", "dns_nameserver", "8.8.8.8, 8.8.4.4", ("8.8.8.8", "8.8.4.4")),
    row("worker.image", "template", "image_id", "another-node"),
    row("worker.image", "group", "image_id", "another-node"),
    row("master.flavor", "cluster", "master_flavor_id", "m1.large"),
    row("worker.flavor", "template", "flavor_id", "m1.large"),
    row("worker.flavor", "cluster", "flavor_id", "m1.large"),
    row("worker.flavor", "group", "flavor_id", "m1.large"),
    row("worker.availability_zone", "label", infra_labels.AVAILABILITY_ZONE, "az2"),
    row("master.availability_zone", "label", infra_labels.AVAILABILITY_ZONE, "az2"),
    row("balancer.availability_zone", "label", infra_labels.AVAILABILITY_ZONE, "az2"),
    row("worker.availability_zone", "group label", infra_labels.AVAILABILITY_ZONE, "az2"),
    row("worker.boot_volume_size", "label", infra_labels.BOOT_VOLUME_SIZE, "20", 20),
    row("balancer.boot_volume_size", "label", infra_labels.BOOT_VOLUME_SIZE, "20", 20),
    row("worker.boot_volume_type", "label", infra_labels.BOOT_VOLUME_TYPE, "fast"),
    row("balancer.boot_volume_type", "label", infra_labels.BOOT_VOLUME_TYPE, "fast"),
    row("worker.docker_volume_size", "cluster", "docker_volume_size", 7),
    row("worker.docker_volume_size", "group", "docker_volume_size", 7),
    row("worker.docker_volume_type", "label", infra_labels.DOCKER_VOLUME_TYPE, "fast"),
    row("master.etcd_volume_size", "label", infra_labels.ETCD_VOLUME_SIZE, "5", 5),
    row("master.etcd_volume_type", "label", infra_labels.ETCD_VOLUME_TYPE, "fast"),
    row("worker.floating_ip_enabled", "cluster", "floating_ip_enabled", True),
    row("master.floating_ip_enabled", "cluster", "floating_ip_enabled", True),
    row("balancer.floating_ip_enabled", "label", infra_labels.MASTER_LB_FLOATING_IP, "true", True),
    row("master.open_ports", "template", "apiserver_port", 7443, (open_tcp(7443),)),
    row("balancer.open_ports", "template", "apiserver_port", None, (open_tcp(API_PORT),)),
    row("load_balancer.allowed_cidrs", "label", infra_labels.MASTER_LB_ALLOWED_CIDRS, "10.0.0.0/8", ("10.0.0.0/8",)),
    row("load_balancer.octavia_provider", "label", infra_labels.OCTAVIA_PROVIDER, "ovn"),
    row("load_balancer.octavia_lb_algorithm", "label", infra_labels.OCTAVIA_LB_ALGORITHM, "SOURCE_IP_PORT"),
    row("load_balancer.octavia_lb_healthcheck", "label", infra_labels.OCTAVIA_LB_HEALTHCHECK, "false", False),
]
IDENTITY = {
    "infra.cluster_id",
    "infra.cluster_name",
    "infra.owner",
    "infra.nodes",
    "node.uuid",
    "node.name",
    "node.group",
    "node.role",
    "node.build",
    "load_balancer.uuid",
}
"""What is no choice of a user."""
MASTER_LB = "master_lb_enabled"
"""The field behind `infra.load_balancer`, which has a test of its own."""
