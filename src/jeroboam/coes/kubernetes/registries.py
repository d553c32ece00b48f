"""The registries from which a node pulls images: containerd's `hosts.toml` for each registry.

containerd reads these files at each pull. An insecure registry is asked over TLS without checking its certificate, then
over plain HTTP. Neighbours: `node_script`, which writes the files into every node; `options` and the COE, whose checks
use this.
"""

import re
from collections.abc import Mapping

from jeroboam.coes.base import CoePlan
from jeroboam.coes.insecure_registries import HOST, check_insecure_registries, list_insecure_registries
from jeroboam.domain.clusters import TemplateSpec
from jeroboam.domain.errors import bad_label
from jeroboam.domain.nodes import NodeFile

MIRROR = "container_infra_prefix"
"""The label with a mirror of public registries: a registry, and a folder in it."""
OWN = "localhost:5000"
"""The cluster's own registry in names of images, inside and outside of the cluster."""
OWN_PORT = 5000

# The address of each public registry, by its name in names of images.
_PUBLIC = {
    "docker.io": "registry-1.docker.io",
    "registry.k8s.io": "registry.k8s.io",
    "quay.io": "quay.io",
    "ghcr.io": "ghcr.io",
    "gcr.io": "gcr.io",
}
_PREFIX = re.compile(rf"{HOST}(/[a-z0-9][a-z0-9._-]*)*/?", re.ASCII)
_FOLDER = "/etc/containerd/certs.d"


def check(template: TemplateSpec) -> None:
    """Raise `Invalid` for malformed registry names."""
    check_insecure_registries(template, networks=False)
    if (prefix := template.labels.get(MIRROR)) is not None and _PREFIX.fullmatch(prefix) is None:
        raise bad_label(
            MIRROR, prefix, "it has to be a registry, and a folder in it, such as registry.example.com/mirror/."
        )


def build_files(plan: CoePlan, registry: str) -> list[NodeFile]:
    """Return the registry files of a node; `registry` is the address of the cluster's own registry, if it has one."""
    insecure = list_insecure_registries(plan.template)
    hosts = {name: (f"http://{name}", [_host_block(f"https://{name}", insecure=True)]) for name in insecure}
    if (prefix := plan.labels.get(MIRROR)) is not None:
        hosts |= _mirror_hosts(prefix.rstrip("/"), insecure)
    if plan.template.registry_enabled:
        url = f"http://{registry}:{OWN_PORT}"
        hosts[OWN] = (url, [_host_block(url, insecure=True)])
    return [
        NodeFile(
            path=f"{_FOLDER}/{name}/hosts.toml", content="\n".join([f'server = "{server}"', *host_blocks]).encode()
        )
        for name, (server, host_blocks) in hosts.items()
    ]


def _mirror_hosts(prefix: str, insecure: list[str]) -> Mapping[str, tuple[str, list[str]]]:
    """Return the hosts of public registries, with the mirror first."""
    host, slash, folder = prefix.partition("/")
    place = f"{host}/v2/{folder}" if slash else host
    schemes = [("https", host in insecure)] + ([("http", True)] if host in insecure else [])
    host_blocks = [
        _host_block(f"{scheme}://{place}", insecure=loose, has_path=bool(slash)) for scheme, loose in schemes
    ]
    return {name: (f"https://{home}", host_blocks) for name, home in _PUBLIC.items()}


def _host_block(url: str, *, insecure: bool, has_path: bool = False) -> str:
    """Return the block of one host; `has_path`: its address contains the API version and the folder."""
    lines = [f'[host."{url}"]', 'capabilities = ["pull", "resolve"]']
    lines += ["skip_verify = true"] if insecure else []
    lines += ["override_path = true"] if has_path else []
    return "\n".join([*lines, ""])
