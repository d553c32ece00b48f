"""Plans which nodes a group should have: a pure function of its wish and of its nodes.

A node name is never used again, so nothing that outlives a removed node can be taken for a new node's.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from jeroboam.domain.clusters import (
    DEFAULT_MASTERS,
    DEFAULT_WORKERS,
    MASTER,
    WORKER,
    Cluster,
    Node,
    NodeGroup,
    NodeState,
)
from jeroboam.domain.nodeidents import list_leaving_nodes, node_idents, normalise_ident

_NAMED_BY_ROLE = frozenset({DEFAULT_MASTERS, DEFAULT_WORKERS})
_PART = re.compile(r"[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?")


def plan_nodes(cluster: Cluster, group: NodeGroup, new_uuid: Callable[[], str]) -> NodeGroup:
    """Return the group with as many desired nodes as it wishes for; none if it is being deleted.

    The nodes that the wish names go in any case. If the group does not shrink by as many, new nodes take their places.
    If more nodes have to go, those that do not work go first, then the youngest.
    """
    count = 0 if group.deleting else group.spec.node_count
    leaving_uuids = {node.uuid for node in list_leaving_nodes(group)}
    nodes, index = [node for node in group.desired if node.uuid not in leaving_uuids], group.next_index
    remaining_group = replace(group, desired=tuple(nodes))
    if len(nodes) > count:
        surplus_uuids = set(_choose_surplus(remaining_group, len(nodes) - count))
        nodes = [node for node in nodes if node.uuid not in surplus_uuids]
    while len(nodes) < count:
        nodes.append(Node(uuid=new_uuid(), name=_build_node_name(cluster, group, index)))
        index += 1
    if tuple(nodes) == group.desired:
        return group
    return replace(group, desired=tuple(nodes), next_index=index)


def _build_node_name(cluster: Cluster, group: NodeGroup, index: int) -> str:
    """Return `<cluster>-<start of its uuid>-<group or role>-<number>`: at most 63 characters, as a host name."""
    tail = f"-{cluster.uuid[:8]}-{_build_name_part(group)}-{index}"
    head = cluster.name.lower().replace("_", "-").replace(".", "-")[: 63 - len(tail)]
    return head.rstrip("-") + tail


def _build_name_part(group: NodeGroup) -> str:
    """Return the part of a node name that stands for the group; no other group of the cluster has the same.

    A group name that is no valid host name, or that is the name of a role, gets the start of the group's uuid.
    """
    if group.name in _NAMED_BY_ROLE:
        return group.spec.role
    if _PART.fullmatch(group.name) and group.name not in {MASTER, WORKER}:
        return group.name
    fit = re.sub(r"[^a-z0-9]+", "-", group.name.lower())[:15].strip("-") or "group"
    return f"{fit}-{group.uuid[:8]}"


def _choose_surplus(group: NodeGroup, count: int) -> list[str]:
    """Return the uuids of the nodes that go if so many have to."""
    observed = {node.uuid: node for node in group.observed}
    # A wish that an earlier version of the service wrote holds the words of the user.
    idents = {normalise_ident(ident) for ident in group.spec.nodes_to_remove}

    def order(place: int) -> tuple[bool, bool, int]:
        node = group.desired[place]
        node_observed = observed.get(node.uuid)
        is_named = bool(idents & node_idents(node, node_observed))
        works = node_observed is not None and node_observed.ready and node_observed.state is NodeState.RUNNING
        # The first master holds the cluster's address: it goes last.
        return (not is_named, works, -place)

    places = sorted(range(len(group.desired)), key=order)
    return [group.desired[place].uuid for place in places[:count]]
