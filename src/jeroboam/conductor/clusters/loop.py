"""The cluster loop: brings a cluster's nodes and its COE to what its user wished.

Create, resize, repair and the check of a steady cluster are the same phases in the same order. Each phase asks the real
thing and does only what is missing, so a pass can start again from any point. What must not be done twice is decided by
asking the provider and the COE, never by a note. The provider makes nodes, the COE makes
them a cluster, and this module decides what a failure means. Neighbours: `records` (reads and writes), `plans` (from
rows to drivers and back), `rollout`, `rotation`, `healing` and `scaling` (the steps on a cluster that stands).
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

import structlog

from jeroboam.coes.base import Coe, CoeObserved, CoePlan, MemberState, SupportsEarlyJoin
from jeroboam.conductor.clusters import nodegroups, plans, rollout
from jeroboam.conductor.clusters.diagnosis import NodeDiagnoses
from jeroboam.conductor.clusters.healing import AutoHealer
from jeroboam.conductor.clusters.pass_events import PassEvents
from jeroboam.conductor.clusters.progress import PassProgress, list_names
from jeroboam.conductor.clusters.records import ClusterRecords, ClusterState, LeaseLost
from jeroboam.conductor.clusters.rotation import (
    CertificateRotation,
    list_ended_kinds,
    list_given_authorities,
    list_trusted_authorities,
)
from jeroboam.conductor.clusters.scaling import AutoScaler
from jeroboam.conductor.clusters.scope import ClusterScope
from jeroboam.conductor.loop import report
from jeroboam.conductor.passes import PassFailure, run_pass
from jeroboam.domain import states
from jeroboam.domain.clusters import Cluster, ClusterStatus, NodeGroup, NodeState, Operation, OperationOutcome
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.domain.ports import Sealer
from jeroboam.kit.attempts import Attempts, RetryPolicy
from jeroboam.kit.clock import Clock
from jeroboam.kit.ids import Ids
from jeroboam.kit.tasks import Tasks
from jeroboam.providers.base import DesiredInfra, ObservedInfra, Provider
from jeroboam.store import Lease, Store, StoreUnavailable

RETRY = RetryPolicy(first_seconds=0.5, longest_seconds=10.0)
GLANCE_SECONDS = 0.5
# A delete that passed its deadline shows as failed, and goes on: a delete always ends.
DELETE_RETRY = 60.0
# After so many looks at nodes that are not ready, or at a cluster that does not answer, waiting longer does not help.
PATIENT_ATTEMPTS = 3

log = structlog.get_logger("jeroboam.conductor.clusters.loop")


class _MembersNotReady(Temporary):
    """Members that are not ready yet."""

    def __init__(self, plan: CoePlan, coe_observed: CoeObserved, late: Iterable[MemberState]) -> None:
        names = {member.uuid: member.name for member in plan.members}
        super().__init__("; ".join(f"{names[member.uuid]}: {member.reason or 'not ready'}" for member in late))
        self.uuids = [member.uuid for member in late]
        self.coe_observed = coe_observed


@dataclass(frozen=True, kw_only=True, slots=True)
class Drivers:
    """The drivers for clusters, by name."""

    providers: Mapping[str, Provider]
    coes: Mapping[str, Coe]


class ClusterReconciler:
    """The reconciler of clusters."""

    topic = "cluster"

    def __init__(
        self,
        *,
        store: Store,
        drivers: Drivers,
        sealer: Sealer,
        clock: Clock,
        ids: Ids,
        check_seconds: float,
        overlap_seconds: float,
        heal_after_seconds: float,
        operation_minutes: int,
        scaler: AutoScaler | None = None,
    ) -> None:
        self._records = ClusterRecords(store, ids, operation_minutes=operation_minutes)
        self._scaler = scaler
        self._healing = AutoHealer(records=self._records, clock=clock, after_seconds=heal_after_seconds)
        self._rotation = CertificateRotation(
            records=self._records, sealer=sealer, clock=clock, overlap_seconds=overlap_seconds
        )
        self._drivers = drivers
        self._clock = clock
        self._ids = ids
        self._check_seconds = check_seconds
        self._attempts = Attempts(RETRY)
        self._diagnoses = NodeDiagnoses()
        self._notes: dict[str, PassEvents] = {}
        self.list_uuids = self._records.list_uuids
        self.generation = self._records.generation

    async def reconcile(self, lease: Lease) -> float | None:
        """Carry the wish out, or come as near to it as is possible now."""
        state = await self._records.load(lease.uuid)
        if state is None:
            self._forget(lease.uuid)
            return None
        cluster, progress = state.cluster, PassProgress(self._clock, self._notes.setdefault(lease.uuid, PassEvents()))
        background = Tasks(report)
        if states.is_in_progress(cluster):
            background.start(f"slow {cluster.uuid}", self._report_slow_steps(lease, progress))
        # A delete that passed its deadline has no other.
        deadline = None if cluster.status is ClusterStatus.DELETE_FAILED else cluster.deadline_at

        def describe_end() -> str:
            # A pass that had no time knows nothing new: the reason of the pass before it stands.
            before = None if progress.is_slow() else cluster.status_reason
            return before or progress.describe_end()

        work = self._carry_out(lease, state, progress)
        try:
            result = await run_pass(self._clock, deadline, work, describe_end=describe_end)
            return await self._handle_failure(lease, cluster, result) if isinstance(result, PassFailure) else result
        except LeaseLost:
            return None
        finally:
            await background.close()
            await self._write_last_events(lease, progress)

    async def _carry_out(self, lease: Lease, state: ClusterState, progress: PassProgress) -> float | None:
        if state.cluster.operation is Operation.DELETE:
            progress.begin("removing the cluster")
            await self._destroy(lease, state.cluster)
            return None
        if states.outcome_of(state.cluster) is OperationOutcome.FAILED:
            return await self._observe_failed(lease, state)
        return await self._build(lease, state, progress)

    async def _write_events(self, lease: Lease, progress: PassProgress) -> None:
        await progress.notes.write(partial(self._records.write_events, lease))

    async def _write_last_events(self, lease: Lease, progress: PassProgress) -> None:
        """Write the events that remain at the end of a pass; those that cannot be stored now stay for the next one."""
        try:
            await self._write_events(lease, progress)
        except Exception as error:  # noqa: BLE001  (it must not replace the result of the pass)
            report(f"events of cluster {lease.uuid}", error)
        if progress.notes.is_empty():
            self._notes.pop(lease.uuid, None)

    def _forget(self, uuid: str) -> None:
        """Drop what is kept in memory for that cluster."""
        self._attempts.forget(uuid)
        self._diagnoses.forget(uuid)
        self._notes.pop(uuid, None)

    async def _report_slow_steps(self, lease: Lease, progress: PassProgress) -> None:
        """While a step takes long, write what it waits for, so that the user reads it."""
        last_wait, step = "", ""
        while True:
            await self._clock.sleep(GLANCE_SECONDS)
            try:
                await self._write_events(lease, progress)
                if progress.is_slow() and (wait := progress.describe_wait()) != last_wait:
                    # What a step waits for changes every second: one event for each step is enough.
                    await self._records.write_wait(lease, wait, with_event=progress.step != step)
                    last_wait, step = wait, progress.step
            except StoreUnavailable as error:
                report(f"what cluster {lease.uuid} waits for", error)

    # ------------------------------------------------------------------------------------------------- failures

    async def _handle_failure(self, lease: Lease, cluster: Cluster, failure: PassFailure) -> float | None:
        """Write the reason. Return when to try again."""
        if not states.is_in_progress(cluster) and cluster.status is not ClusterStatus.DELETE_FAILED:
            # A cluster that stopped answering keeps its status, and shows its health.
            await self._records.save(lease, plans.build_silent(cluster, failure.reason))
            return self._check_seconds
        if not failure.is_final:
            log.warning("cluster waits", cluster=cluster.uuid, reason=failure.reason)
            await self._records.save(lease, cluster.observed, waiting_for=failure.reason)
            return self._attempts.add_failure(cluster.uuid, failure.reason, generation=cluster.generation)
        self._attempts.forget(cluster.uuid)
        self._diagnoses.forget(cluster.uuid)
        if cluster.spec.former and await self._records.roll_back(lease, cluster.generation):
            log.warning("cluster goes back", cluster=cluster.uuid, reason=failure.reason)
            return 0.0
        log.warning("cluster failed", cluster=cluster.uuid, reason=failure.reason)
        observed = replace(cluster.observed, failure=failure.final_reason, failed_generation=cluster.generation)
        await self._records.save(lease, observed, waiting_for=failure.reason)
        return DELETE_RETRY if cluster.operation is Operation.DELETE else self._check_seconds

    # --------------------------------------------------------------------------------------------------- phases

    async def _build(self, lease: Lease, state: ClusterState, progress: PassProgress) -> float | None:
        cluster = state.cluster
        provider, coe = self._find_drivers(cluster)
        authorities = await self._rotation.ensure_authorities(lease, state, coe.authorities)
        groups = await self._plan(lease, state)
        desired_infra = plans.build_desired_infra(cluster, groups, coe)
        progress.begin("looking for the cluster's nodes")
        infra = await provider.observe(cluster.uuid)
        progress.notes.compare_troubles(infra.troubles)
        complete = not _list_missing(desired_infra, infra)
        progress.begin("making the cluster's network")
        addresses = plans.addresses_of(infra) if complete else await provider.reserve(desired_infra)
        plan = plans.build_plan(cluster, groups, addresses, list_trusted_authorities(authorities), provider)
        scope = ClusterScope(
            lease=lease,
            state=state,
            provider=provider,
            coe=coe,
            desired_infra=desired_infra,
            infra=infra,
            plan=plans.build_current_plan(plan, infra, provider),
            boot=replace(plan, authorities=list_given_authorities(authorities)),
            settle=partial(self._join, coe, progress, steady=False),
            progress=progress,
        )
        if not complete:
            progress.begin(f"making {list_names(_list_missing(desired_infra, infra))}")
            scope = scope.with_infra(await self._create_nodes(scope))
        return await self._converge(scope, progress, steady=complete and not states.is_in_progress(cluster))

    async def _converge(self, scope: ClusterScope, progress: PassProgress, *, steady: bool) -> float | None:
        """Join the nodes to the cluster, and take one step of what else is due: roll-out, rotation, scaling."""
        cluster, infra = scope.state.cluster, scope.infra
        progress.begin(f"joining the nodes to the cluster{self._diagnoses.describe(cluster.uuid)}")
        try:
            coe_observed = await self._join(scope.coe, progress, scope.plan, steady=steady)
        except Temporary as error:
            pause = await rollout.rebuild_unusable(scope, self._list_unusable(scope, error))
            if pause is None and steady and isinstance(error, _MembersNotReady):
                return await self._handle_unready_nodes(scope, error.coe_observed)
            if pause is None:
                raise await self._diagnoses.explain(scope, error, self._list_unready(scope, error)) from error
            await self._records.save(scope.lease, cluster.observed, nodes=infra.nodes, waiting_for=pause.reason)
            return pause.seconds
        desired_uuids = {node.uuid for node in scope.desired_infra.nodes}
        if extra := [node.uuid for node in infra.nodes if node.uuid not in desired_uuids]:
            extra_names = [node.name for node in infra.nodes if node.uuid in extra]
            progress.begin(f"removing {list_names(extra_names)}")
            await scope.provider.remove(cluster.uuid, extra)
        progress.begin("rebuilding nodes")
        pause = await rollout.advance(scope)
        await self._write_events(scope.lease, progress)
        if pause is None:
            progress.begin("rotating the certificate authority")
            pause = await self._rotation.advance(scope)
        if pause is None and coe_observed.due:
            progress.begin("renewing certificates of nodes")
            await self._rotation.refresh(scope, coe_observed.due)
        self._attempts.forget(cluster.uuid)
        self._diagnoses.forget(cluster.uuid)
        nodes = plans.merge_nodes(infra, coe_observed)
        if pause is not None:
            await self._records.save(scope.lease, cluster.observed, nodes=nodes, waiting_for=pause.reason)
            return pause.seconds
        observed = plans.build_observed(cluster, infra, coe_observed)
        if steady and self._scaler is not None:
            progress.begin("asking the cluster for its workload")
            observed, nodes = await self._scaler.advance(scope, observed, nodes)
        await self._records.save(
            scope.lease, observed, nodes=nodes, ended_kinds=list_ended_kinds(scope.state.certificates)
        )
        return self._check_seconds

    async def _handle_unready_nodes(self, scope: ClusterScope, coe_observed: CoeObserved) -> float:
        """Show that nodes of a healthy cluster stopped working. Heal one if its users asked for that."""
        cluster, nodes = scope.state.cluster, plans.merge_nodes(scope.infra, coe_observed)
        await self._records.save(scope.lease, plans.build_unhealthy(cluster, scope.infra, coe_observed), nodes=nodes)
        is_healing = await self._healing.advance(scope)
        return RETRY.first_seconds if is_healing else self._check_seconds

    def _list_unusable(self, scope: ClusterScope, error: Temporary) -> Collection[str]:
        """Return the uuids of members that have not been usable for long.

        If nobody in the cluster answers, that is one of its masters.
        """
        cluster = scope.state.cluster
        if self._attempts.count_failures(cluster.uuid, generation=cluster.generation) < PATIENT_ATTEMPTS:
            return ()
        return self._list_unready(scope, error)[: None if isinstance(error, _MembersNotReady) else 1]

    def _list_unready(self, scope: ClusterScope, error: Temporary) -> list[str]:
        """Return the uuids of members that are waited for; if nobody in the cluster answers, of its masters."""
        return error.uuids if isinstance(error, _MembersNotReady) else [member.uuid for member in scope.plan.masters]

    def _find_drivers(self, cluster: Cluster) -> tuple[Provider, Coe]:
        template = cluster.spec.template
        try:
            return self._drivers.providers[template.driver or ""], self._drivers.coes[template.coe]
        except KeyError as error:
            raise Permanent(f"this service has no driver {error} any more") from error

    async def _plan(self, lease: Lease, state: ClusterState) -> tuple[NodeGroup, ...]:
        groups = tuple(nodegroups.plan_nodes(state.cluster, group, self._ids.uuid) for group in state.groups)
        changed_groups = [group for group, before in zip(groups, state.groups, strict=True) if group != before]
        if changed_groups:
            await self._records.save_plan(lease, changed_groups)
        return groups

    async def _create_nodes(self, scope: ClusterScope) -> ObservedInfra:
        """Make the missing nodes. Each new node is saved at once, so that users see it and a crash forgets nothing."""
        cluster, desired_infra = scope.state.cluster, scope.desired_infra
        if await rollout.rebuild_stopped(scope):
            scope = scope.with_infra(await scope.provider.observe(cluster.uuid))
        infra = scope.infra
        scripts = {node.uuid: scope.build_script(node.uuid) for node in desired_infra.nodes}
        masters = {member.uuid for member in scope.plan.masters}
        # A failure of the early join shows when all nodes are up and join.
        early_joins = Tasks(lambda *_: None)
        has_started_join = False
        try:
            async with aclosing(scope.provider.ensure(desired_infra, scripts)) as steps:
                async for infra in steps:
                    scope.progress.notes.compare_troubles(infra.troubles)
                    up = {node.uuid for node in infra.nodes if node.state is NodeState.RUNNING}
                    if len(up) < len(desired_infra.nodes):
                        progress = f"{len(up)} of {len(desired_infra.nodes)} nodes are up"
                        await self._records.save(scope.lease, cluster.observed, nodes=infra.nodes, waiting_for=progress)
                        if not has_started_join and masters <= up and isinstance(scope.coe, SupportsEarlyJoin):
                            has_started_join = True
                            early_joins.start("welcome", scope.coe.admit_joining_nodes(scope.plan))
        finally:
            await early_joins.close()
        return infra

    async def _join(self, coe: Coe, progress: PassProgress, plan: CoePlan, *, steady: bool) -> CoeObserved:
        """Wait until every member works in the cluster, and remove strangers.

        Nodes that have to go are strangers to the plan. They leave after the others work.
        """
        coe_observed = await (coe.observe(plan) if steady else coe.join(plan, progress))
        if steady and not all(member.ready for member in coe_observed.members):
            coe_observed = await coe.join(plan, progress)
        late = [member for member in coe_observed.members if not member.ready]
        if late:
            raise _MembersNotReady(plan, coe_observed, late)
        if coe_observed.strangers:
            progress.begin(f"draining {list_names(coe_observed.strangers)} before removal")
            await coe.leave(plan, coe_observed.strangers, progress)
        return coe_observed

    async def _observe_failed(self, lease: Lease, state: ClusterState) -> float | None:
        """Observe a cluster whose last wish failed, and change nothing."""
        cluster = state.cluster
        provider, coe = self._find_drivers(cluster)
        infra = await provider.observe(cluster.uuid)
        observed, nodes = cluster.observed, infra.nodes
        plan = plans.build_plan(cluster, plans.list_standing_nodes(state.groups, infra), plans.addresses_of(infra), {})
        if plan.masters:
            authorities = await self._rotation.ensure_authorities(lease, state, coe.authorities)
            try:
                plan = replace(plan, authorities=list_trusted_authorities(authorities))
                coe_observed = await coe.observe(plans.build_current_plan(plan, infra, provider))
            except DriverError as error:
                observed = plans.build_silent(cluster, error.reason)
            else:
                observed, nodes = (
                    plans.build_failed(cluster, infra, coe_observed),
                    plans.merge_all_nodes(infra, coe_observed),
                )
        await self._records.save(lease, observed, nodes=nodes)
        return self._check_seconds

    async def _destroy(self, lease: Lease, cluster: Cluster) -> None:
        """Remove the cluster from every provider that may have it. Parses nothing that a user wrote."""
        provider = self._drivers.providers.get(cluster.spec.template.driver or "")
        for driver in [provider] if provider is not None else self._drivers.providers.values():
            await driver.destroy(cluster.uuid)
            remaining = await driver.observe(cluster.uuid)
            if remaining.nodes or remaining.network_id is not None:
                raise Temporary("a resource of the cluster was still being created; it is removed next")
        await self._records.forget(lease)
        self._forget(cluster.uuid)


def _list_missing(desired_infra: DesiredInfra, infra: ObservedInfra) -> list[str]:
    """Return the names of desired nodes that do not run."""
    running_uuids = {node.uuid for node in infra.nodes if node.state is NodeState.RUNNING}
    return [node.name for node in desired_infra.nodes if node.uuid not in running_uuids]
