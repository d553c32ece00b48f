"""Another certificate authority for a cluster, with an overlap in which old and new count alike.

How far a rotation has come is told by the kinds of the cluster's stored authorities, each step one transaction:

    main                    nothing is under way; if another one is due, it is made and kept as `next`
    main, next              nodes learn to accept the new one's certificates, and still show the old one's
    main, ready             all do; clients get certificates of the new one, for as long as the overlap lasts
    main, former            the new one is `main`; nodes show its certificates, and refuse the old one's
    main                    done, in the transaction that says so

What nodes have is asked of the nodes, so each step can be entered again. A client that trusts what it was handed last
is accepted by every node at every moment; one from before the rotation is, until the overlap ends. Neighbours: the
cluster loop, which calls `advance` once all nodes are well; the API, which hands out by the same kinds.
"""

import datetime as dt
from dataclasses import replace

from jeroboam.coes.base import Authority, Rotates
from jeroboam.conductor.records import ClusterRecords
from jeroboam.conductor.site import Pause, Site
from jeroboam.domain.clusters import FORMER, MAIN, NEXT, READY, Certificate, Cluster
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.ports import Sealer
from jeroboam.kit.clock import Clock
from jeroboam.kit.x509 import make_ca
from jeroboam.providers.base import Renews

_BESIDE = (NEXT, READY, FORMER)


def certificate_context(cluster_id: str, kind: str) -> str:
    """What an authority's key is sealed for."""
    return f"certificate/{cluster_id}/{kind}"


def spoken(authorities: dict[str, Authority]) -> dict[str, Authority]:
    """The authorities to speak to the cluster's nodes with: whatever a node shows meanwhile is trusted."""
    beside = tuple(authorities[kind] for kind in _BESIDE if kind in authorities)
    kept = {kind: each for kind, each in authorities.items() if kind not in _BESIDE}
    return kept | {MAIN: replace(authorities[MAIN], also=beside)}


def given(authorities: dict[str, Authority]) -> dict[str, Authority]:
    """The authorities that nodes are given: they stop accepting one that is over."""
    return spoken({kind: each for kind, each in authorities.items() if kind != FORMER})


class Rotation:
    """Takes a cluster from one authority to the next."""

    def __init__(self, *, records: ClusterRecords, sealer: Sealer, clock: Clock, overlap_seconds: float) -> None:
        self._records = records
        self._sealer = sealer
        self._clock = clock
        self._overlap = dt.timedelta(seconds=overlap_seconds)

    async def advance(self, site: Site) -> Pause | None:
        """One step; None when there is none left."""
        cluster = site.whole.cluster
        known = {certificate.kind: certificate for certificate in site.whole.certificates}
        if FORMER in known:
            await self._renew(site)
            return None
        if READY in known:
            return await self._part(site, known)
        if NEXT in known:
            await self._renew(site)
            ready = self._as(known[NEXT], READY)
            await self._records.replace_certificates(site.lease, [ready], NEXT)
            return Pause(reason="every node accepts the new certificate authority", seconds=0.0)
        if cluster.spec.ca_generation <= cluster.observed.ca_generation:
            return None
        await self._records.add_certificates(site.lease, [self._made(cluster)])
        return Pause(reason="nodes are told of a new certificate authority", seconds=0.0)

    async def _part(self, site: Site, known: dict[str, Certificate]) -> Pause:
        """Wait until the overlap is over; then the old one is former."""
        until = known[READY].created_at + self._overlap
        left = (until - self._clock.now()).total_seconds()
        if left > 0:
            return Pause(reason=f"old and new certificates are accepted until {until:%H:%M:%S} UTC", seconds=left)
        turned = [self._as(known[READY], MAIN), self._as(known[MAIN], FORMER)]
        await self._records.replace_certificates(site.lease, turned, READY, MAIN)
        return Pause(reason="nodes part with the old certificate authority", seconds=0.0)

    async def _renew(self, site: Site) -> None:
        """Give every node that has not got them yet the plan's authorities, one node after the other."""
        if not isinstance(site.coe, Rotates) or not isinstance(site.provider, Renews):
            raise Permanent("the drivers of this cluster cannot replace its certificate authority")
        members = {member.uuid: member for member in site.plan.members}
        renewed: set[str] = set()
        while stale := await site.coe.stale(site.plan, site.boot.authorities[MAIN]):
            member = members[stale[0]]
            if member.uuid in renewed:
                raise Temporary(f"node {member.name} did not take the certificates that it was given")
            renewed.add(member.uuid)
            await site.provider.renew(site.plan.cluster_id, member.uuid, site.script(member.uuid))
            await site.settle(site.plan)

    def _made(self, cluster: Cluster) -> Certificate:
        now = self._clock.now()
        ca = make_ca(common_name=cluster.name, now=now)
        sealed = self._sealer.seal(ca.key, context=certificate_context(cluster.uuid, NEXT))
        return Certificate(cluster_id=cluster.uuid, kind=NEXT, pem=ca.pem, sealed_key=sealed, created_at=now)

    def _as(self, certificate: Certificate, kind: str) -> Certificate:
        """The same authority as another kind, from now on: its key is sealed for what it is."""
        uuid = certificate.cluster_id
        key = self._sealer.open(certificate.sealed_key, context=certificate_context(uuid, certificate.kind))
        sealed = self._sealer.seal(key, context=certificate_context(uuid, kind))
        return replace(certificate, kind=kind, sealed_key=sealed, created_at=self._clock.now())
