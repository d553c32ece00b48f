"""A cluster's certificate authority: show it, sign requests with it, ask for a new one (contract: section 8).

The conductor signs: the key of an authority is none of the API's business.
"""

import datetime as dt
from dataclasses import replace

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container_infra.clusters.changes import minutes_for
from jeroboam.api.container_infra.clusters.events import record_event
from jeroboam.api.container_infra.lookup import cluster_of, project_scope
from jeroboam.api.container_infra.schema import read_renamed
from jeroboam.api.container_infra.shapes import CertificateShape
from jeroboam.api.fields import FieldCheck, Schema, body_of, optional, text
from jeroboam.api.wire import format_time, links
from jeroboam.domain.clusters import FORMER, MAIN, NEXT, READY, Certificate, Cluster, Operation, kind_at
from jeroboam.domain.errors import Conflict, Invalid, NotFound
from jeroboam.domain.events import CLUSTER_ROTATE_CA
from jeroboam.domain.states import ask_cluster, is_in_progress
from jeroboam.store import Transaction

_KINDS = {"etcd": "etcd", "front-proxy": "front-proxy", "front_proxy": "front-proxy"}
FIELDS: dict[str, FieldCheck] = {
    "cluster_uuid": text(),
    "csr": text(high=65536),
    "ca_cert_type": optional(text()),
}
REQUIRED = ("cluster_uuid", "csr")
# The name of a field in the API of bays. The versions without bays do not show it.
_FORMER_NAMES = {"cluster_uuid": "bay_uuid"}
_WITHOUT_BAYS = 11
_OLD = {old: FIELDS[name] for name, old in _FORMER_NAMES.items()} | {"csr": FIELDS["csr"]}
BODY: Schema = {"anyOf": [body_of(FIELDS, *REQUIRED), body_of(_OLD, *_OLD)]}
"""The schema of a signing request."""
_READ_ONLY = frozenset({"pem", "links", "created_at", "updated_at"})


def _view(
    cluster: Cluster, pem: str, call: Call, kind: str | None, *, since: dt.datetime, csr: str | None = None
) -> CertificateShape:
    body: CertificateShape = {
        "cluster_uuid": cluster.uuid,
        "csr": csr,
        "pem": pem,
        "ca_cert_type": kind,
        "links": links(call.base, "certificates", cluster.uuid),
        "created_at": format_time(since),
        "updated_at": None,
    }
    if call.version < _WITHOUT_BAYS:
        body["bay_uuid"] = cluster.uuid
    return body


async def rotate(call: Call) -> Answer:
    """PATCH /certificates/{cluster}: another authority for the cluster

    Asking while one is on its way is asking once.
    """
    scope = project_scope(call, "certificate:rotate_ca_all_projects")
    async with call.parts.store.read() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
    if cluster.spec.template.tls_disabled:
        raise Invalid("Rotating the CA certificate on a non-TLS cluster is not supported")
    await call.parts.conductor.admit_rotation(cluster)
    async with call.parts.store.write() as tx:
        cluster = await cluster_of(tx, cluster.uuid, scope)
        due = cluster.spec.ca_generation > cluster.observed.ca_generation
        if not (due and is_in_progress(cluster)):
            updated_cluster = ask_cluster(cluster, Operation.UPDATE, now=tx.now, minutes=minutes_for(call, cluster))
            spec = (
                updated_cluster.spec
                if due
                else replace(updated_cluster.spec, ca_generation=cluster.observed.ca_generation + 1)
            )
            await tx.clusters.update(replace(updated_cluster, spec=spec))
            await record_event(
                tx, call, updated_cluster, CLUSTER_ROTATE_CA, "Rotation of the certificate authority requested."
            )
            tx.hint("cluster", cluster.uuid)
    return reply({"uuid": cluster.uuid}, 202)


async def show(call: Call) -> Answer:
    """GET /certificates/{cluster}: the authority's own certificate"""
    kind = call.query.get("ca_cert_type")
    scope = project_scope(call, "certificate:get_all_projects")
    async with call.parts.store.read() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
        _enforce_own(call, "certificate:get", cluster)
        authorities = await _authorities(tx, cluster, kind)
    # During a rotation nodes present certificates of either authority.
    pem = "".join(authority.pem for authority in authorities)
    return reply(_view(cluster, pem, call, kind, since=authorities[0].created_at))


async def sign(call: Call) -> Answer:
    """POST /certificates: a certificate for a request"""
    body = call.fields()
    wish = read_renamed(
        body, FIELDS, "certificate", required=REQUIRED, former_names=_FORMER_NAMES, read_only=_READ_ONLY
    )
    kind = wish.get("ca_cert_type")
    scope = project_scope(call, "certificate:create_all_projects")
    async with call.parts.store.read() as tx:
        try:
            cluster = await cluster_of(tx, wish["cluster_uuid"], scope)
        except NotFound as error:
            field = next(name for name in ("cluster_uuid", "bay_uuid") if name in body)
            raise Invalid(error.detail, field=field) from error
        _enforce_own(call, "certificate:create", cluster)
        authority, *_ = await _authorities(tx, cluster, kind)
    pem = await call.parts.conductor.sign_csr(cluster.uuid, authority.kind, wish["csr"])
    return reply(_view(cluster, pem, call, kind, since=call.parts.clock.now(), csr=wish["csr"]), 201)


def _enforce_own(call: Call, rule: str, cluster: Cluster) -> None:
    """Enforce the rule if the cluster is of the caller's project. The lookup has checked other projects' clusters."""
    if cluster.project_id == call.caller.project_id:
        call.enforce(rule, project_id=cluster.project_id, user_id=cluster.user_id)


async def _authorities(tx: Transaction, cluster: Cluster, kind_name: str | None) -> list[Certificate]:
    """The authorities of that kind; an unknown kind means the main one.

    During a rotation the first one signs: it is the newest that every node accepts.
    """
    kind = _KINDS.get(kind_name or "", MAIN)
    by_kind = {
        certificate.kind: certificate for certificate in await tx.certificates.select({"cluster_id": cluster.uuid})
    }
    if not by_kind:
        text = f"The certificate authority of cluster {cluster.uuid} is not available yet"
        raise Conflict(f"{text}; the cluster is {cluster.status}.")
    if kind not in by_kind:
        raise NotFound(f"Cluster {cluster.uuid} has no {kind} certificate authority.", field="ca_cert_type")
    order = (kind_at(kind, READY), kind, kind_at(kind, NEXT), kind_at(kind, FORMER))
    return [by_kind[name] for name in order if name in by_kind]
