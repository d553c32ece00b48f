"""Applies other labels and flavours to a cluster and its groups, as a wish. Pure, except that it reads the query.

This is an extension: the published API changes only sizes and health in place. The nodes that need the change are
rebuilt in batches. Neighbours: `clusters.changes` and `nodegroups.changes` store the wish, `upgrades` moves a cluster
to another template.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jeroboam.api.call import Call
from jeroboam.api.container_infra.schema import MOST_NODES
from jeroboam.api.fields import integer
from jeroboam.domain.clusters import MASTER, Cluster, Health, NodeGroup, ReportedHealth, role_of
from jeroboam.domain.upgrades import rebase_labels, set_group_spec

BATCH = {"max_batch_size": integer(low=1, high=MOST_NODES)}
"""The query argument of a change that rebuilds nodes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterUpdate:
    """A cluster with its new wish, and those of its groups that change."""

    cluster: Cluster
    groups: tuple[NodeGroup, ...] = ()


def batch_of(call: Call) -> int | None:
    """How many nodes of a group may be away at once; None if the query does not say."""
    size: int | None = call.query.get("max_batch_size")
    return size


def build_update(
    cluster: Cluster,
    groups: Iterable[NodeGroup],
    wish: Mapping[str, Any],
    *,
    now: dt.datetime,
    roles: Collection[str] = (),
) -> ClusterUpdate:
    """The cluster with the wish's name, health, labels and flavours. `roles`: the roles whose nodes change.

    A health that differs from the one shown is a report from outside; what was observed stays.
    """
    spec, reported_health = cluster.spec, cluster.reported_health
    status = Health(wish["health_status"]) if wish.get("health_status") else None
    reason = wish.get("health_status_reason", {})
    if (status, reason) != (cluster.health.health_status, cluster.health.health_status_reason):
        reported_health = ReportedHealth(
            health_status=status,
            health_status_reason=reason,
            health_changes=cluster.observed.health_changes,
            reported_at=now,
        )
    after = replace(
        cluster,
        name=wish["name"],
        spec=replace(
            spec,
            labels=wish.get("labels", {}),
            flavor_id=wish.get("flavor_id", spec.template.flavor_id),
            master_flavor_id=wish.get("master_flavor_id", spec.template.master_flavor_id),
        ),
        reported_health=reported_health,
    )
    if after.spec == spec:
        return ClusterUpdate(cluster=after)
    new_groups = [_update_group(group, cluster, after, roles=roles) for group in groups]
    return ClusterUpdate(cluster=after, groups=tuple(group for group in new_groups if group is not None))


def _update_group(group: NodeGroup, before: Cluster, after: Cluster, *, roles: Collection[str]) -> NodeGroup | None:
    """The group after the cluster's change; None if it does not change."""
    old = group.spec
    labels = rebase_labels(old.labels, before.spec.labels, after.spec.labels, keep_own=True)
    spec = replace(old, labels=labels)
    if old.is_default:
        kind = "master_flavor_id" if old.role == MASTER else "flavor_id"
        if getattr(before.spec, kind) != getattr(after.spec, kind):
            spec = replace(spec, flavor_id=getattr(after.spec, kind))
    if spec == old:
        return None
    return set_group_spec(group, spec, force_rebuild=role_of(spec) in roles and labels != old.labels)
