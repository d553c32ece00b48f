"""Where a node's images come from besides what it brings along: containerd's word on each registry.

Neighbours: `boot`, which lays these files into every node; `options` and the COE, whose checks ask. containerd looks at
them at each pull. One that is insecure is asked over TLS without looking at its certificate, then in plain.
"""

import re
from collections.abc import Mapping

from jeroboam.coes.base import CoePlan
from jeroboam.coes.insecure_registries import HOST, check_insecure_registries, insecure_registries
from jeroboam.domain.clusters import TemplateSpec
from jeroboam.domain.errors import bad_label
from jeroboam.domain.nodes import NodeFile

MIRROR = "container_infra_prefix"
"""What stands before the names of images: a registry, and a folder in it, where those of public registries lie too."""
OWN = "localhost:5000"
"""What a registry of the cluster's own is called in names of images, inside and outside."""
OWN_PORT = 5000

# By the name that images have: where that registry answers.
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
    """Raise `Invalid` for registries whose names cannot be."""
    check_insecure_registries(template, networks=False)
    if (prefix := template.labels.get(MIRROR)) is not None and _PREFIX.fullmatch(prefix) is None:
        raise bad_label(
            MIRROR, prefix, "it has to be a registry, and a folder in it, such as registry.example.com/mirror/."
        )


def files(plan: CoePlan, registry: str) -> list[NodeFile]:
    """What a node is told of registries; `registry` is the address of the cluster's, where it has one."""
    insecure = insecure_registries(plan.template)
    hosts = {name: (f"http://{name}", [_asked(f"https://{name}", insecure=True)]) for name in insecure}
    if (prefix := plan.labels.get(MIRROR)) is not None:
        hosts |= _mirrored(prefix.rstrip("/"), insecure)
    if plan.template.registry_enabled:
        url = f"http://{registry}:{OWN_PORT}"
        hosts[OWN] = (url, [_asked(url, insecure=True)])
    return [
        NodeFile(
            path=f"{_FOLDER}/{name}/hosts.toml", content="\n".join([f'server = "{server}"', *host_blocks]).encode()
        )
        for name, (server, host_blocks) in hosts.items()
    ]


def _mirrored(prefix: str, insecure: list[str]) -> Mapping[str, tuple[str, list[str]]]:
    """Images of public registries are looked for there first."""
    host, slash, folder = prefix.partition("/")
    place = f"{host}/v2/{folder}" if slash else host
    ways = [("https", host in insecure)] + ([("http", True)] if host in insecure else [])
    host_blocks = [_asked(f"{scheme}://{place}", insecure=loose, has_path=bool(slash)) for scheme, loose in ways]
    return {name: (f"https://{home}", host_blocks) for name, home in _PUBLIC.items()}


def _asked(url: str, *, insecure: bool, has_path: bool = False) -> str:
    """A host to ask; `has_path`: the address has the folder in it, and the version of the protocol."""
    lines = [f'[host."{url}"]', 'capabilities = ["pull", "resolve"]']
    lines += ["skip_verify = true"] if insecure else []
    lines += ["override_path = true"] if has_path else []
    return "\n".join([*lines, ""])
