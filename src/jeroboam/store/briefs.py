"""Objects as far as lists show them: the names of the domain's dataclasses, fewer of them.

A list of a thousand clusters would otherwise decode a thousand templates, conditions and plans that nobody sees.
`Kind` takes these as it takes the dataclasses; whoever shows an object can show either. Structs, since they are made
in less time than dataclasses, and without the garbage collector's notice (they hold nothing that could hold them).
"""

import msgspec

from jeroboam.domain.clusters import Health


class SpecBrief(msgspec.Struct, frozen=True, gc=False):
    """Of a cluster's wish."""

    keypair: str | None = None
    docker_volume_size: int | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    master_flavor_id: str | None = None
    flavor_id: str | None = None
    create_timeout: int = 60


class ObservedBrief(msgspec.Struct, frozen=True, gc=False):
    """Of what the cluster loop last saw."""

    health_status: Health | None = None


class GroupSpecBrief(msgspec.Struct, frozen=True, gc=False):
    """Of a node group's wish."""

    role: str
    node_count: int


class NodeBrief(msgspec.Struct, frozen=True, gc=False):
    """Of a node that was seen."""

    address: str | None = None


class GroupBrief(msgspec.Struct, frozen=True, gc=False):
    """A node group as far as its cluster shows it."""

    cluster_id: str
    name: str
    spec: GroupSpecBrief
    observed: tuple[NodeBrief, ...]
    status: str
    status_reason: str | None


class ClusterBrief(msgspec.Struct, frozen=True, gc=False):
    """A cluster in short, with its size: how many masters and how many other nodes it wishes for."""

    uuid: str
    name: str
    template_id: str
    spec: SpecBrief
    observed: ObservedBrief
    status: str
    masters: int
    others: int
