"""Objects with the fields that lists show: the field names of the domain's dataclasses, fewer of them.

Without these, a list of a thousand clusters would decode a thousand templates, conditions and plans that nobody sees.
`RowKind` reads these as it reads the dataclasses, and the code that shows an object accepts both. They are structs,
since a struct is made faster than a dataclass and can stay out of garbage collection (it holds no cycle).
"""

import msgspec

from jeroboam.domain.clusters import ClusterStatus, Health, select_health


class SpecBrief(msgspec.Struct, frozen=True, gc=False):
    """The part of a cluster's wish that lists show."""

    keypair: str | None = None
    docker_volume_size: int | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    master_flavor_id: str | None = None
    flavor_id: str | None = None
    create_timeout: int = 60


class HealthBrief(msgspec.Struct, frozen=True, gc=False):
    """The part of a cluster's observation, or of a report from outside, that lists show."""

    health_status: Health | None = None
    health_changes: int = 0


class GroupSpecBrief(msgspec.Struct, frozen=True, gc=False):
    """The part of a node group's wish that its cluster shows."""

    role: str
    node_count: int


class NodeBrief(msgspec.Struct, frozen=True, gc=False):
    """The part of an observed node that its cluster shows."""

    address: str | None = None


class GroupBrief(msgspec.Struct, frozen=True, gc=False):
    """The part of a node group that its cluster shows."""

    cluster_id: str
    name: str
    spec: GroupSpecBrief
    observed: tuple[NodeBrief, ...]
    status: ClusterStatus
    status_reason: str | None


class ClusterBrief(msgspec.Struct, frozen=True, gc=False):
    """A cluster in short, with its size: the numbers of masters and of other nodes that it wishes for."""

    uuid: str
    name: str
    template_id: str
    spec: SpecBrief
    observed: HealthBrief
    reported_health: HealthBrief | None
    status: str
    masters: int
    workers: int

    @property
    def health(self) -> HealthBrief:
        """The part that has the public health."""
        return select_health(self.observed, self.reported_health)
