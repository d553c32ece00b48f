"""All that a user or a program may call a node by, and which node of a group that is.

Users name nodes by name or uuid. Programs take what they see elsewhere: the cluster autoscaler and the auto-healer of
Kubernetes send the SystemUUID of a machine, which is the node's uuid in capitals or without dashes, and for a node that
has not come up the index that Heat gives to a minion, which is the number in the node's name. Neighbours: the API,
which writes the wish with uuids; the conductor's plan, which knows wishes from before that.
"""

import re
from collections.abc import Iterable
from uuid import UUID, uuid5

from jeroboam.domain.clusters import Node, NodeGroup, NodeObserved

_SHORT_ID = 12
_BUILD_DIGITS = 16
_HEX_UUID = re.compile(r"[0-9a-f]{32}")


def node_index(node: Node) -> str:
    """The number in the node's name. No other node of its group ever has the same."""
    return node.name.rpartition("-")[2]


def node_idents(node: Node, observed: NodeObserved | None) -> frozenset[str]:
    """Everything that means this node within its group, in the form that `plain_ident` gives."""
    idents = {node.uuid, node.name, node_index(node)}
    if observed is not None:
        server = observed.server_id or ""
        idents |= {ident for ident in (observed.address, server, server[:_SHORT_ID]) if ident}
    return frozenset(plain_ident(ident) for ident in idents)


def plain_ident(ident: str) -> str:
    """The ident in small letters; a UUID without dashes."""
    small = ident.strip().lower()
    compact = small.replace("-", "")
    return compact if _HEX_UUID.fullmatch(compact) else small


def find_node(group: NodeGroup, ident: str) -> Node | None:
    """The node of the group that is meant, or None."""
    observed = {node.uuid: node for node in group.observed}
    plain = plain_ident(ident)
    for node in group.desired:
        node_observed = observed.get(node.uuid)
        if plain in node_idents(node, node_observed) or (
            node_observed is not None and _is_machine_id(plain, node_observed)
        ):
            return node
    return None


def machine_build(node_uuid: str, build: int) -> str:
    """The first half of the machine id that the kubelet of a node of that build reports."""
    return uuid5(UUID(node_uuid), str(build)).hex[:_BUILD_DIGITS]


def _is_machine_id(plain: str, observed: NodeObserved) -> bool:
    """Whether that is what the node's kubelet reports as its machine id: the auto-healer of Kubernetes reads that."""
    return _HEX_UUID.fullmatch(plain) is not None and plain.startswith(machine_build(observed.uuid, observed.build))


def leaving_nodes(group: NodeGroup) -> list[Node]:
    """Nodes that the group's wish names, and that are still planned."""
    uuids = set(group.spec.nodes_to_remove)
    return [node for node in group.desired if node.uuid in uuids]


def node_names(nodes: Iterable[Node]) -> str:
    """Their names, for a sentence."""
    return ", ".join(node.name for node in nodes)
