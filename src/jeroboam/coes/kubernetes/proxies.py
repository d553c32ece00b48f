"""The proxies that a template names, on the way of images to nodes: what containerd has in its environment.

Only containerd gets it, which fetches the images. Kubelets, etcd and kubeadm speak to the cluster itself, and that way
leads through no proxy. Neighbours: `boot`, which lays the file; the node image, whose entry reads it. (kube-proxy is
something else.)
"""

from jeroboam.coes.base import CoePlan
from jeroboam.coes.kubernetes.options import networks
from jeroboam.coes.proxies import environment
from jeroboam.domain.nodes import NodeFile

_PATH = "/etc/containerd/environment"
# Services by their names.
_OWN = (".svc", ".cluster.local")


def files(plan: CoePlan, registry: str) -> list[NodeFile]:
    """What containerd is told; nothing where there is no proxy. `registry` is the address of the cluster's own."""
    nets = networks(plan.labels)
    nodes = [member.address for member in plan.members] + ([plan.balancer] if plan.balancer else [])
    return environment(_PATH, plan.template, [*_OWN, *nodes, str(nets.pods), str(nets.services), registry])
