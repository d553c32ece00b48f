"""Turns what a user wants into bodies of requests, and these into commands of `openstack`.

Both come from the same body, so that `--show-api` prints what is sent. Pure. Neighbours: `create`, `changes`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jeroboam.cli.clusters.definition import ClusterDefinition, Labels, NodeGroupDefinition

VERSION_LABEL = "kube_tag"
_COPIED = frozenset(
    "coe image_id flavor_id master_flavor_id keypair_id external_network_id fixed_network fixed_subnet network_driver "
    "volume_driver dns_nameserver apiserver_port docker_volume_size docker_storage_driver cluster_distro http_proxy "
    "https_proxy no_proxy insecure_registry registry_enabled tls_disabled master_lb_enabled floating_ip_enabled "
    "server_type tags driver".split()
)
_CLUSTER_FLAGS = {
    "cluster_template_id": "--cluster-template",
    "master_count": "--master-count",
    "node_count": "--node-count",
    "flavor_id": "--flavor",
    "master_flavor_id": "--master-flavor",
    "labels": "--labels",
    "merge_labels": "--merge-labels",
    "master_lb_enabled": "--master-lb-enabled",
}
_GROUP_FLAGS = {
    "node_count": "--node-count",
    "min_node_count": "--min-nodes",
    "max_node_count": "--max-nodes",
    "flavor_id": "--flavor",
    "labels": "--labels",
    "merge_labels": "--merge-labels",
}
_TEMPLATE_FLAGS = {
    "coe": "--coe",
    "image_id": "--image",
    "external_network_id": "--external-network",
    "keypair_id": "--keypair",
    "fixed_network": "--fixed-network",
    "fixed_subnet": "--fixed-subnet",
    "network_driver": "--network-driver",
    "volume_driver": "--volume-driver",
    "driver": "--driver",
    "dns_nameserver": "--dns-nameserver",
    "flavor_id": "--flavor",
    "master_flavor_id": "--master-flavor",
    "docker_volume_size": "--docker-volume-size",
    "docker_storage_driver": "--docker-storage-driver",
    "http_proxy": "--http-proxy",
    "https_proxy": "--https-proxy",
    "no_proxy": "--no-proxy",
    "labels": "--labels",
    "tls_disabled": "--tls-disabled",
    "registry_enabled": "--registry-enabled",
    "insecure_registry": "--insecure-registry",
    "server_type": "--server-type",
    "master_lb_enabled": "--master-lb-enabled",
    "floating_ip_enabled": "--floating-ip-enabled",
    "tags": "--tags",
}


def build_cluster_request(definition: ClusterDefinition, template: str) -> dict[str, Any]:
    """Return the body that asks for the cluster. Labels are added to the template's."""
    labels = _format_labels(definition.labels)
    if definition.version:
        labels[VERSION_LABEL] = definition.version
    body = {
        "name": definition.name,
        "cluster_template_id": template,
        "master_count": definition.masters,
        "node_count": definition.workers,
        "flavor_id": definition.flavor,
        "master_flavor_id": definition.master_flavor,
        "labels": labels or None,
        "merge_labels": True if labels else None,
        # Several API servers need one address.
        "master_lb_enabled": True if definition.masters > 1 and definition.coe == "kubernetes" else None,
    }
    return _drop_absent(body)


def build_nodegroup_request(group: NodeGroupDefinition) -> dict[str, Any]:
    """Return the body that asks for the node group."""
    labels = _format_labels(group.labels)
    body = {
        "name": group.name,
        "node_count": group.nodes,
        "min_node_count": group.min_nodes,
        "max_node_count": group.max_nodes,
        "flavor_id": group.flavor,
        "labels": labels or None,
        "merge_labels": True if labels else None,
    }
    return _drop_absent(body)


def build_template_request(coe: str) -> dict[str, Any]:
    """Return the body for a template of that COE, where the user sees none."""
    return {
        "name": f"jeroboam-{coe}",
        "coe": coe,
        "image_id": f"{coe}-node",
        "external_network_id": "public",
        "flavor_id": "m1.small",
        "master_flavor_id": "m1.small",
    }


def build_version_template(template: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Return the body for a template as this one, with another version of Kubernetes."""
    base = str(template["name"]).removesuffix(f"-{template['labels'].get(VERSION_LABEL)}")
    body = {name: value for name, value in template.items() if name in _COPIED and value not in (None, "", False)}
    return body | {"name": f"{base}-{version}", "labels": template["labels"] | {VERSION_LABEL: version}}


def choose_template(templates: Iterable[Mapping[str, Any]], coe: str) -> Mapping[str, Any] | None:
    """Return the template for that COE: the one that is named so, else the first; None if there is none."""
    usable = [template for template in templates if template["coe"] == coe and not template["hidden"]]
    return min(usable, key=lambda template: (template["name"] != coe, template["created_at"] or ""), default=None)


def choose_version_template(
    templates: Iterable[Mapping[str, Any]], wish: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return a template that is as `wish` asks for; None if there is none."""
    fields = wish.keys() - {"driver", "cluster_distro"}
    matches = (template for template in templates if all(template.get(field) == wish[field] for field in fields))
    return next(matches, None)


def format_create_cluster(body: Mapping[str, Any]) -> list[str]:
    """Return the command that sends this body."""
    return ["coe", "cluster", "create", *_format_flags(body, _CLUSTER_FLAGS), body["name"]]


def format_create_nodegroup(cluster: str, body: Mapping[str, Any]) -> list[str]:
    """Return the command that sends this body."""
    return ["coe", "nodegroup", "create", *_format_flags(body, _GROUP_FLAGS), cluster, body["name"]]


def format_create_template(body: Mapping[str, Any]) -> list[str]:
    """Return the command that sends this body."""
    return ["coe", "cluster", "template", "create", *_format_flags(body, _TEMPLATE_FLAGS), body["name"]]


def _format_flags(body: Mapping[str, Any], flags: Mapping[str, str]) -> Sequence[str]:
    words: list[str] = []
    for field, flag in flags.items():
        value = body.get(field)
        if value is None or value is False:
            continue
        words.append(flag)
        if isinstance(value, Mapping):
            words.append(",".join(f"{key}={item}" for key, item in value.items()))
        elif value is not True:
            words.append(str(value))
    return words


def _format_labels(labels: Labels) -> dict[str, str]:
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in labels.items()}


def _drop_absent(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
