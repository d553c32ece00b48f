"""Replaces the certificate authority of a cluster, with an overlap in which old and new certificates are accepted.

The kinds of the cluster's stored authorities say how far a rotation has come. Each step is one transaction. A COE may
have other authorities beside `main`. They take the same steps, under names of their own (`domain.clusters.kind_at`):

    main                    no rotation; if one is due, the new authority is made and stored as `next`
    main, next              nodes learn to accept certificates of the new one, and still show those of the old one
    main, ready             all nodes accept both; clients get certificates of the new one while the overlap lasts, and
                            what only nodes show each other is of the new ones already
    main, former            the new ones are `main`; nodes show their certificates, and refuse those of the old ones
    main                    done, in the same transaction

The nodes are asked which certificates they have, so each step can start again. Every node always accepts a client that
trusts the last certificates that it was given, and one from before the rotation until the overlap ends. Neighbours: the
cluster loop, which calls `advance` once all nodes are well; the API, which gives certificates out by the same kinds.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from jeroboam.coes.base import Authority, Member, SupportsRotation
from jeroboam.conductor.clusters.records import ClusterRecords, ClusterState
from jeroboam.conductor.clusters.scope import ClusterScope, Requeue
from jeroboam.conductor.clusters.sealed_keys import make_certificate, open_authorities, seal_as
from jeroboam.domain.clusters import FORMER, MAIN, NEXT, READY, STEPS, Certificate, Cluster, kind_at
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.ports import Sealer
from jeroboam.kit.clock import Clock
from jeroboam.providers.base import SupportsScriptRenewal
from jeroboam.store import Lease

# How long a node that works again may take to show its new certificates.
TAKING_SECONDS = 20.0
GLANCE_SECONDS = 0.2


def list_trusted_authorities(authorities: Mapping[str, Authority]) -> dict[str, Authority]:
    """Return the authorities to connect to the nodes with: those of each step are trusted."""
    return _merge_steps(authorities, STEPS)


def list_given_authorities(authorities: Mapping[str, Authority]) -> dict[str, Authority]:
    """Return the authorities to give to nodes. Nodes stop accepting one that is over.

    Only nodes use those beside `main`: a new one takes its place as soon as every node accepts it.
    """
    nodes = _merge_steps(authorities, (NEXT, READY))
    for kind, old in nodes.items():
        ready = authorities.get(kind_at(kind, READY))
        if ready is not None and kind != MAIN:
            nodes[kind] = replace(ready, peers=(replace(old, peers=()),))
    return nodes


def _merge_steps(authorities: Mapping[str, Authority], steps: Sequence[str]) -> dict[str, Authority]:
    """Return each authority with those of these steps beside it."""
    step_kinds = {kind_at(kind, step) for kind in authorities for step in STEPS}
    return {
        kind: replace(
            authority, peers=tuple(authorities[at] for step in steps if (at := kind_at(kind, step)) in authorities)
        )
        for kind, authority in authorities.items()
        if kind not in step_kinds
    }


def list_ended_kinds(certificates: Iterable[Certificate]) -> list[str]:
    """Return the kinds that are removed when the rotation ends."""
    kinds = {certificate.kind for certificate in certificates}
    return sorted(kinds & {kind_at(kind, FORMER) for kind in kinds})


class CertificateRotation:
    """Replaces the authorities of a cluster."""

    def __init__(self, *, records: ClusterRecords, sealer: Sealer, clock: Clock, overlap_seconds: float) -> None:
        self._records = records
        self._sealer = sealer
        self._clock = clock
        self._overlap = dt.timedelta(seconds=overlap_seconds)

    async def ensure_authorities(self, lease: Lease, state: ClusterState, kinds: Iterable[str]) -> dict[str, Authority]:
        """Return the cluster's authorities. Missing ones are made and stored, sealed."""
        known_kinds = {certificate.kind for certificate in state.certificates}
        new_certificates = [self._make_certificate(state.cluster, kind) for kind in kinds if kind not in known_kinds]
        if new_certificates:
            await self._records.add_certificates(lease, new_certificates)
        return open_authorities(self._sealer, [*state.certificates, *new_certificates])

    async def advance(self, scope: ClusterScope) -> Requeue | None:
        """Take one step; None if there is none left."""
        cluster = scope.state.cluster
        certificates = {certificate.kind: certificate for certificate in scope.state.certificates}
        if FORMER in certificates:
            await self._renew_stale_nodes(scope)
            return None
        if READY in certificates:
            await self._renew_stale_nodes(scope)
            await _require_drivers(scope)[0].announce_authorities(scope.plan)
            return await self._end_overlap(scope, certificates)
        if NEXT in certificates:
            await self._renew_stale_nodes(scope)
            await self._move_step(scope, certificates, NEXT, READY)
            return Requeue(reason="every node accepts the new certificate authority", seconds=0.0)
        if cluster.spec.ca_generation <= cluster.observed.ca_generation:
            return None
        coe, _ = _require_drivers(scope)
        await self._records.add_certificates(
            scope.lease, [self._make_certificate(cluster, kind_at(kind, NEXT)) for kind in coe.rotatable_authorities]
        )
        return Requeue(reason="nodes receive a new certificate authority", seconds=0.0)

    async def refresh(self, scope: ClusterScope, uuids: Sequence[str]) -> None:
        """Renew the certificates of these members from the present authorities, one member after the other."""
        if isinstance(scope.coe, SupportsRotation) and isinstance(scope.provider, SupportsScriptRenewal):
            for member in scope.plan.members:
                if member.uuid in uuids:
                    await self._renew_node(scope, member)

    async def _end_overlap(self, scope: ClusterScope, certificates: dict[str, Certificate]) -> Requeue:
        """Wait until the overlap is over; then make the old authority `former`."""
        until = certificates[READY].created_at + self._overlap
        remaining = (until - self._clock.now()).total_seconds()
        if remaining > 0:
            return Requeue(
                reason=f"old and new certificates are accepted until {until:%H:%M:%S} UTC", seconds=remaining
            )
        new_certificates, old_kinds = [], []
        for kind, old in certificates.items():
            if (new := certificates.get(kind_at(kind, READY))) is not None:
                new_certificates += [self._seal_as(new, kind), self._seal_as(old, kind_at(kind, FORMER))]
                old_kinds += [new.kind, kind]
        await self._records.replace_certificates(scope.lease, new_certificates, *old_kinds)
        return Requeue(reason="nodes remove the old certificate authority", seconds=0.0)

    async def _move_step(
        self, scope: ClusterScope, certificates: Mapping[str, Certificate], before: str, after: str
    ) -> None:
        """Move all authorities of one step to another step."""
        kinds = [kind for kind in certificates if kind_at(kind, before) in certificates]
        new_certificates = [self._seal_as(certificates[kind_at(kind, before)], kind_at(kind, after)) for kind in kinds]
        await self._records.replace_certificates(
            scope.lease, new_certificates, *(kind_at(kind, before) for kind in kinds)
        )

    async def _renew_stale_nodes(self, scope: ClusterScope) -> None:
        """Give the plan's authorities to every node that lacks them, one node after the other."""
        coe, _ = _require_drivers(scope)
        members = {member.uuid: member for member in scope.plan.members}
        renewed_uuids: set[str] = set()
        while stale := await coe.list_stale_members(scope.plan, scope.boot.authorities):
            member = members[stale[0]]
            if member.uuid in renewed_uuids:
                raise Temporary(f"node {member.name} did not load its new certificates")
            renewed_uuids.add(member.uuid)
            await self._renew_node(scope, member)

    async def _renew_node(self, scope: ClusterScope, member: Member) -> None:
        """Have that node load its new certificates, and wait until it works again."""
        coe, provider = _require_drivers(scope)
        scope.progress.begin(f"giving node {member.name} certificates of another authority")
        await provider.renew(scope.plan.cluster_id, member.uuid, scope.build_script(member.uuid))
        await scope.settle(scope.plan)
        scope.progress.begin(f"waiting until node {member.name} uses its new certificates")
        until = self._clock.monotonic() + TAKING_SECONDS
        while (
            member.uuid in await coe.list_stale_members(scope.plan, scope.boot.authorities)
            and self._clock.monotonic() < until
        ):
            await self._clock.sleep(GLANCE_SECONDS)

    def _make_certificate(self, cluster: Cluster, kind: str) -> Certificate:
        return make_certificate(
            self._sealer, cluster_id=cluster.uuid, kind=kind, common_name=cluster.name, now=self._clock.now()
        )

    def _seal_as(self, certificate: Certificate, kind: str) -> Certificate:
        return seal_as(self._sealer, certificate, kind, now=self._clock.now())


def _require_drivers(scope: ClusterScope) -> tuple[SupportsRotation, SupportsScriptRenewal]:
    """Return the drivers of the cluster, which have to support the rotation."""
    if not isinstance(scope.coe, SupportsRotation) or not isinstance(scope.provider, SupportsScriptRenewal):
        raise Permanent("the drivers of this cluster cannot replace its certificate authority")
    return scope.coe, scope.provider
