"""Finding what a path or a body names: by uuid or by name, within what the caller may see."""

from collections.abc import Sequence
from typing import TypeVar

from jeroboam.api.call import Call
from jeroboam.domain.clusters import Cluster, NodeGroup, Template
from jeroboam.domain.errors import Conflict, NotFound
from jeroboam.store import Transaction

T = TypeVar("T")


def only(found: Sequence[T], ident: str, one: str, many: str) -> T:
    """The one that was found. Raises `NotFound` for none and `Conflict` for a name that several have."""
    if not found:
        raise NotFound(f"{one} {ident} could not be found.")
    if len(found) > 1:
        raise Conflict(f"Multiple {many} exist with same name. Please use the {one.lower()} uuid instead.")
    return found[0]


def project_scope(call: Call, all_projects: str) -> str | None:
    """The project that the caller is held to; None for one whom the rule lets see all of them."""
    return None if call.allows(all_projects) else call.caller.project_id


async def cluster_of(tx: Transaction, ident: str, project_id: str | None) -> Cluster:
    """The cluster that the caller means."""
    owner = {} if project_id is None else {"project_id": project_id}
    return only(await tx.clusters.find(ident, **owner), ident, "Cluster", "clusters")


async def template_of(tx: Transaction, call: Call, ident: str, *, everyones: bool) -> Template:
    """The template that the caller means, among the project's own and the public ones."""
    scope = None if everyones else call.caller.project_id
    found = await tx.templates.find_visible(ident, scope, hidden=everyones)
    return only(found, ident, "ClusterTemplate", "ClusterTemplates")


async def group_of(tx: Transaction, cluster: Cluster, ident: str) -> NodeGroup:
    """The node group of that cluster that the caller means."""
    return only(await tx.nodegroups.find(ident, cluster_id=cluster.uuid), ident, "Nodegroup", "nodegroups")
