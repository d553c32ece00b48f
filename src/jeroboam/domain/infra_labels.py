"""The labels that a provider reads: Magnum has no fields for them.

Names and meanings are those of Magnum's Heat driver (contract: container-infra, section 13). A label without a valid
value counts as absent, because the labels of a stored cluster may be older than a check. The list of networks that may
connect is the exception: without it everybody may, so one that is not valid is an error. A label that the provider of a
cluster ignores is not checked. Neighbours: `field_effects`, which says what a provider does with each label; admission,
which checks them; the plans of the conductor, which read them.
"""

import ipaddress
from collections.abc import Callable, Mapping

from jeroboam.domain.booleans import read_flag
from jeroboam.domain.errors import bad_label

AVAILABILITY_ZONE = "availability_zone"
BOOT_VOLUME_SIZE = "boot_volume_size"
"""GiB; 0 means the disk of the flavour."""
BOOT_VOLUME_TYPE = "boot_volume_type"
DOCKER_VOLUME_TYPE = "docker_volume_type"
ETCD_VOLUME_SIZE = "etcd_volume_size"
"""GiB; 0 means no volume of its own."""
ETCD_VOLUME_TYPE = "etcd_volume_type"
FIXED_SUBNET_CIDR = "fixed_subnet_cidr"
"""The addresses of the subnet that is made for the cluster."""
MASTER_LB_FLOATING_IP = "master_lb_floating_ip_enabled"
MASTER_LB_ALLOWED_CIDRS = "master_lb_allowed_cidrs"
"""Comma-separated; who may connect to the load balancer."""
OCTAVIA_PROVIDER = "octavia_provider"
OCTAVIA_LB_ALGORITHM = "octavia_lb_algorithm"
OCTAVIA_LB_HEALTHCHECK = "octavia_lb_healthcheck"

VOLUME_TYPES = (BOOT_VOLUME_TYPE, DOCKER_VOLUME_TYPE, ETCD_VOLUME_TYPE)

_MOST_DIGITS = 9
_CIDRS_RULE = "it has to be a comma separated list of IPv4 networks."
_ALGORITHMS = frozenset({"ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"})


def read_text(labels: Mapping[str, str], name: str) -> str | None:
    """Return the text of the label; None if it asks for nothing."""
    text = labels.get(name, "")
    return text if text and _is_valid(name, text) else None


def read_size(labels: Mapping[str, str], name: str) -> int | None:
    """Return the size in the label; None if it asks for none."""
    text = labels.get(name, "")
    return int(text) or None if _is_size(text) else None


def read_choice(labels: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Return whether the label is true; the default if it is absent."""
    flag = read_flag(labels.get(name, ""))
    return default if flag is None else flag


def read_cidrs(labels: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the networks in the label; none if it is absent. Raises `Invalid` if it holds anything else."""
    text = labels.get(name, "")
    if text and not _is_list_of_cidrs(text):
        raise bad_label(name, text, _CIDRS_RULE)
    return tuple(word.strip() for word in text.split(",")) if text else ()


def check_label(name: str, value: str) -> None:
    """Raise `Invalid` if the value of that label is not allowed. An empty value asks for nothing."""
    if value and not _is_valid(name, value):
        raise bad_label(name, value, _CHECKS[name][1])


def _is_valid(name: str, text: str) -> bool:
    return name not in _CHECKS or _CHECKS[name][0](text)


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _is_flag(text: str) -> bool:
    return read_flag(text) is not None


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.IPv4Network(text)
    except ValueError:
        return False
    return "/" in text


def _is_list_of_cidrs(text: str) -> bool:
    return all(_is_cidr(word.strip()) for word in text.split(","))


_SIZE = (_is_size, "it has to be a whole number of GiB.")
_FLAG = (_is_flag, "it has to be true or false.")
_CHECKS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    BOOT_VOLUME_SIZE: _SIZE,
    ETCD_VOLUME_SIZE: _SIZE,
    FIXED_SUBNET_CIDR: (_is_cidr, "it has to be an IPv4 network such as 10.0.0.0/24."),
    MASTER_LB_FLOATING_IP: _FLAG,
    MASTER_LB_ALLOWED_CIDRS: (_is_list_of_cidrs, _CIDRS_RULE),
    OCTAVIA_LB_ALGORITHM: (_ALGORITHMS.__contains__, f"it has to be one of {', '.join(sorted(_ALGORITHMS))}."),
    OCTAVIA_LB_HEALTHCHECK: _FLAG,
}
