"""The versions of Kubernetes with a node image, and the programs of each: the content of versions.toml.

Neighbours: the package's `build`, which builds the images.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from jeroboam.nodeimages.programs import Program

# The files of each of the node's programs; small programs first, so that problems of a machine show early.
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
    """A version of Kubernetes with all its components."""

    name: str
    """As users write it, such as `v1.36.3`."""
    components: Mapping[str, str]
    """The version of each program in `OUTPUTS`."""

    @property
    def programs(self) -> tuple[Program, ...]:
        """The programs in the order in which they are built."""
        return tuple(
            Program(name=name, version=self.components[name], outputs=outputs) for name, outputs in OUTPUTS.items()
        )


def list_versions() -> Mapping[str, Version]:
    """Return all versions, the newest first."""
    data = tomllib.loads((files(__package__) / "versions.toml").read_text())
    return {name: Version(name=name, components=components) for name, components in data.items()}


def find_version(name: str | None) -> Version:
    """Return that version (None: the newest). Raises `ValueError` with the existing ones for an unknown version."""
    known_versions = list_versions()
    if name is None:
        return next(iter(known_versions.values()))
    match = known_versions.get(name if name.startswith("v") else f"v{name}")
    if match is None:
        raise ValueError(f"there is no node image for Kubernetes {name}; there is: {', '.join(known_versions)}")
    return match
