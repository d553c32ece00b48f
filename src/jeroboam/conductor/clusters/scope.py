"""What the steps that change a standing cluster work with: its rows, its drivers, and what is there.

Neighbours: the cluster loop, which makes one a pass; `rollout` and `rotation`, which take their steps on it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from jeroboam.coes.base import Coe, CoePlan, SupportsLoadBalancer
from jeroboam.conductor.clusters.plans import as_built, balancer_of
from jeroboam.conductor.clusters.progress import PassProgress
from jeroboam.conductor.clusters.records import ClusterState
from jeroboam.domain.nodes import NodeScript
from jeroboam.providers.base import DesiredInfra, ObservedInfra, Provider
from jeroboam.store import Lease


@dataclass(frozen=True, kw_only=True, slots=True)
class Requeue:
    """Not done yet: why, and in how many seconds to go on."""

    reason: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterScope:
    """One cluster in one pass."""

    lease: Lease
    state: ClusterState
    provider: Provider
    coe: Coe
    desired_infra: DesiredInfra
    infra: ObservedInfra
    """What the provider last saw."""
    plan: CoePlan
    """The nodes as they are, and the authorities to speak to them with."""
    boot: CoePlan
    """The nodes as they are to be, and the authorities that they are to have."""
    settle: Callable[[CoePlan], Awaitable[object]]
    """Waits until every node works in the cluster; raises `Temporary` where that takes too long."""
    progress: PassProgress

    def seeing(self, infra: ObservedInfra) -> "ClusterScope":
        """The same with a newer look at what is there."""
        return replace(self, infra=infra, plan=as_built(self.plan, infra))

    def script(self, node_uuid: str) -> NodeScript:
        """How that node boots; the load balancer is one."""
        if node_uuid == balancer_of(self.plan.cluster_id) and isinstance(self.coe, SupportsLoadBalancer):
            return self.coe.balancer(self.boot)
        return next(self.coe.script(self.boot, member) for member in self.boot.members if member.uuid == node_uuid)
