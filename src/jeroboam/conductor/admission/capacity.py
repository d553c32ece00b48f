"""Whether a cluster fits where it is to be made: its networks beside the host's, its nodes into what is left.

Asked before the wish is stored, of drivers that know; a cluster whose drivers do not is taken. Neighbours: `admission`.
"""

import math
from collections.abc import Sequence

from jeroboam.coes.base import Coe, HasRequirements
from jeroboam.domain.clusters import Cluster, NodeGroup, TemplateSpec, flavor_of, role_of
from jeroboam.domain.errors import Conflict, Invalid, Temporary
from jeroboam.domain.events import nodes as so_many
from jeroboam.providers.base import HasHostCapacity, HostCapacity, Provider


async def check_flavors(coe: Coe, provider: Provider, cluster: Cluster, groups: Sequence[NodeGroup]) -> None:
    """Raise `Invalid` for a flavour that no node of such a cluster comes up in."""
    if not isinstance(coe, HasRequirements):
        return
    for group in groups:
        flavor = await provider.catalog.flavor(flavor_of(cluster, group))
        least = coe.memory(role_of(group.spec))
        if flavor is not None and flavor.ram < least:
            text = (
                f"Flavor {flavor.name} has {flavor.ram} MiB of memory; a {role_of(group.spec)} of "
                f"{cluster.spec.template.coe} takes {least} MiB before it runs anything."
            )
            raise Invalid(text, field="flavor_id")


async def check_room(coe: Coe, provider: Provider, cluster: Cluster, groups: Sequence[NodeGroup]) -> None:
    """Raise `Conflict` where that many more nodes would not even start: memory or disk is used up."""
    if not isinstance(coe, HasRequirements) or (there := await _around(provider)) is None:
        return
    nodes = sum(group.spec.node_count for group in groups)
    who = f"{so_many(nodes)} of {cluster.spec.template.coe}"
    needed = sum(coe.memory(role_of(group.spec)) * group.spec.node_count for group in groups)
    if there.memory is not None and needed > there.memory:
        text = f"{who} would use {needed} MiB of memory before running anything"
        raise Conflict(f"{text}; the machine has {there.memory} MiB left.", field="node_count")
    disk = math.ceil(coe.disk * nodes)
    if there.disk is not None and disk > there.disk:
        text = f"{who} would use {disk} GiB of disk before running anything"
        raise Conflict(f"{text}; the Engine's disk has {there.disk:.1f} GiB left.", field="node_count")


async def check_networks(coe: Coe, provider: Provider, template: TemplateSpec) -> None:
    """Raise `Invalid` for a network inside the cluster that would hide one outside it."""
    if not isinstance(coe, HasRequirements) or (there := await _around(provider)) is None:
        return
    for label, network in coe.networks(template.labels).items():
        for taken, what in there.networks:
            if network.overlaps(taken):
                text = f"labels/{label} {network} overlaps {taken}, {what}: pods would not reach what is there."
                default = "" if label in template.labels else " This is the default: name another network."
                raise Invalid(f"{text}{default}", field=f"labels/{label}")


async def _around(provider: Provider) -> HostCapacity | None:
    """What is around; None where nobody knows, or nobody can be asked now."""
    if not isinstance(provider, HasHostCapacity):
        return None
    try:
        return await provider.surroundings()
    except Temporary:
        return None
