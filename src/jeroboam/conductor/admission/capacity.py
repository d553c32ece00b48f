"""Checks whether a cluster fits: its networks beside those of the host, its nodes into the free memory and disk.

The check runs before the wish is stored. If the drivers do not know the capacity, the cluster is accepted. Neighbours:
`admission` and `conductor.clusters.scaling`, which call this.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from jeroboam.coes.base import Coe, HasRequirements
from jeroboam.conductor.clusters.plans import owner_of
from jeroboam.domain.clusters import Cluster, NodeGroup, TemplateSpec, flavor_of, role_of
from jeroboam.domain.errors import Conflict, Invalid, Temporary
from jeroboam.domain.events import count_nodes_in_words
from jeroboam.providers.base import HasHostCapacity, HostCapacity, Provider


async def check_flavors(coe: Coe, provider: Provider, cluster: Cluster, groups: Sequence[NodeGroup]) -> None:
    """Raise `Invalid` for a flavour that is too small for a node of this COE."""
    if not isinstance(coe, HasRequirements):
        return
    catalog = provider.catalog(owner_of(cluster))
    for group in groups:
        flavor = await catalog.flavor(flavor_of(cluster, group))
        min_memory = coe.memory(role_of(group.spec))
        if flavor is not None and flavor.ram < min_memory:
            text = (
                f"Flavor {flavor.name} has {flavor.ram} MiB of memory; a {role_of(group.spec)} of "
                f"{cluster.spec.template.coe} takes {min_memory} MiB before it runs anything."
            )
            raise Invalid(text, field="flavor_id")


async def check_room(coe: Coe, provider: Provider, cluster: Cluster, groups: Sequence[NodeGroup]) -> None:
    """Raise `Conflict` if there is not enough memory or disk for all nodes of these groups."""
    if not isinstance(coe, HasRequirements) or (capacity := await _read_host_capacity(provider)) is None:
        return
    nodes = sum(group.spec.node_count for group in groups)
    nodes_text = f"{count_nodes_in_words(nodes)} of {cluster.spec.template.coe}"
    memory = sum(coe.memory(role_of(group.spec)) * group.spec.node_count for group in groups)
    if capacity.memory is not None and memory > capacity.memory:
        text = f"{nodes_text} would use {memory} MiB of memory before running anything"
        raise Conflict(f"{text}; the machine has {capacity.memory} MiB left.", field="node_count")
    disk = math.ceil(coe.disk * nodes)
    if capacity.disk is not None and disk > capacity.disk:
        text = f"{nodes_text} would use {disk} GiB of disk before running anything"
        raise Conflict(f"{text}; the Engine's disk has {capacity.disk:.1f} GiB left.", field="node_count")


async def check_room_to_grow(
    coe: Coe, provider: Provider, cluster: Cluster, group: NodeGroup, added_nodes: int
) -> None:
    """Raise `Conflict` if there is not enough memory or disk for that many more nodes of the group."""
    added_group = replace(group, spec=replace(group.spec, node_count=added_nodes))
    await check_room(coe, provider, cluster, [added_group])


async def check_networks(coe: Coe, provider: Provider, template: TemplateSpec) -> None:
    """Raise `Invalid` for a network inside the cluster that hides a network outside it."""
    if not isinstance(coe, HasRequirements) or (capacity := await _read_host_capacity(provider)) is None:
        return
    for label, network in coe.networks(template.labels).items():
        for host_network, use in capacity.networks:
            if network.overlaps(host_network):
                text = f"labels/{label} {network} overlaps {host_network}, {use}: pods would not reach what is there."
                default = "" if label in template.labels else " This is the default: name another network."
                raise Invalid(f"{text}{default}", field=f"labels/{label}")


async def _read_host_capacity(provider: Provider) -> HostCapacity | None:
    """Return the capacity of the host; None if the provider does not know it or cannot be asked now."""
    if not isinstance(provider, HasHostCapacity):
        return None
    try:
        return await provider.observe_capacity()
    except Temporary:
        return None
