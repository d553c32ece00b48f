"""Applies the operator's limits to a request: which limits hold for the project, and whether the wish is within them.

Most limits are checked before anything is stored. Limits on the number of nodes are checked in the transaction that
stores the wish, so parallel requests cannot exceed them together. Only growth is refused: a cluster that is older than
its limit may always shrink. Neighbours: `domain.limits` has the rules; the handlers of clusters, groups and templates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jeroboam.api.call import Call
from jeroboam.domain.clusters import Cluster, NodeGroup, Template, TemplateSpec, flavor_of
from jeroboam.domain.limits import Limit, LimitOwner, RequestedSize, build_requested_size, check_limits, select_limits
from jeroboam.store import Transaction, check_growth


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectLimits:
    """The limits of one project."""

    limits: tuple[Limit, ...] = ()

    def check(self, size: RequestedSize) -> None:
        """Raise `Forbidden` that names the limit, for a request beyond one."""
        check_limits(self.limits, size)

    def check_cluster(self, cluster: Cluster, groups: Sequence[NodeGroup], template: Template) -> None:
        """Raise `Forbidden` if the cluster may not be created."""
        self.check(build_requested_size(cluster, groups, template))

    def check_change(self, before: Cluster, after: Cluster, groups: Sequence[NodeGroup]) -> None:
        """Raise `Forbidden` if the cluster may not be changed so. Only what changes is checked."""
        was, spec = before.spec, after.spec
        has_new_flavor = (was.flavor_id, was.master_flavor_id) != (spec.flavor_id, spec.master_flavor_id)
        size = RequestedSize(
            cluster_name=after.name if after.name != before.name else None,
            flavors=[flavor_of(after, group) for group in groups] if has_new_flavor else (),
            labels=spec.labels if spec.labels != was.labels else None,
            labels_complete=True,
        )
        self.check(size)

    def check_upgrade(self, before: Cluster, after: Cluster, template: Template) -> None:
        """Raise `Forbidden` if the cluster may not be upgraded to that template."""
        self.check_change(before, after, ())
        spec = template.spec
        self.check(RequestedSize(template=(template.uuid, template.name), coe=spec.coe, provider=spec.driver))

    def check_template(self, spec: TemplateSpec) -> None:
        """Raise `Forbidden` if the template is not allowed. Fields that it leaves open are checked with the cluster."""
        flavors = [flavor for flavor in (spec.flavor_id, spec.master_flavor_id) if flavor is not None]
        self.check(RequestedSize(coe=spec.coe, provider=spec.driver, flavors=flavors, labels=spec.labels))

    def check_group(self, cluster: Cluster, group: NodeGroup, before: NodeGroup | None = None) -> None:
        """Raise `Forbidden` if the node group is not allowed. Only what differs from `before` is checked."""
        flavor = flavor_of(cluster, group)
        same_flavor = before is not None and flavor == flavor_of(cluster, before)
        same_labels = before is not None and group.spec.labels == before.spec.labels
        self.check(
            RequestedSize(flavors=() if same_flavor else (flavor,), labels=None if same_labels else group.spec.labels)
        )

    async def check_growth(
        self, tx: Transaction, project_id: str, growth: int, *, cluster_id: str | None = None
    ) -> None:
        """Raise `Forbidden` if the project may not have that many more nodes, in that cluster or in a new one."""
        await check_growth(tx, self.limits, growth, project_id=project_id, cluster_id=cluster_id)


async def bounds_for(call: Call, project_id: str) -> ProjectLimits:
    """The limits of the project. A caller from another project is held to the limits of this one.

    Raises `Unavailable` if the project has to be looked up and the identity service does not answer.
    """
    limits = call.parts.limits
    if not limits:
        return ProjectLimits()
    caller = call.caller
    owner: LimitOwner | None = LimitOwner(
        project_id=caller.project_id, project_name=caller.project_name, domain_id=caller.project_domain_id
    )
    if project_id != caller.project_id:
        owner = await call.parts.projects.describe(project_id)
    return ProjectLimits(limits=select_limits(limits, owner or LimitOwner(project_id=project_id)))
