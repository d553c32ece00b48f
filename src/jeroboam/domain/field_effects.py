"""The effect of each field of a request, by driver: the source of checks, conditions and a page of the docs.

A field is carried out, or it is refused before anything is stored, or it is accepted and named as without effect. No
field is shown as set and silently ignored. Here are the rules of providers and COEs; what the service itself carries
out, the row of the field in the API says. Neighbours: admission and the COEs, which call `check_fields`; the container
API, which does the same; the cluster loop, which stores `check_effects`; the tables of fields in the API. A test checks
that every field of a request has an effect.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from jeroboam.domain import infra_labels
from jeroboam.domain.clusters import Cluster, ClusterSpec, TemplateSpec
from jeroboam.domain.conditions import Condition
from jeroboam.domain.errors import BadValue

SERVICE = "service"
"""The driver of what the service does itself."""
LOCAL, SWARM, KUBERNETES, DOCKER = "local", "swarm", "kubernetes", "docker"
COES = (SWARM, KUBERNETES)

Values = tuple[object, ...] | None
"""Some values of a field; None means every value."""


class FieldEffect(StrEnum):
    """The effect of a value."""

    CARRIED_OUT = "carried out"
    WITHOUT_EFFECT = "without effect"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldRule:
    """What one driver does with one field."""

    carries: Values = ()
    """The values that it carries out."""
    ignores: Values = ()
    """Of the others, those that it accepts without effect. It refuses all the rest."""
    note: str = ""
    """How it carries the field out, or why it does not; half a sentence."""

    def effect_of(self, value: object) -> FieldEffect:
        """Return the effect of that value. None and empty values ask for nothing."""
        if value is None or value in ((), {}, "") or self.carries is None or value in self.carries:
            return FieldEffect.CARRIED_OUT
        if self.ignores is None or value in self.ignores:
            return FieldEffect.WITHOUT_EFFECT
        return FieldEffect.REFUSED

    @property
    def value_names(self) -> list[str]:
        """The accepted values, if they are words."""
        return [value for value in (*(self.carries or ()), *(self.ignores or ())) if isinstance(value, str)]


def carry_out(note: str = "", *, values: Values = None, ignores: Values = ()) -> FieldRule:
    return FieldRule(carries=values, ignores=ignores, note=note)


def ignore(note: str, *, values: Values = None, carries: Values = ()) -> FieldRule:
    return FieldRule(carries=carries, ignores=values, note=note)


def refuse(note: str, *, carries: Values = ()) -> FieldRule:
    return FieldRule(carries=carries, note=note)


Rules = Mapping[str, FieldRule]
"""The rules of one field, by driver."""
FieldTable = Mapping[str, Rules]


def service(note: str = "") -> Rules:
    return {SERVICE: carry_out(note)}


def _coes(swarm: FieldRule, kubernetes: FieldRule) -> Rules:
    return {SWARM: swarm, KUBERNETES: kubernetes}


_KEYPAIR: Rules = {LOCAL: ignore("nodes are containers, and nobody logs in to them")}
_FIXED_NETWORK: Rules = {LOCAL: refuse("every cluster gets a network of its own")}
_FIXED_SUBNET: Rules = {LOCAL: refuse("every cluster gets a network of its own, with a subnet that is free")}
_FLOATING_IP: Rules = {LOCAL: ignore("there are none: clusters answer at the addresses of their masters")}
_VOLUME_SIZE: Rules = {LOCAL: ignore("the disks of nodes share the disk of the Engine")}
_FLAVOR: Rules = {LOCAL: carry_out("cores and memory are limits of the node; its disk is not limited")}
_MASTER_LB = _coes(
    ignore("clients name one manager, and each of them answers", carries=(False,)),
    carry_out("a load balancer in front of the masters"),
)
_DISCOVERY_URL = _coes(
    ignore("masters find each other without a discovery service"),
    ignore("masters find each other without a discovery service"),
)
_LABELS = _coes(
    carry_out("those that a Swarm knows; the condition LabelsHonoured names the others"),
    carry_out("those that docs/kubernetes.md lists; the condition LabelsHonoured names the others"),
)
_PROXY = _coes(
    carry_out("the Engine of each node uses it to pull images"),
    carry_out("containerd of each node uses it to pull images"),
)

TEMPLATES: FieldTable = {
    "labels": _LABELS,
    "image_id": {LOCAL: carry_out("a node image that the Engine has or that can be built")},
    "flavor_id": _FLAVOR,
    "master_flavor_id": _FLAVOR,
    "keypair_id": _KEYPAIR,
    "external_network_id": {LOCAL: carry_out("`public`: the way out of this machine")},
    "fixed_network": _FIXED_NETWORK,
    "fixed_subnet": _FIXED_SUBNET,
    "floating_ip_enabled": _FLOATING_IP,
    "server_type": {LOCAL: refuse("nodes are containers of this machine", carries=("vm",))},
    "docker_volume_size": _VOLUME_SIZE,
    "docker_storage_driver": _coes(
        carry_out(
            "Engines have no `devicemapper` any more and choose for themselves; `overlay` is read as `overlay2`",
            values=("overlay2", "overlay", "fuse-overlayfs", "btrfs", "zfs", "vfs"),
            ignores=("devicemapper",),
        ),
        FieldRule(
            carries=("overlay2", "overlay"),
            ignores=("fuse-overlayfs", "btrfs", "zfs", "vfs", "devicemapper"),
            note="nodes run containerd, which keeps images in overlayfs",
        ),
    ),
    "network_driver": _coes(
        carry_out("users make overlay networks in either", values=("docker", "overlay")),
        carry_out("`none` leaves the network to its users", values=("flannel", "none")),
    ),
    "volume_driver": _coes(
        ignore("there is no volume service to take volumes from", values=("rexray",)),
        ignore("there is no Cinder; volumes of class local-path lie on the nodes", values=("cinder",)),
    ),
    "dns_nameserver": _coes(
        carry_out("the Engine of each node asks it for its containers"),
        ignore("pods ask CoreDNS, which asks the resolver of the node"),
    ),
    "apiserver_port": _coes(carry_out(), carry_out()),
    "http_proxy": _PROXY,
    "https_proxy": _PROXY,
    "no_proxy": _PROXY,
    "insecure_registry": _coes(carry_out(), carry_out()),
    "registry_enabled": _coes(
        refuse("it has no registry of its own", carries=(False,)), carry_out("a registry inside the cluster")
    ),
    "tls_disabled": _coes(
        refuse("its API would give root on every node to anyone", carries=(False,)),
        refuse("its API would give everything on every node to anyone", carries=(False,)),
    ),
    "master_lb_enabled": _MASTER_LB,
}
CLUSTERS: FieldTable = {
    "labels": _LABELS,
    "flavor_id": _FLAVOR,
    "master_flavor_id": _FLAVOR,
    "keypair": _KEYPAIR,
    "docker_volume_size": _VOLUME_SIZE,
    "discovery_url": _DISCOVERY_URL,
    "fixed_network": _FIXED_NETWORK,
    "fixed_subnet": _FIXED_SUBNET,
    "floating_ip_enabled": _FLOATING_IP,
    "master_lb_enabled": _MASTER_LB,
}
NODE_GROUPS: FieldTable = {
    "labels": _LABELS,
    "image_id": TEMPLATES["image_id"],
    "flavor_id": _FLAVOR,
    "docker_volume_size": _VOLUME_SIZE,
    "node_labels": _coes(carry_out("labels of Swarm nodes"), carry_out()),
    "node_taints": _coes(
        ignore("Swarm has no taints; the condition TaintsHonoured says so"), carry_out("taints of nodes")
    ),
}
_NO_ZONE = "all nodes are on one machine"
_NO_VOLUMES = "there is no volume service; the disks of nodes share the disk of the Engine"
_NO_OCTAVIA = "the load balancer is a container of this machine"
INFRA_LABELS: FieldTable = {
    infra_labels.AVAILABILITY_ZONE: {LOCAL: ignore(_NO_ZONE)},
    infra_labels.BOOT_VOLUME_SIZE: {LOCAL: ignore(_NO_VOLUMES)},
    infra_labels.BOOT_VOLUME_TYPE: {LOCAL: ignore(_NO_VOLUMES)},
    infra_labels.DOCKER_VOLUME_TYPE: {LOCAL: ignore(_NO_VOLUMES)},
    infra_labels.ETCD_VOLUME_SIZE: {LOCAL: ignore(_NO_VOLUMES)},
    infra_labels.ETCD_VOLUME_TYPE: {LOCAL: ignore(_NO_VOLUMES)},
    infra_labels.FIXED_SUBNET_CIDR: {LOCAL: ignore("every cluster gets a subnet that is free")},
    infra_labels.MASTER_LB_FLOATING_IP: {LOCAL: ignore("there are no floating addresses")},
    infra_labels.MASTER_LB_ALLOWED_CIDRS: {LOCAL: ignore(_NO_OCTAVIA)},
    infra_labels.OCTAVIA_PROVIDER: {LOCAL: ignore(_NO_OCTAVIA)},
    infra_labels.OCTAVIA_LB_ALGORITHM: {LOCAL: ignore(_NO_OCTAVIA)},
    infra_labels.OCTAVIA_LB_HEALTHCHECK: {LOCAL: ignore(_NO_OCTAVIA)},
}
"""The labels that providers read. The condition `LabelsHonoured` names those without effect."""


def docker(note: str = "", *, values: Values = None) -> Rules:
    return {DOCKER: carry_out(note, values=values)}


def check_fields(table: FieldTable, values: Mapping[str, Any], *drivers: str) -> None:
    """Raise `Invalid` for the first value that one of these drivers refuses; the text has the reason."""
    for name, value, driver, rule in _list_rules(table, values, drivers):
        if rule.effect_of(value) is FieldEffect.REFUSED:
            takes = f"takes {', '.join(rule.value_names)} only" if rule.value_names else "cannot do it"
            # If some words have no effect, the note is about them.
            reason = f"{driver} {takes}." if rule.ignores or not rule.note else f"{driver} {takes}: {rule.note}."
            raise BadValue(name, value, reason)


def is_ignored(table: FieldTable, name: str, value: object, *drivers: str) -> bool:
    """Whether one of these drivers accepts that value without effect."""
    rules = _list_rules(table, {name: value}, drivers)
    return any(rule.effect_of(value) is FieldEffect.WITHOUT_EFFECT for _name, _value, _driver, rule in rules)


def list_infra_labels(driver: str | None) -> frozenset[str]:
    """Return the labels that this provider carries out; a provider without a rule carries a label out."""
    if driver is None:
        return frozenset()
    return frozenset(name for name, rules in INFRA_LABELS.items() if driver not in rules)


def check_effects(cluster: Cluster) -> Condition:
    """Return the condition whether every field that users set has an effect; the message names the others."""
    spec = cluster.spec
    drivers = (spec.template.coe, spec.template.driver or "")
    template_fields = {name: value for name, value in _list_changed(spec.template).items() if name not in _OVERRIDDEN}
    cluster_fields = _list_changed(spec)
    rules = [*_list_rules(TEMPLATES, template_fields, drivers), *_list_rules(CLUSTERS, cluster_fields, drivers)]
    notes = {
        name: f"{name} ({rule.note})"
        for name, value, _driver, rule in rules
        if rule.effect_of(value) is FieldEffect.WITHOUT_EFFECT
    }
    if not notes:
        return Condition(type="FieldsHonoured", status=True)
    text = f"These fields have no effect here: {'; '.join(notes[name] for name in sorted(notes))}."
    return Condition(type="FieldsHonoured", status=False, reason="NoEffect", message=text)


# Fields that a cluster has itself; its template's value is the default.
_OVERRIDDEN = frozenset({"keypair_id", *CLUSTERS})


def _list_changed(spec: TemplateSpec | ClusterSpec) -> dict[str, Any]:
    """Return the fields whose values are not the defaults."""
    template_defaults = TemplateSpec(coe="", image_id="")
    defaults: TemplateSpec | ClusterSpec = (
        template_defaults if isinstance(spec, TemplateSpec) else ClusterSpec(template=template_defaults)
    )
    values = {field.name: getattr(spec, field.name) for field in fields(spec)}
    return {name: value for name, value in values.items() if value != getattr(defaults, name)}


def _list_rules(
    table: FieldTable, values: Mapping[str, Any], drivers: tuple[str, ...]
) -> Iterator[tuple[str, Any, str, FieldRule]]:
    for name, value in values.items():
        for driver, rule in table.get(name, {}).items():
            if driver in drivers:
                yield name, value, driver, rule
