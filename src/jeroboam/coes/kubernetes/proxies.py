"""The proxies of a template, through which nodes pull images: the environment of containerd.

Only containerd gets it, because it pulls the images. Kubelets, etcd and kubeadm talk to the cluster itself, which needs
no proxy. Neighbours: `node_script`, which writes the file; the node image, whose entry reads it. (kube-proxy is
something else.)
"""

from jeroboam.coes.base import CoePlan
from jeroboam.coes.kubernetes.options import read_networks
from jeroboam.coes.proxies import build_environment_files
from jeroboam.domain.nodes import NodeFile

_PATH = "/etc/containerd/environment"
# Services by their names.
_OWN = (".svc", ".cluster.local")


def build_files(plan: CoePlan, registry: str) -> list[NodeFile]:
    """Return containerd's environment file; empty without a proxy. `registry` is the cluster's own registry."""
    nets = read_networks(plan.labels)
    nodes = [member.address for member in plan.members] + ([plan.balancer] if plan.balancer else [])
    return build_environment_files(_PATH, plan.template, [*_OWN, *nodes, str(nets.pods), str(nets.services), registry])
