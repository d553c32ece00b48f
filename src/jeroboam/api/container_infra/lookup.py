"""Lookups by uuid or name, within what the caller may see."""

from collections.abc import Sequence
from typing import Any, TypeVar

from jeroboam.api.call import Call
from jeroboam.domain.clusters import Cluster, NodeGroup, Template
from jeroboam.domain.errors import Conflict, Forbidden, NotFound
from jeroboam.store import ClusterSelector, Transaction

T = TypeVar("T")


def expect_one(matches: Sequence[T], ident: str, singular: str, plural: str) -> T:
    """The only match. Raises `NotFound` for none and `Conflict` for several."""
    if not matches:
        raise NotFound(f"{singular} {ident} could not be found.")
    if len(matches) > 1:
        raise Conflict(f"Multiple {plural} exist with same name, please use the {singular.lower()} uuid instead.")
    return matches[0]


def project_scope(call: Call, all_projects: str) -> str | None:
    """The project that the caller may see; None if the rule allows all projects."""
    return None if call.allows(all_projects) else call.caller.project_id


async def cluster_of(tx: Transaction, ident: str, project_id: str | None) -> Cluster:
    """The cluster with that uuid or name."""
    owner: ClusterSelector = {} if project_id is None else {"project_id": project_id}
    return expect_one(await tx.clusters.find(ident, owner), ident, "Cluster", "clusters")


async def template_of(tx: Transaction, call: Call, ident: str, *, sees_all: bool) -> Template:
    """The template with that uuid or name, among the project's own and the public ones."""
    scope = None if sees_all else call.caller.project_id
    matches = await tx.templates.find_visible(ident, scope, with_hidden=sees_all)
    return expect_one(matches, ident, "ClusterTemplate", "ClusterTemplates")


def template_scope(call: Call) -> dict[str, Any]:
    """The templates that the caller may use, as arguments of `find_visible`."""
    admin = call.allows("clustertemplate:get_one_all_projects")
    return {"project_id": None if admin else call.caller.project_id, "with_hidden": admin}


def select_usable(call: Call, matches: Sequence[Template], ident: str) -> Template | None:
    """The only match, or None. Raises `Forbidden` if it is hidden."""
    if not matches:
        return None
    template = expect_one(matches, ident, "ClusterTemplate", "ClusterTemplates")
    if template.hidden and not template_scope(call)["with_hidden"]:
        raise Forbidden(f"ClusterTemplate {ident} is hidden and can not be used to create a cluster.")
    return template


async def groups_of(tx: Transaction, cluster: Cluster) -> list[NodeGroup]:
    """The cluster's node groups, masters first."""
    return (await tx.nodegroups.groups_of(cluster.uuid))[cluster.uuid]


async def group_of(tx: Transaction, cluster: Cluster, ident: str) -> NodeGroup:
    """The cluster's node group with that uuid or name."""
    return expect_one(await tx.nodegroups.find(ident, {"cluster_id": cluster.uuid}), ident, "Nodegroup", "nodegroups")
