"""A cluster and its worker groups in the shapes of Heat's API, built from rows. Pure.

There is no Heat. The published cluster autoscaler and auto-healer read from a stack which server is which node, and the
state of each. A cluster is a stack with the cluster's uuid. Each worker group is a stack too: it lists its nodes as
members of the resource group `kube_minions`, by the number in the node's name. Neighbours: `routes` finds the rows;
`domain.nodeidents` uses the same numbers when a node is removed.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jeroboam.domain.clusters import MASTER, Cluster, Node, NodeGroup, NodeState, OperationOutcome
from jeroboam.domain.nodeidents import node_index

MINIONS = "kube_minions"
MASTERS = "kube_masters"
_GROUP_TYPE = "OS::Heat::ResourceGroup"
_SERVER_TYPE = "OS::Nova::Server"
_DEPLOYMENT_TYPE = "OS::Heat::SoftwareDeployment"
_UNKNOWN_SERVER = "kube-minion"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """The stack of a cluster; with `group`, of one of its groups; with `node` too, of one node."""

    cluster: Cluster
    groups: Sequence[NodeGroup] = ()
    """The groups that belong to the cluster's stack."""
    group: NodeGroup | None = None
    node: Node | None = None

    @property
    def id(self) -> str:
        if self.node is not None:
            return self.node.uuid
        return self.cluster.uuid if self.group is None else self.group.uuid

    @property
    def name(self) -> str:
        """A name that is one path segment, whatever the group is called."""
        if self.node is not None:
            return self.node.name
        return self.cluster.name if self.group is None else f"{self.cluster.name}-{self.group.uuid[:8]}"


def show_stack(stack: Stack, base: str) -> dict[str, Any]:
    """The stack. The stack of a group has `refs_map` among its outputs."""
    row: Cluster | NodeGroup = stack.cluster if stack.group is None else stack.group
    outputs = []
    if stack.group is not None:
        refs = {node_index(node): _server_of(stack.group, node) for node in stack.group.desired}
        outputs.append({"output_key": "refs_map", "output_value": refs, "description": "Servers by index."})
    return {
        "id": stack.id,
        "stack_name": stack.name,
        "stack_status": row.status,
        "stack_status_reason": row.status_reason or "",
        "stack_owner": None,
        "description": f"What Jeroboam shows of cluster {stack.cluster.name}.",
        "template_description": "",
        "creation_time": _moment(row.created_at),
        "updated_time": _moment(row.updated_at),
        "disable_rollback": True,
        "timeout_mins": None,
        "capabilities": [],
        "notification_topics": [],
        "parameters": {},
        "parent": None if stack.group is None else stack.cluster.uuid,
        "tags": [],
        "outputs": outputs,
        "links": [{"href": _path(stack, base), "rel": "self"}],
    }


def list_resources(stack: Stack, base: str, *, depth: int) -> list[dict[str, Any]]:
    """The stack's resources; with a depth, the resources of nested stacks too."""
    if stack.node is not None and stack.group is not None:
        return [_show_part(stack, name, kind, base) for name, kind in _PARTS]
    if stack.group is not None:
        return [show_minion(stack, node, base) for node in stack.group.desired]
    resources = [show_group(stack, group, base) for group in stack.groups]
    if depth:
        inner = [Stack(cluster=stack.cluster, group=group) for group in stack.groups]
        resources += [show_minion(part, node, base) for part in inner if part.group for node in part.group.desired]
    return resources


_PARTS = (("kube-minion", _SERVER_TYPE), ("node_config_deployment", _DEPLOYMENT_TYPE))


def find_resource(stack: Stack, ident: str, base: str) -> dict[str, Any] | None:
    """The resource with that name or physical id. A group's own stack is its `kube_minions` too."""
    if stack.group is not None and stack.node is None and ident == MINIONS:
        return show_group(stack, stack.group, base)
    return next(
        (
            resource
            for resource in list_resources(stack, base, depth=1)
            if ident in {resource["resource_name"], resource["physical_resource_id"]}
        ),
        None,
    )


def show_group(stack: Stack, group: NodeGroup, base: str) -> dict[str, Any]:
    """The resource group that holds the nodes of a group."""
    name = MASTERS if group.spec.role == MASTER else MINIONS
    nested_path = _path(Stack(cluster=stack.cluster, group=group), base)
    resource = _resource(stack, name, _GROUP_TYPE, group.uuid, group.status, group.status_reason or "", group, base)
    return resource | {"links": [*resource["links"], {"href": nested_path, "rel": "nested"}]}


def show_minion(stack: Stack, node: Node, base: str) -> dict[str, Any]:
    """A node as a member of its group."""
    assert stack.group is not None
    status, reason = _status_of(stack.cluster, stack.group, node)
    return _resource(stack, node_index(node), _SERVER_TYPE, node.uuid, status, reason, stack.group, base)


def _show_part(stack: Stack, name: str, kind: str, base: str) -> dict[str, Any]:
    assert stack.group is not None
    assert stack.node is not None
    status, reason = _status_of(stack.cluster, stack.group, stack.node)
    return _resource(stack, name, kind, stack.node.uuid, status, reason, stack.group, base)


def _status_of(cluster: Cluster, group: NodeGroup, node: Node) -> tuple[str, str]:
    """The node's status in Heat's terms, and the reason."""
    if group.deleting or node.uuid in group.spec.nodes_to_remove:
        return "DELETE_IN_PROGRESS", ""
    observed = next((member for member in group.observed if member.uuid == node.uuid), None)
    exists = observed is not None and observed.state in {NodeState.RUNNING, NodeState.STOPPED}
    if exists and observed is not None and (observed.ready or group.status.outcome is not OperationOutcome.IN_PROGRESS):
        return "CREATE_COMPLETE", ""
    if group.status.outcome is OperationOutcome.FAILED:
        return "CREATE_FAILED", cluster.status_reason or (observed.reason if observed else "")
    return "CREATE_IN_PROGRESS", observed.reason if observed is not None else ""


def _server_of(group: NodeGroup, node: Node) -> str:
    """The id of the node's server in `refs_map`, once the server exists."""
    has_server = any(member.uuid == node.uuid and member.server_id is not None for member in group.observed)
    return node.uuid if has_server else _UNKNOWN_SERVER


def _resource(
    stack: Stack, name: str, kind: str, physical: str, status: str, reason: str, row: NodeGroup, base: str
) -> dict[str, Any]:
    return {
        "resource_name": name,
        "logical_resource_id": name,
        "physical_resource_id": physical,
        "resource_type": kind,
        "resource_status": status,
        "resource_status_reason": reason,
        "required_by": [],
        "attributes": {},
        "creation_time": _moment(row.created_at),
        "updated_time": _moment(row.updated_at or row.created_at),
        "links": [
            {"href": f"{_path(stack, base)}/resources/{name}", "rel": "self"},
            {"href": _path(stack, base), "rel": "stack"},
        ],
    }


def _path(stack: Stack, base: str) -> str:
    return f"{base}/v1/{stack.cluster.project_id}/stacks/{stack.name}/{stack.id}"


def _moment(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
