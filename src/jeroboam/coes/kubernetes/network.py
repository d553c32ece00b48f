"""The network between pods: flannel, or one that users install themselves (`network_driver: none`).

Without a network no node is ready, and users cannot install one before the cluster exists. So for such a cluster a node
counts as ready when its kubelet reports no other problem. Ranges of pods' addresses are assigned by us alone, under the
cluster's lease: no controller of the cluster does that. Neighbours: the COE, which calls; `node_script`, which writes
the files; `node_ops`, which reads the nodes.
"""

from collections.abc import Sequence

from jeroboam.coes.base import CoePlan
from jeroboam.coes.kubernetes.node_ops import KubernetesNode
from jeroboam.coes.kubernetes.options import ClusterNetworks, read_networks
from jeroboam.domain.clusters import TemplateSpec
from jeroboam.domain.conditions import Condition
from jeroboam.domain.errors import Invalid
from jeroboam.domain.nodes import NodeFile

OWN = "none"
FLANNEL = "flannel"

# By default a node has a network for its own pods until another one is installed. Here it waits for that one.
_CONTAINERD = b"""\
version = 3
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/opt/cni/bin"]
conf_dir = "/etc/cni/net.d"
conf_template = ""
"""
# The kubelet's message when only the network is missing.
_MISSING = "container runtime network not ready"


def network_driver(template: TemplateSpec) -> str:
    """Return the network driver of the cluster."""
    return template.network_driver or FLANNEL


def check_change(old: TemplateSpec, new: TemplateSpec) -> None:
    """Raise `Invalid` for a change of the driver."""
    if network_driver(old) != network_driver(new):
        raise Invalid("network_driver cannot be changed: pods have their addresses already.", field="network_driver")


def build_files(plan: CoePlan) -> list[NodeFile]:
    """Return the files that configure the network on a node."""
    if network_driver(plan.template) == OWN:
        return [NodeFile(path="/etc/containerd/conf.d/network.toml", content=_CONTAINERD)]
    nets = read_networks(plan.labels)
    # `node.sh` replaces @NFTABLES@ when flannel starts.
    text = (
        f'{{"Network": "{nets.pods}", "SubnetLen": {nets.node_bits}, "EnableNFTables": @NFTABLES@, '
        f'"Backend": {{"Type": "{nets.backend}"}}}}\n'
    )
    return [NodeFile(path="/etc/kubernetes/flannel.json", content=text.encode())]


def choose_pod_ranges(nets: ClusterNetworks, nodes: Sequence[KubernetesNode]) -> dict[str, str]:
    """Return pod ranges for nodes without one, by name, as long as there are free ones. Only one caller at a time."""
    used_ranges = {node.pods for node in nodes}
    free = (str(subnet) for subnet in nets.pods.subnets(new_prefix=nets.node_bits) if str(subnet) not in used_ranges)
    return dict(zip((node.name for node in nodes if not node.pods), free, strict=False))


def find_node_problem(plan: CoePlan, node: KubernetesNode) -> str:
    """Return why a node is not ready; empty when it is."""
    if network_driver(plan.template) == OWN:
        return "" if node.ready or node.reason.startswith(_MISSING) else node.reason
    if not node.ready:
        return node.reason
    return "" if node.has_pod_network else "the network of its pods is not up yet"


def build_conditions(plan: CoePlan, nodes: Sequence[KubernetesNode]) -> tuple[Condition, ...]:
    """Return the conditions of the cluster's network, for its users."""
    if network_driver(plan.template) != OWN:
        text = "flannel enforces no NetworkPolicy: policies are stored and have no effect."
        return (Condition(type="NetworkPolicies", status=False, reason="NotEnforced", message=text),)
    unready = [node.name for node in nodes if not node.ready and node.reason.startswith(_MISSING)]
    if not unready:
        return (Condition(type="PodNetwork", status=True),)
    text = f"network_driver is none: {len(unready)} of {len(nodes)} nodes run no pods until a network (CNI) is applied."
    return (Condition(type="PodNetwork", status=False, reason="NoneYet", message=text),)
