"""The cluster loop: brings a cluster's nodes and its COE to what its user wished.

Create, resize, repair and a steady cluster's check are the same phases in the same order; each asks the real thing
and does only what is missing, so that they may be entered again from any point. The provider makes nodes, the COE
makes them a cluster, and this module alone decides what a failure means.
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
from jeroboam.conductor.clusters.rotation import CertificateRotation, given, over, spoken
from jeroboam.conductor.clusters.scaling import AutoScaler
from jeroboam.conductor.clusters.scope import ClusterScope
from jeroboam.conductor.loop import report
from jeroboam.domain import states
from jeroboam.domain.clusters import (
    Cluster,
    NodeGroup,
    NodeState,
    Operation,
    OperationOutcome,
)
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.domain.ports import Sealer
from jeroboam.kit.clock import Clock, DeadlineExceeded, within
from jeroboam.kit.ids import Ids
from jeroboam.kit.tasks import Tasks
from jeroboam.providers.base import DesiredInfra, ObservedInfra, Provider
from jeroboam.store import Lease, Store, StoreUnavailable

FIRST_RETRY = 0.5
LONGEST_RETRY = 10.0
GLANCE_SECONDS = 0.5
# A delete that passed its deadline is said to have failed, and goes on: delete always ends.
DELETE_RETRY = 60.0
# After so many looks at nodes that are not ready, or at a cluster in which nobody answers, it is not for a moment.
PATIENT_ATTEMPTS = 3

log = structlog.get_logger("jeroboam.conductor.clusters.loop")


class _MembersNotReady(Temporary):
    """Members that are not ready yet."""

    def __init__(self, plan: CoePlan, seen: CoeObserved, late: Iterable[MemberState]) -> None:
        names = {member.uuid: member.name for member in plan.members}
        super().__init__("; ".join(f"{names[member.uuid]}: {member.reason or 'not ready'}" for member in late))
        self.uuids = [member.uuid for member in late]
        self.seen = seen


@dataclass(frozen=True, kw_only=True, slots=True)
class Drivers:
    """What clusters can be made with, by name."""

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
        scaling: AutoScaler | None = None,
    ) -> None:
        self._records = ClusterRecords(store, ids, operation_minutes=operation_minutes)
        self._scaling = scaling
        self._healing = AutoHealer(records=self._records, clock=clock, after_seconds=heal_after_seconds)
        self._rotation = CertificateRotation(
            records=self._records, sealer=sealer, clock=clock, overlap_seconds=overlap_seconds
        )
        self._drivers = drivers
        self._clock = clock
        self._ids = ids
        self._check_seconds = check_seconds
        self._attempts: dict[str, tuple[int, int]] = {}
        self._diagnoses = NodeDiagnoses()
        self._notes: dict[str, PassEvents] = {}
        self.everything = self._records.everything
        self.generation = self._records.generation

    async def reconcile(self, lease: Lease) -> float | None:
        """Carry the wish out, or come as near as can be now."""
        whole = await self._records.load(lease.uuid)
        if whole is None:
            self._forget(lease.uuid)
            return None
        cluster, at = whole.cluster, PassProgress(self._clock, self._notes.setdefault(lease.uuid, PassEvents()))
        beside = Tasks(report)
        if states.in_progress(cluster):
            beside.start(f"slow {cluster.uuid}", self._tell_what_is_slow(lease, at))
        try:
            return await within(self._clock, self._time_left(cluster), self._carry_out(lease, whole, at))
        except LeaseLost:
            return None
        except DeadlineExceeded:
            # A pass that had no time tells nothing new: what the one before it met stands.
            before = None if at.is_slow() else cluster.status_reason
            return await self._failed(lease, cluster, Temporary(before or at.describe_end()), over=True)
        except DriverError as error:
            return await self._failed(lease, cluster, error, over=self._time_left(cluster) == 0)
        finally:
            await beside.close()
            await self._tell_last(lease, at)

    async def _carry_out(self, lease: Lease, whole: ClusterState, at: PassProgress) -> float | None:
        if whole.cluster.operation is Operation.DELETE:
            at.begin("removing the cluster")
            await self._destroy(lease, whole.cluster)
            return None
        if states.outcome_of(whole.cluster) is OperationOutcome.FAILED:
            return await self._watch(lease, whole)
        return await self._build(lease, whole, at)

    async def _tell(self, lease: Lease, at: PassProgress) -> None:
        await at.notes.write(partial(self._records.tell, lease))

    async def _tell_last(self, lease: Lease, at: PassProgress) -> None:
        """Tell what is left at the end of a pass; what cannot be stored now is left to the next one."""
        try:
            await self._tell(lease, at)
        except Exception as error:  # noqa: BLE001  (it must not stand for what the pass came to)
            report(f"events of cluster {lease.uuid}", error)
        if at.notes.are_over():
            self._notes.pop(lease.uuid, None)

    def _forget(self, uuid: str) -> None:
        """Nobody waits for that cluster any more."""
        self._attempts.pop(uuid, None)
        self._diagnoses.forget(uuid)
        self._notes.pop(uuid, None)

    async def _tell_what_is_slow(self, lease: Lease, at: PassProgress) -> None:
        """Whenever the pass has been at one thing for long, write down for its user what it waits for."""
        written, step = "", ""
        while True:
            await self._clock.sleep(GLANCE_SECONDS)
            try:
                await self._tell(lease, at)
                if at.is_slow() and (wait := at.describe_wait()) != written:
                    # What one step waits for changes by the second: one event is enough.
                    await self._records.say(lease, wait, telling=at.step != step)
                    written, step = wait, at.step
            except StoreUnavailable as error:
                report(f"what cluster {lease.uuid} waits for", error)

    def _time_left(self, cluster: Cluster) -> float | None:
        if cluster.deadline_at is None or cluster.status == "DELETE_FAILED":
            return None
        return max((cluster.deadline_at - self._clock.now()).total_seconds(), 0)

    # ------------------------------------------------------------------------------------------------- failures

    async def _failed(self, lease: Lease, cluster: Cluster, error: DriverError, *, over: bool) -> float | None:
        """Write why; try again later if that can help and there is time."""
        if not states.in_progress(cluster) and cluster.status != "DELETE_FAILED":
            await self._unhealthy(lease, cluster, error)
            return self._check_seconds
        final = isinstance(error, Permanent) or over
        if final:
            self._attempts.pop(cluster.uuid, None)
            self._diagnoses.forget(cluster.uuid)
        if final and cluster.spec.former and await self._records.roll_back(lease, cluster.generation):
            log.warning("cluster goes back", cluster=cluster.uuid, reason=error.reason)
            return 0.0
        observed = cluster.observed
        if final:
            reason = error.reason if not over else f"Timed out: {error.reason}"
            observed = replace(observed, failure=reason)
        log.warning("cluster waits" if not final else "cluster failed", cluster=cluster.uuid, reason=error.reason)
        await self._records.save(lease, observed, waiting_for=error.reason)
        if cluster.operation is Operation.DELETE and final:
            return DELETE_RETRY
        if final:
            return self._check_seconds
        generation, attempt = self._attempts.get(cluster.uuid, (cluster.generation, 0))
        attempt = attempt if generation == cluster.generation else 0
        self._attempts[cluster.uuid] = (cluster.generation, attempt + 1)
        return min(FIRST_RETRY * 2.0**attempt, LONGEST_RETRY)

    async def _unhealthy(self, lease: Lease, cluster: Cluster, error: DriverError) -> None:
        """A cluster that was well and does not answer now keeps its status and shows its health."""
        await self._records.save(lease, plans.silent_of(cluster, error.reason))

    # --------------------------------------------------------------------------------------------------- phases

    async def _build(self, lease: Lease, whole: ClusterState, at: PassProgress) -> float | None:
        cluster = whole.cluster
        provider, coe = self._parts(cluster)
        authorities = await self._rotation.have_authorities(lease, whole, coe.authorities)
        groups = await self._plan(lease, whole)
        want = plans.want_of(cluster, groups, coe)
        at.begin("looking for the cluster's nodes")
        infra = await provider.observe(cluster.uuid)
        at.notes.compare_troubles(infra.troubles)
        complete = not _missing(want, infra)
        at.begin("making the cluster's network")
        addresses = plans.addresses_of(infra) if complete else await provider.reserve(want)
        plan = plans.plan_of(cluster, groups, addresses, spoken(authorities))
        site = ClusterScope(
            lease=lease,
            whole=whole,
            provider=provider,
            coe=coe,
            want=want,
            infra=infra,
            plan=plans.as_built(plan, infra),
            boot=replace(plan, authorities=given(authorities)),
            settle=partial(self._join, coe, at, steady=False),
            progress=at,
        )
        if not complete:
            at.begin(f"making {list_names(_missing(want, infra))}")
            site = site.seeing(await self._ensure(site))
        return await self._bring_together(site, at, steady=complete and not states.in_progress(cluster))

    async def _bring_together(self, site: ClusterScope, at: PassProgress, *, steady: bool) -> float | None:
        """Make one cluster of nodes that run, and take one step of whatever else it is on its way to."""
        cluster, infra = site.whole.cluster, site.infra
        at.begin(f"bringing the nodes into the cluster{self._diagnoses.known(cluster.uuid)}")
        try:
            seen = await self._join(site.coe, at, site.plan, steady=steady)
        except Temporary as error:
            pause = await rollout.replace_lame(site, self._lame(site, error))
            if pause is None and steady and isinstance(error, _MembersNotReady):
                return await self._ailing(site, error.seen)
            if pause is None:
                raise await self._diagnoses.explain(site, error, self._late(site, error)) from error
            await self._records.save(site.lease, cluster.observed, nodes=infra.nodes, waiting_for=pause.reason)
            return pause.seconds
        wanted = {node.uuid for node in site.want.nodes}
        if extra := [node.uuid for node in infra.nodes if node.uuid not in wanted]:
            gone = [node.name for node in infra.nodes if node.uuid in extra]
            at.begin(f"removing {list_names(gone)}")
            await site.provider.remove(cluster.uuid, extra)
        at.begin("making nodes anew")
        pause = await rollout.advance(site)
        await self._tell(site.lease, at)
        if pause is None:
            at.begin("telling nodes of another certificate authority")
            pause = await self._rotation.advance(site)
        if pause is None and seen.due:
            at.begin("renewing certificates of nodes")
            await self._rotation.refresh(site, seen.due)
        self._attempts.pop(cluster.uuid, None)
        self._diagnoses.forget(cluster.uuid)
        nodes = plans.nodes_of(infra, seen)
        if pause is not None:
            await self._records.save(site.lease, cluster.observed, nodes=nodes, waiting_for=pause.reason)
            return pause.seconds
        observed = plans.observed_of(cluster, infra, seen)
        if steady and self._scaling is not None:
            at.begin("asking the cluster for its work")
            observed, nodes = await self._scaling.advance(site, observed, nodes)
        await self._records.save(site.lease, observed, nodes=nodes, over=over(site.whole.certificates))
        return self._check_seconds

    async def _ailing(self, site: ClusterScope, seen: CoeObserved) -> float:
        """A cluster that was well has nodes that are not: show that, and heal one where its users asked for it."""
        cluster, nodes = site.whole.cluster, plans.nodes_of(site.infra, seen)
        await self._records.save(site.lease, plans.ailing_of(cluster, site.infra, seen), nodes=nodes)
        healed = await self._healing.advance(site)
        return FIRST_RETRY if healed else self._check_seconds

    def _lame(self, site: ClusterScope, error: Temporary) -> Collection[str]:
        """Uuids of members that have not been what they should be for long, by what went wrong.

        Where nobody in the cluster answers, that is one of its masters.
        """
        generation, attempt = self._attempts.get(site.whole.cluster.uuid, (0, 0))
        if generation != site.whole.cluster.generation or attempt < PATIENT_ATTEMPTS:
            return ()
        return self._late(site, error)[: None if isinstance(error, _MembersNotReady) else 1]

    def _late(self, site: ClusterScope, error: Temporary) -> list[str]:
        """Uuids of the members that are waited for; where nobody in the cluster answers, of its masters."""
        return error.uuids if isinstance(error, _MembersNotReady) else [member.uuid for member in site.plan.masters]

    def _parts(self, cluster: Cluster) -> tuple[Provider, Coe]:
        template = cluster.spec.template
        try:
            return self._drivers.providers[template.driver or ""], self._drivers.coes[template.coe]
        except KeyError as error:
            raise Permanent(f"this service has no driver {error} any more") from error

    async def _plan(self, lease: Lease, whole: ClusterState) -> tuple[NodeGroup, ...]:
        groups = tuple(nodegroups.plan(whole.cluster, group, self._ids.uuid) for group in whole.groups)
        changed = [group for group, before in zip(groups, whole.groups, strict=True) if group != before]
        if changed:
            await self._records.save_plan(lease, changed)
        return groups

    async def _ensure(self, site: ClusterScope) -> ObservedInfra:
        """Make what is missing; each thing made is saved, so that users see it and a crash forgets nothing."""
        cluster, want = site.whole.cluster, site.want
        if await rollout.replace_dead(site):
            site = site.seeing(await site.provider.observe(cluster.uuid))
        infra = site.infra
        scripts = {node.uuid: site.script(node.uuid) for node in want.nodes}
        masters = {member.uuid for member in site.plan.masters}
        # What goes wrong with that is said when all nodes are up and join.
        welcoming = Tasks(lambda *_: None)
        welcomed = False
        try:
            async with aclosing(site.provider.ensure(want, scripts)) as steps:
                async for infra in steps:
                    site.progress.notes.compare_troubles(infra.troubles)
                    up = {node.uuid for node in infra.nodes if node.state is NodeState.RUNNING}
                    if len(up) < len(want.nodes):
                        progress = f"{len(up)} of {len(want.nodes)} nodes are up"
                        await self._records.save(site.lease, cluster.observed, nodes=infra.nodes, waiting_for=progress)
                        if not welcomed and masters <= up and isinstance(site.coe, SupportsEarlyJoin):
                            welcomed = True
                            welcoming.start("welcome", site.coe.welcome(site.plan))
        finally:
            await welcoming.close()
        return infra

    async def _join(self, coe: Coe, at: PassProgress, plan: CoePlan, *, steady: bool) -> CoeObserved:
        """Have every member in the cluster and working, and nobody else.

        Nodes that have to go are strangers to the plan; they leave only after the others are well.
        """
        seen = await (coe.observe(plan) if steady else coe.join(plan, at))
        if steady and not all(member.ready for member in seen.members):
            seen = await coe.join(plan, at)
        late = [member for member in seen.members if not member.ready]
        if late:
            raise _MembersNotReady(plan, seen, late)
        if seen.strangers:
            at.begin(f"draining {list_names(seen.strangers)} before the end")
            await coe.leave(plan, seen.strangers, at)
        return seen

    async def _watch(self, lease: Lease, whole: ClusterState) -> float | None:
        """A cluster whose last wish failed: see how what there is of it fares, change nothing."""
        cluster = whole.cluster
        provider, coe = self._parts(cluster)
        infra = await provider.observe(cluster.uuid)
        observed, nodes = cluster.observed, infra.nodes
        plan = plans.plan_of(cluster, plans.standing(whole.groups, infra), plans.addresses_of(infra), {})
        if plan.masters:
            known = await self._rotation.have_authorities(lease, whole, coe.authorities)
            try:
                seen = await coe.observe(plans.as_built(replace(plan, authorities=spoken(known)), infra))
            except DriverError as error:
                observed = plans.silent_of(cluster, error.reason)
            else:
                observed, nodes = plans.failed_of(cluster, infra, seen), plans.all_of(infra, seen)
        await self._records.save(lease, observed, nodes=nodes)
        return self._check_seconds

    async def _destroy(self, lease: Lease, cluster: Cluster) -> None:
        """Remove it from wherever it may be. Parses nothing that a user wrote."""
        provider = self._drivers.providers.get(cluster.spec.template.driver or "")
        for driver in [provider] if provider is not None else self._drivers.providers.values():
            await driver.destroy(cluster.uuid)
            left = await driver.observe(cluster.uuid)
            if left.nodes or left.network_id is not None:
                raise Temporary("something of the cluster was still being made; it is removed next")
        await self._records.forget(lease)
        self._forget(cluster.uuid)


def _missing(want: DesiredInfra, infra: ObservedInfra) -> list[str]:
    """Names of wanted nodes that do not run."""
    running = {node.uuid for node in infra.nodes if node.state is NodeState.RUNNING}
    return [node.name for node in want.nodes if node.uuid not in running]
