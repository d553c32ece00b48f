"""Which Kubernetes there are node images for, and which programs that takes: `versions.toml`, read.

Neighbours: the package beside it, which builds them.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from jeroboam.nodeimages.programs import Program

# What each of the node's programs leaves; small ones first, so that what is wrong with a machine shows early.
OUTPUTS = {
    "runc": ("runc",),
    "cni": ("bridge", "loopback", "ptp", "host-local", "portmap"),
    "containerd": ("containerd", "ctr", "containerd-shim-runc-v2"),
    "etcd": ("etcd", "etcdctl"),
    "coredns": ("coredns",),
    "flannel": ("flanneld",),
    "registry": ("registry",),
    "local_path": ("local-path-provisioner",),
    "metrics_server": ("metrics-server",),
    "kube": (
        "kubeadm",
        "kubelet",
        "kubectl",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A Kubernetes with all that goes with it."""

    name: str
    """As users write it: `v1.36.3`."""
    components: Mapping[str, str]
    """The version of each program in `OUTPUTS`."""

    @property
    def programs(self) -> tuple[Program, ...]:
        """In the order in which they are made."""
        return tuple(
            Program(name=name, version=self.components[name], outputs=outputs) for name, outputs in OUTPUTS.items()
        )


def versions() -> Mapping[str, Version]:
    """Those that there are, the newest first."""
    data = tomllib.loads((files(__package__) / "versions.toml").read_text())
    return {name: Version(name=name, components=components) for name, components in data.items()}


def version(name: str | None) -> Version:
    """That version (None: the newest). Raises `ValueError` with those that there are."""
    known_versions = versions()
    if name is None:
        return next(iter(known_versions.values()))
    match = known_versions.get(name if name.startswith("v") else f"v{name}")
    if match is None:
        raise ValueError(f"there is no node image for Kubernetes {name}; there is: {', '.join(known_versions)}")
    return match
