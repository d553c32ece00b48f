"""What a change of template, labels or flavours means for a cluster's wish: pure functions from wish to wish.

A node group counts its builds. A change that affects nodes wishes for another build, and the loop makes the nodes of
the earlier build anew, in batches. A rollback wishes for the former builds, so only nodes that were made anew meanwhile
are made anew again. Neighbours: the API, which asks; the conductor, which rolls out and rolls back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from jeroboam.domain.clusters import Cluster, NodeGroup, NodeGroupSpec, PreviousSpec, Template


def rebase_labels(
    own_labels: Mapping[str, str], old: Mapping[str, str], new: Mapping[str, str], *, keep_own: bool
) -> dict[str, str]:
    """Return the labels of an object after the labels above it (template, cluster) change from `old` to `new`.

    A label that changes above changes here. A label that was different here stays so only with `keep_own`.
    """
    labels = dict(own_labels)
    for key in old.keys() | new.keys():
        if old.get(key) == new.get(key) or (keep_own and own_labels.get(key) != old.get(key)):
            continue
        if key in new:
            labels[key] = new[key]
        else:
            labels.pop(key, None)
    return labels


def set_template(cluster: Cluster, template: Template) -> Cluster:
    """Return the cluster with that template in the place of its own; sizes, flavours and networks stay."""
    labels = rebase_labels(cluster.spec.labels, cluster.spec.template.labels, template.spec.labels, keep_own=False)
    return replace(
        cluster, template_id=template.uuid, spec=replace(cluster.spec, template=template.spec, labels=labels)
    )


def set_group_spec(group: NodeGroup, spec: NodeGroupSpec, *, force_rebuild: bool) -> NodeGroup:
    """Return the group with that wish, and with another build if its image or its flavour differs.

    `force_rebuild`: something else that its nodes are made from differs, or they are to be made anew in any case.
    """
    old = group.spec
    if not force_rebuild and (spec.image_id, spec.flavor_id) == (old.image_id, old.flavor_id):
        return replace(group, spec=spec)
    number = old.builds + 1
    return replace(group, spec=replace(spec, build=number, builds=number))


def is_rolled_out(groups: Iterable[NodeGroup]) -> bool:
    """Whether every node of these groups was last observed to be of the build that is wished for."""
    return all(node.build == group.spec.build for group in groups for node in group.observed)


def build_previous_spec(cluster: Cluster, groups: Iterable[NodeGroup]) -> PreviousSpec:
    """Return what to go back to if a change of these groups fails."""
    spec = cluster.spec
    return PreviousSpec(
        template_id=cluster.template_id,
        template=spec.template,
        labels=spec.labels,
        master_flavor_id=spec.master_flavor_id,
        flavor_id=spec.flavor_id,
        groups={group.uuid: group.spec for group in groups},
    )


def restore_cluster(cluster: Cluster, former: PreviousSpec) -> Cluster:
    """Return the cluster with its former wish."""
    spec = replace(
        cluster.spec,
        template=former.template,
        labels=former.labels,
        master_flavor_id=former.master_flavor_id,
        flavor_id=former.flavor_id,
    )
    return replace(cluster, template_id=former.template_id, spec=spec)


def restore_group(group: NodeGroup, former: NodeGroupSpec) -> NodeGroup:
    """Return the group with its former wish; build numbers go on."""
    return replace(group, spec=replace(former, builds=group.spec.builds))
