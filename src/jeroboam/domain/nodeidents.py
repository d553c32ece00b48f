"""The idents by which users and programs name a node, and the lookup of a node in its group.

Users name nodes by name or uuid. The cluster autoscaler and the auto-healer of Kubernetes send the SystemUUID of a
machine. That is the node's uuid in capitals or without dashes. For a node that has not come up they send the index that
Heat gives to a minion, which is the number in the node's name. Neighbours: the API, which writes wishes with uuids;
`conductor.clusters.nodegroups`, which also reads wishes of earlier versions.
"""

import re
from collections.abc import Iterable
from uuid import UUID, uuid5

from jeroboam.domain.clusters import Node, NodeGroup, NodeObserved

_SHORT_ID = 12
_BUILD_DIGITS = 16
_HEX_UUID = re.compile(r"[0-9a-f]{32}")


def node_index(node: Node) -> str:
    """Return the number in the node's name. No other node of its group ever has the same."""
    return node.name.rpartition("-")[2]


def node_idents(node: Node, observed: NodeObserved | None) -> frozenset[str]:
    """Return all idents of this node within its group, in the form of `normalise_ident`."""
    idents = {node.uuid, node.name, node_index(node)}
    if observed is not None:
        server = observed.server_id or ""
        addresses = (observed.address, observed.floating_address)
        idents |= {ident for ident in (*addresses, server, server[:_SHORT_ID]) if ident}
    return frozenset(normalise_ident(ident) for ident in idents)


def normalise_ident(ident: str) -> str:
    """Return the ident in lower case; a UUID without dashes."""
    small = ident.strip().lower()
    compact = small.replace("-", "")
    return compact if _HEX_UUID.fullmatch(compact) else small


def find_node(group: NodeGroup, ident: str) -> Node | None:
    """Return the node of the group with that ident, or None."""
    observed = {node.uuid: node for node in group.observed}
    plain = normalise_ident(ident)
    for node in group.desired:
        node_observed = observed.get(node.uuid)
        if plain in node_idents(node, node_observed) or (
            node_observed is not None and _is_machine_id(plain, node_observed)
        ):
            return node
    return None


def machine_build(node_uuid: str, build: int) -> str:
    """Return the first half of the machine id that the kubelet of a node of that build reports."""
    return uuid5(UUID(node_uuid), str(build)).hex[:_BUILD_DIGITS]


def _is_machine_id(plain: str, observed: NodeObserved) -> bool:
    """Whether that is the machine id that the node's kubelet reports. The auto-healer of Kubernetes sends it."""
    return _HEX_UUID.fullmatch(plain) is not None and plain.startswith(machine_build(observed.uuid, observed.build))


def list_leaving_nodes(group: NodeGroup) -> list[Node]:
    """Return the nodes that the group's wish removes and that are still planned."""
    uuids = set(group.spec.nodes_to_remove)
    return [node for node in group.desired if node.uuid in uuids]


def format_node_names(nodes: Iterable[Node]) -> str:
    """Return the names of the nodes, for a sentence."""
    return ", ".join(node.name for node in nodes)
