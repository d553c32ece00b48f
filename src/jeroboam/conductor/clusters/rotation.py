"""Another certificate authority for a cluster, with an overlap in which old and new count alike.

How far a rotation has come is told by the kinds of the cluster's stored authorities, each step one transaction. A COE
may have others beside `main`, which go the same way under names of their own (`domain.clusters.kind_at`):

    main                    nothing is under way; if another one is due, it is made and kept as `next`
    main, next              nodes learn to accept the new ones' certificates, and still show the old ones'
    main, ready             all do; clients get certificates of the new one, for as long as the overlap lasts, and
                            what only nodes show each other is of the new ones already
    main, former            the new ones are `main`; nodes show their certificates, and refuse the old ones'
    main                    done, in the transaction that says so

What nodes have is asked of the nodes, so each step can be entered again. A client that trusts what it was handed last
is accepted by every node at every moment; one from before the rotation is, until the overlap ends. Neighbours: the
cluster loop, which calls `advance` once all nodes are well; the API, which hands out by the same kinds.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from jeroboam.coes.base import Authority, Member, SupportsRotation
from jeroboam.conductor.clusters.records import ClusterRecords, ClusterState
from jeroboam.conductor.clusters.scope import ClusterScope, Requeue
from jeroboam.domain.clusters import FORMER, MAIN, NEXT, READY, STEPS, Certificate, Cluster, kind_at
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.ports import Sealer
from jeroboam.kit.clock import Clock
from jeroboam.kit.x509 import make_ca
from jeroboam.providers.base import SupportsScriptRenewal
from jeroboam.store import Lease

# How long a node that works again may take to show what it was given.
TAKING_SECONDS = 20.0
GLANCE_SECONDS = 0.2


def certificate_context(cluster_id: str, kind: str) -> str:
    """What an authority's key is sealed for."""
    return f"certificate/{cluster_id}/{kind}"


def spoken(authorities: Mapping[str, Authority]) -> dict[str, Authority]:
    """The authorities to speak to the cluster's nodes with: whatever a node shows meanwhile is trusted."""
    return _together(authorities, STEPS)


def given(authorities: Mapping[str, Authority]) -> dict[str, Authority]:
    """The authorities that nodes are given: they stop accepting one that is over.

    Nobody outside knows those beside `main`: they take their places as soon as every node accepts them.
    """
    nodes = _together(authorities, (NEXT, READY))
    for kind, old in nodes.items():
        ready = authorities.get(kind_at(kind, READY))
        if ready is not None and kind != MAIN:
            nodes[kind] = replace(ready, also=(replace(old, also=()),))
    return nodes


def _together(authorities: Mapping[str, Authority], steps: Sequence[str]) -> dict[str, Authority]:
    """Each authority with those of these steps beside it."""
    moving = {kind_at(kind, step) for kind in authorities for step in STEPS}
    return {
        kind: replace(each, also=tuple(authorities[at] for step in steps if (at := kind_at(kind, step)) in authorities))
        for kind, each in authorities.items()
        if kind not in moving
    }


def over(certificates: Iterable[Certificate]) -> list[str]:
    """The kinds of those that go when the rotation ends."""
    kinds = {each.kind for each in certificates}
    return sorted(kinds & {kind_at(kind, FORMER) for kind in kinds})


class CertificateRotation:
    """Takes a cluster from one authority to the next."""

    def __init__(self, *, records: ClusterRecords, sealer: Sealer, clock: Clock, overlap_seconds: float) -> None:
        self._records = records
        self._sealer = sealer
        self._clock = clock
        self._overlap = dt.timedelta(seconds=overlap_seconds)

    async def have_authorities(self, lease: Lease, whole: ClusterState, kinds: Iterable[str]) -> dict[str, Authority]:
        """The cluster's certificate authorities; those that are missing are made and kept, sealed."""
        uuid = whole.cluster.uuid
        known = {certificate.kind: certificate for certificate in whole.certificates}
        made = {}
        for kind in kinds:
            if kind not in known:
                ca = make_ca(common_name=whole.cluster.name, now=self._clock.now())
                sealed = self._sealer.seal(ca.key, context=certificate_context(uuid, kind))
                made[kind] = Certificate(
                    cluster_id=uuid, kind=kind, pem=ca.pem, sealed_key=sealed, created_at=self._clock.now()
                )
        if made:
            await self._records.add_certificates(lease, made.values())
        return {
            kind: Authority(
                pem=certificate.pem,
                key=self._sealer.open(certificate.sealed_key, context=certificate_context(uuid, kind)),
            )
            for kind, certificate in (known | made).items()
        }

    async def advance(self, site: ClusterScope) -> Requeue | None:
        """One step; None when there is none left."""
        cluster = site.whole.cluster
        known = {certificate.kind: certificate for certificate in site.whole.certificates}
        if FORMER in known:
            await self._renew(site)
            return None
        if READY in known:
            await self._renew(site)
            await _drivers(site)[0].announce(site.plan)
            return await self._part(site, known)
        if NEXT in known:
            await self._renew(site)
            await self._move(site, known, NEXT, READY)
            return Requeue(reason="every node accepts the new certificate authority", seconds=0.0)
        if cluster.spec.ca_generation <= cluster.observed.ca_generation:
            return None
        coe, _ = _drivers(site)
        await self._records.add_certificates(site.lease, [self._made(cluster, kind) for kind in coe.rotating])
        return Requeue(reason="nodes are told of a new certificate authority", seconds=0.0)

    async def refresh(self, site: ClusterScope, uuids: Sequence[str]) -> None:
        """Give these members certificates that last, of the authorities that there are, one after the other."""
        if isinstance(site.coe, SupportsRotation) and isinstance(site.provider, SupportsScriptRenewal):
            for member in site.plan.members:
                if member.uuid in uuids:
                    await self._give(site, member)

    async def _part(self, site: ClusterScope, known: dict[str, Certificate]) -> Requeue:
        """Wait until the overlap is over; then the old one is former."""
        until = known[READY].created_at + self._overlap
        left = (until - self._clock.now()).total_seconds()
        if left > 0:
            return Requeue(reason=f"old and new certificates are accepted until {until:%H:%M:%S} UTC", seconds=left)
        turned, gone = [], []
        for kind, old in known.items():
            if (new := known.get(kind_at(kind, READY))) is not None:
                turned += [self._as(new, kind), self._as(old, kind_at(kind, FORMER))]
                gone += [new.kind, kind]
        await self._records.replace_certificates(site.lease, turned, *gone)
        return Requeue(reason="nodes part with the old certificate authority", seconds=0.0)

    async def _move(self, site: ClusterScope, known: Mapping[str, Certificate], before: str, after: str) -> None:
        """Take all that are at one step to another."""
        moving = [kind for kind in known if kind_at(kind, before) in known]
        moved = [self._as(known[kind_at(kind, before)], kind_at(kind, after)) for kind in moving]
        await self._records.replace_certificates(site.lease, moved, *(kind_at(kind, before) for kind in moving))

    async def _renew(self, site: ClusterScope) -> None:
        """Give every node that has not got them yet the plan's authorities, one node after the other."""
        coe, _ = _drivers(site)
        members = {member.uuid: member for member in site.plan.members}
        renewed: set[str] = set()
        while stale := await coe.stale(site.plan, site.boot.authorities):
            member = members[stale[0]]
            if member.uuid in renewed:
                raise Temporary(f"node {member.name} did not take the certificates that it was given")
            renewed.add(member.uuid)
            await self._give(site, member)

    async def _give(self, site: ClusterScope, member: Member) -> None:
        """Have that node take up what it is to have, and wait until it works again."""
        coe, provider = _drivers(site)
        site.progress.begin(f"giving node {member.name} certificates of another authority")
        await provider.renew(site.plan.cluster_id, member.uuid, site.script(member.uuid))
        await site.settle(site.plan)
        site.progress.begin(f"waiting until node {member.name} shows its certificates")
        until = self._clock.monotonic() + TAKING_SECONDS
        while member.uuid in await coe.stale(site.plan, site.boot.authorities) and self._clock.monotonic() < until:
            await self._clock.sleep(GLANCE_SECONDS)

    def _made(self, cluster: Cluster, kind: str) -> Certificate:
        now = self._clock.now()
        ca = make_ca(common_name=cluster.name, now=now)
        at = kind_at(kind, NEXT)
        sealed = self._sealer.seal(ca.key, context=certificate_context(cluster.uuid, at))
        return Certificate(cluster_id=cluster.uuid, kind=at, pem=ca.pem, sealed_key=sealed, created_at=now)

    def _as(self, certificate: Certificate, kind: str) -> Certificate:
        """The same authority as another kind, from now on: its key is sealed for what it is."""
        uuid = certificate.cluster_id
        key = self._sealer.open(certificate.sealed_key, context=certificate_context(uuid, certificate.kind))
        sealed = self._sealer.seal(key, context=certificate_context(uuid, kind))
        return replace(certificate, kind=kind, sealed_key=sealed, created_at=self._clock.now())


def _drivers(site: ClusterScope) -> tuple[SupportsRotation, SupportsScriptRenewal]:
    """Those of the cluster, which have to be able to do their parts."""
    if not isinstance(site.coe, SupportsRotation) or not isinstance(site.provider, SupportsScriptRenewal):
        raise Permanent("the drivers of this cluster cannot replace its certificate authority")
    return site.coe, site.provider
