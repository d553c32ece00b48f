"""The scope of one pass over a cluster that stands: its rows, its drivers and its observed infrastructure.

Neighbours: the cluster loop, which makes one for each pass; `rollout`, `rotation`, `healing` and `scaling`, which take
their steps on it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from jeroboam.coes.base import Coe, CoePlan, SupportsLoadBalancer
from jeroboam.conductor.clusters.plans import balancer_uuid_of, build_current_plan
from jeroboam.conductor.clusters.progress import PassProgress
from jeroboam.conductor.clusters.records import ClusterState
from jeroboam.domain.nodes import NodeScript
from jeroboam.providers.base import DesiredInfra, ObservedInfra, Provider
from jeroboam.store import Lease


@dataclass(frozen=True, kw_only=True, slots=True)
class Requeue:
    """The pass is not done: the reason, and in how many seconds to go on."""

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
    """What the provider last observed."""
    plan: CoePlan
    """The nodes as they are, and the authorities to connect to them with."""
    boot: CoePlan
    """The nodes as they should be, and the authorities that they should have."""
    settle: Callable[[CoePlan], Awaitable[object]]
    """Waits until every node works in the cluster; raises `Temporary` if that takes too long."""
    progress: PassProgress

    def with_infra(self, infra: ObservedInfra) -> "ClusterScope":
        """Return the same scope with a newer observation."""
        return replace(self, infra=infra, plan=build_current_plan(self.plan, infra, self.provider))

    def build_script(self, node_uuid: str) -> NodeScript:
        """Return the boot script of that node, or of the load balancer."""
        if node_uuid == balancer_uuid_of(self.plan.cluster_id) and isinstance(self.coe, SupportsLoadBalancer):
            return self.coe.build_balancer_script(self.boot)
        return next(
            self.coe.build_script(self.boot, member) for member in self.boot.members if member.uuid == node_uuid
        )
