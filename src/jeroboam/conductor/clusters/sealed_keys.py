"""Makes the certificate authorities of clusters and opens their keys. A key is sealed for its cluster and its kind.

Neighbours: `rotation`, which makes and moves authorities; `certificates` and `bays.connector`, which use their keys.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace

from jeroboam.coes.base import Authority
from jeroboam.domain.clusters import Certificate
from jeroboam.domain.ports import Sealer
from jeroboam.kit.x509 import make_ca


def make_certificate(sealer: Sealer, *, cluster_id: str, kind: str, common_name: str, now: dt.datetime) -> Certificate:
    """Return a new authority of that kind, with its key sealed."""
    ca = make_ca(common_name=common_name, now=now)
    sealed_key = sealer.seal(ca.key, context=_context_of(cluster_id, kind))
    return Certificate(cluster_id=cluster_id, kind=kind, pem=ca.pem, sealed_key=sealed_key, created_at=now)


def seal_as(sealer: Sealer, certificate: Certificate, kind: str, *, now: dt.datetime) -> Certificate:
    """Return the same authority as another kind, from now on. Its key is sealed for that kind."""
    sealed_key = sealer.seal(open_key(sealer, certificate), context=_context_of(certificate.cluster_id, kind))
    return replace(certificate, kind=kind, sealed_key=sealed_key, created_at=now)


def open_key(sealer: Sealer, certificate: Certificate) -> bytes:
    """Return the key of the authority. Raises `ValueError` for one that was sealed for another cluster or kind."""
    return sealer.open(certificate.sealed_key, context=_context_of(certificate.cluster_id, certificate.kind))


def open_authorities(sealer: Sealer, certificates: Iterable[Certificate]) -> dict[str, Authority]:
    """Return the authorities by kind, with their keys."""
    return {
        certificate.kind: Authority(pem=certificate.pem, key=open_key(sealer, certificate))
        for certificate in certificates
    }


def _context_of(cluster_id: str, kind: str) -> str:
    return f"certificate/{cluster_id}/{kind}"
