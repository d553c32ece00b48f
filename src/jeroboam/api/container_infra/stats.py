"""Totals of clusters and nodes, and the conductor processes (contract: container-infra, section 9)."""

import datetime as dt

from jeroboam.api.call import Answer, Call, reply
from jeroboam.api.container_infra.shapes import ServiceList, ServiceShape, Totals
from jeroboam.api.fields import FieldCheck, InvalidField, text
from jeroboam.api.wire import format_time
from jeroboam.domain.errors import Forbidden
from jeroboam.domain.hosts import ServiceRecord

CONDUCTOR = "jeroboam-conductor"
"""The conductor's name in its heartbeat; the published API has another name for it."""
PUBLISHED = "magnum-conductor"


def _type(name: str, value: str) -> str:
    if value != "cluster":
        raise InvalidField(name, value, "it has to be cluster.")
    return value


ARGUMENTS = {"project_id": text(low=0), "type": FieldCheck(_type, {"enum": ["cluster"]})}


async def totals(call: Call) -> Answer:
    """GET /stats: how many clusters and nodes there are"""
    project_id = call.query.get("project_id")
    if not call.caller.is_admin:
        if project_id not in {None, call.caller.project_id}:
            raise Forbidden("Policy doesn't allow stats:get_all to be performed.")
        project_id = call.caller.project_id
    async with call.parts.store.read() as tx:
        clusters, nodes = await tx.clusters.totals(project_id)
    body: Totals = {"clusters": clusters, "nodes": nodes}
    return reply(body)


async def services(call: Call) -> Answer:
    """GET /mservices: the processes that make clusters"""
    async with call.parts.store.read() as tx:
        records = await tx.services.select({"binary": CONDUCTOR})
        alive_since = tx.now - dt.timedelta(seconds=call.parts.options.service_down_time)
    body: ServiceList = {"mservices": [_view(service, alive_since) for service in records]}
    return reply(body)


def _view(service: ServiceRecord, alive_since: dt.datetime) -> ServiceShape:
    up = not service.forced_down and service.last_seen is not None and service.last_seen >= alive_since
    return {
        "id": service.id,
        "host": service.host,
        "binary": PUBLISHED,
        "state": "up" if up else "down",
        "report_count": service.report_count,
        "disabled": service.disabled,
        "disabled_reason": service.disabled_reason,
        "created_at": format_time(service.created_at),
        "updated_at": format_time(service.updated_at),
    }
