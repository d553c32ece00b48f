"""A cluster's certificate authority: showing it, and signing requests with it (contract: section 8).

The key is opened for the length of one signature and never leaves this module.
"""

from typing import Any

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container_infra.lookup import cluster_of
from jeroboam.api.container_infra.schema import refuse_unknown
from jeroboam.api.fields import Check, optional, read, text
from jeroboam.api.wire import iso, links
from jeroboam.domain.clusters import Certificate, Cluster
from jeroboam.domain.errors import Conflict, Invalid, NotFound
from jeroboam.kit.x509 import Pair, sign_csr
from jeroboam.store import Transaction

_KINDS = {"etcd": "etcd", "front-proxy": "front-proxy", "front_proxy": "front-proxy"}
_MAIN = "main"
_FIELDS: dict[str, Check] = {
    "cluster_uuid": text(),
    "csr": text(high=65536),
    "ca_cert_type": optional(text()),
}
_READ_ONLY = frozenset({"pem", "links", "created_at", "updated_at"})


def _view(cluster: Cluster, pem: str, call: Call, kind: str | None, **more: Any) -> dict[str, Any]:
    shown = {
        "cluster_uuid": cluster.uuid,
        "csr": None,
        "pem": pem,
        "ca_cert_type": kind,
        "links": links(call.base, "certificates", cluster.uuid),
        "created_at": None,
        "updated_at": None,
    }
    return shown | more


async def show(call: Call) -> Answer:
    """GET /certificates/{cluster}: the authority's own certificate"""
    kind = call.query.get("ca_cert_type")
    async with call.parts.store.read() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], call.caller.project_id)
        call.enforce("certificate:get", project_id=cluster.project_id, user_id=cluster.user_id)
        authority = await _authority(tx, cluster, kind)
    return reply(_view(cluster, authority.pem, call, kind, created_at=iso(authority.created_at)))


async def sign(call: Call) -> Answer:
    """POST /certificates: a certificate for a request"""
    body = call.fields()
    refuse_unknown(body, _FIELDS, "certificate", read_only=_READ_ONLY)
    for name in ("cluster_uuid", "csr"):
        if body.get(name) is None:
            raise Invalid(f"Mandatory field missing: {name}.", field=name)
    wish = read(body, _FIELDS)
    kind = wish.get("ca_cert_type")
    async with call.parts.store.read() as tx:
        try:
            cluster = await cluster_of(tx, wish["cluster_uuid"], call.caller.project_id)
        except NotFound as error:
            raise Invalid(error.detail, field="cluster_uuid") from error
        call.enforce("certificate:create", project_id=cluster.project_id, user_id=cluster.user_id)
        authority = await _authority(tx, cluster, kind)
    key = call.parts.sealer.open(authority.sealed_key, context=f"certificate/{cluster.uuid}/{authority.kind}")
    now = call.parts.clock.now()
    try:
        pem = sign_csr(ca=Pair(pem=authority.pem, key=key), csr=wish["csr"], now=now)
    except ValueError as error:
        raise Invalid(f"Received invalid csr. {error}", field="csr") from error
    return reply(_view(cluster, pem, call, kind, csr=wish["csr"], created_at=iso(now)), 201)


async def _authority(tx: Transaction, cluster: Cluster, asked: str | None) -> Certificate:
    """The authority of that kind; any word that names none of the special ones means the main one."""
    kind = _KINDS.get(asked or "", _MAIN)
    found = await tx.certificates.select(cluster_id=cluster.uuid)
    for certificate in found:
        if certificate.kind == kind:
            return certificate
    if found:
        raise NotFound(f"Cluster {cluster.uuid} has no {kind} certificate authority.", field="ca_cert_type")
    raise Conflict(
        f"The certificate authority of cluster {cluster.uuid} is not there yet; the cluster is {cluster.status}."
    )
