"""The network between pods: flannel, or one that the cluster's users bring (`network_driver: none`).

Without one no node is ready, and nobody can bring one before there is a cluster: so what counts for a node of such a
cluster is whatever else its kubelet says. Neighbours: the COE, which asks; `boot`, which lays the file; `fleet`, whose
nodes these are.
"""

from collections.abc import Sequence

from jeroboam.coes.base import CoePlan
from jeroboam.coes.kubernetes.node_ops import KubernetesNode
from jeroboam.coes.kubernetes.options import ClusterNetworks, networks
from jeroboam.domain.clusters import TemplateSpec
from jeroboam.domain.conditions import Condition
from jeroboam.domain.errors import Invalid
from jeroboam.domain.nodes import NodeFile

OWN = "none"
FLANNEL = "flannel"

# A node has a network between its own pods until another comes; here it is to wait for that.
_CONTAINERD = b"""\
version = 3
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/opt/cni/bin"]
conf_dir = "/etc/cni/net.d"
conf_template = ""
"""
# What the kubelet says where this is all that is missing.
_MISSING = "container runtime network not ready"


def driver(template: TemplateSpec) -> str:
    """Which network such a cluster has."""
    return template.network_driver or FLANNEL


def check_change(old: TemplateSpec, new: TemplateSpec) -> None:
    """Raise `Invalid` for another driver."""
    if driver(old) != driver(new):
        raise Invalid("network_driver cannot be changed: pods have their addresses already.", field="network_driver")


def files(plan: CoePlan) -> list[NodeFile]:
    """What a node has besides."""
    if driver(plan.template) == OWN:
        return [NodeFile(path="/etc/containerd/conf.d/network.toml", content=_CONTAINERD)]
    nets = networks(plan.labels)
    # What its tables are is filled in where it starts.
    text = (
        f'{{"Network": "{nets.pods}", "SubnetLen": {nets.node_bits}, "EnableNFTables": @NFTABLES@, '
        f'"Backend": {{"Type": "{nets.backend}"}}}}\n'
    )
    return [NodeFile(path="/etc/kubernetes/flannel.json", content=text.encode())]


def ranges(nets: ClusterNetworks, nodes: Sequence[KubernetesNode]) -> dict[str, str]:
    """Addresses of pods for nodes that have none, by name, as far as they reach. Who asks has to be the only one."""
    used_ranges = {node.pods for node in nodes}
    free = (str(subnet) for subnet in nets.pods.subnets(new_prefix=nets.node_bits) if str(subnet) not in used_ranges)
    return dict(zip((node.name for node in nodes if not node.pods), free, strict=False))


def lacks(plan: CoePlan, node: KubernetesNode) -> str:
    """Why a node is not as it should be; empty when it is."""
    if driver(plan.template) == OWN:
        return "" if node.ready or node.reason.startswith(_MISSING) else node.reason
    if not node.ready:
        return node.reason
    return "" if node.networked else "the network of its pods is not up yet"


def conditions(plan: CoePlan, nodes: Sequence[KubernetesNode]) -> tuple[Condition, ...]:
    """What users of the cluster have to know of its network."""
    if driver(plan.template) != OWN:
        text = "flannel enforces no NetworkPolicy: policies are stored and have no effect."
        return (Condition(type="NetworkPolicies", status=False, reason="NotEnforced", message=text),)
    unready = [node.name for node in nodes if not node.ready and node.reason.startswith(_MISSING)]
    if not unready:
        return (Condition(type="PodNetwork", status=True),)
    text = f"network_driver is none: {len(unready)} of {len(nodes)} nodes run no pods until a network (CNI) is applied."
    return (Condition(type="PodNetwork", status=False, reason="NoneYet", message=text),)
