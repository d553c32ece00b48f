"""Hosts, their agents as the services of the published API, and availability zones (contract: section 5).

A service is the agent of a host, under the name in the published API.
"""

import datetime as dt
from dataclasses import replace
from typing import Any

from jeroboam.api.call import Answer, Call, Handler, reply
from jeroboam.api.container.refusals import HostNotFound, ServiceNotFound
from jeroboam.api.container.shapes import HostList, HostShape, ServiceAnswer, ServiceList, ServiceShape, ZoneList
from jeroboam.api.fields import InvalidField, flag, text
from jeroboam.api.wire import is_descending, limit_of, links, next_page, page_of
from jeroboam.domain.errors import Conflict, NotFound
from jeroboam.domain.hosts import Host
from jeroboam.domain.quotas import ContainerUse
from jeroboam.kit.ids import is_uuid
from jeroboam.store import HostSelector, Transaction

BINARY = "zun-compute"
HOSTS_SINCE = 4
SERVICE_ARGUMENTS = {"host": text(), "binary": text()}
SWITCH_ARGUMENTS = SERVICE_ARGUMENTS | {"disabled_reason": text(low=0)}
FORCE_DOWN_ARGUMENTS = SERVICE_ARGUMENTS | {"forced_down": flag}


def _view(host: Host, use: ContainerUse, base: str) -> HostShape:
    facts = host.facts
    return {
        "uuid": host.uuid,
        "links": links(base, "hosts", host.uuid),
        "hostname": host.hostname,
        "mem_total": facts.mem_total,
        "mem_used": use.memory,
        "cpus": facts.cpus,
        "cpu_used": use.cpu,
        "disk_total": facts.disk_total,
        "disk_used": use.disk,
        "disk_quota_supported": facts.disk_quota_supported,
        "total_containers": use.containers,
        "architecture": facts.architecture,
        "os_type": facts.os_type,
        "os": facts.os,
        "kernel_version": facts.kernel_version,
        "labels": facts.labels,
        "runtimes": facts.runtimes,
        "enable_cpu_pinning": facts.enable_cpu_pinning,
    }


async def index(call: Call) -> Answer:
    """GET /hosts: the hosts, with what is used of them"""
    page = page_of(call, sort_key="hostname")
    async with call.parts.store.read() as tx:
        hosts = await tx.hosts.select(page=page)
        use_by_host = await tx.containers.use_by_host()
    body: HostList = {
        "hosts": [_view(host, use_by_host.get(host.uuid, ContainerUse()), call.base) for host in hosts],
        "next": next_page(call, page, "hosts", hosts),
    }
    return reply(body)


async def show(call: Call) -> Answer:
    """GET /hosts/{uuid or name}: a host, with what is used of it"""
    ident = call.path["host"]
    key: HostSelector = {"uuid": ident.lower()} if is_uuid(ident) else {"hostname": ident}
    async with call.parts.store.read() as tx:
        hosts = await tx.hosts.select(key)
        use_by_host = await tx.containers.use_by_host()
    if not hosts:
        raise HostNotFound(f"Compute node {ident} could not be found.")
    return reply(_view(hosts[0], use_by_host.get(hosts[0].uuid, ContainerUse()), call.base))


async def services(call: Call) -> Answer:
    """GET /services: the agents, and whether they are up"""
    async with call.parts.store.read() as tx:
        hosts = await tx.hosts.select()
        alive_since = tx.now - dt.timedelta(seconds=call.parts.options.service_down_time)
    body: ServiceList = {
        "services": [_service(host, number, alive_since) for number, host in enumerate(hosts, start=1)]
    }
    return reply(body)


def _service(host: Host, number: int, alive_since: dt.datetime) -> ServiceShape:
    up = not host.forced_down and host.last_seen is not None and host.last_seen >= alive_since
    return {
        "id": number,
        "host": host.hostname,
        "binary": BINARY,
        "availability_zone": host.availability_zone,
        "disabled": host.disabled,
        "disabled_reason": host.disabled_reason,
        "forced_down": host.forced_down,
        "last_seen_up": _stamp(host.last_seen),
        "report_count": 0,
        "state": "up" if up else "down",
        "created_at": _stamp(host.created_at),
        "updated_at": _stamp(host.updated_at),
    }


def _stamp(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=None).isoformat()


def build_switch_handler(*, disabled: bool) -> Handler:
    """The handler of enable and disable: whether the host accepts new containers."""

    async def handler(call: Call) -> Answer:
        reason = call.query.get("disabled_reason") if disabled else None
        host = await _update_host(call, disabled=disabled, disabled_reason=reason)
        body: ServiceAnswer = {
            "service": {"host": host.hostname, "binary": BINARY, "disabled": disabled, "disabled_reason": reason}
        }
        return reply(body)

    handler.__doc__ = f"PUT /services/…: new containers may {'not come' if disabled else 'come'} to the host"
    return handler


async def force_down(call: Call) -> Answer:
    """PUT /services/force_down: call an agent down, whatever it says itself"""
    if "forced_down" not in call.query:
        raise InvalidField("forced_down", None, "it is required.")
    is_down: bool = call.query["forced_down"]
    host = await _update_host(call, forced_down=is_down)
    body: ServiceAnswer = {"service": {"host": host.hostname, "binary": BINARY, "forced_down": is_down}}
    return reply(body)


async def _update_host(call: Call, **values: Any) -> Host:
    async with call.parts.store.write() as tx:
        updated_host = replace(await _find_host(tx, call), updated_at=tx.now, **values)
        await tx.hosts.update(updated_host)
    return updated_host


async def _find_host(tx: Transaction, call: Call) -> Host:
    """The host that the arguments `host` and `binary` name."""
    for name in ("host", "binary"):
        if not call.query.get(name):
            raise InvalidField(name, call.query.get(name), "it is required.")
    hostname, binary = call.query["host"], call.query["binary"]
    hosts = await tx.hosts.select({"hostname": hostname}) if binary == BINARY else []
    if not hosts:
        raise ServiceNotFound(f"Service {binary} on host {hostname} could not be found.")
    return hosts[0]


async def delete_service(call: Call) -> Answer:
    """DELETE /services: a host that is gone for good"""
    async with call.parts.store.write() as tx:
        await tx.serialise("", "placement")
        host = await _find_host(tx, call)
        alive_since = tx.now - dt.timedelta(seconds=call.parts.options.service_down_time)
        if host.last_seen is not None and host.last_seen >= alive_since:
            raise Conflict(f"The agent of host {host.hostname} is up; it would come back at once.")
        if await tx.containers.count({"host_id": host.uuid}) or await tx.capsules.count({"host_id": host.uuid}):
            raise Conflict(f"Host {host.hostname} has containers; delete them first, by force.")
        await tx.hosts.remove({"uuid": host.uuid})
    return reply(None)


async def zones(call: Call) -> Answer:
    """GET /availability_zones: the zones that hosts are in"""
    limit = limit_of(call)
    async with call.parts.store.read() as tx:
        names = sorted({host.availability_zone for host in await tx.hosts.select()}, reverse=is_descending(call))
    marker = call.query.get("marker")
    if marker is not None:
        if marker not in names:
            raise NotFound(f"The marker {marker} could not be found.", field="marker")
        names = names[names.index(marker) + 1 :]
    body: ZoneList = {"availability_zones": [{"availability_zone": zone} for zone in names[:limit]], "next": None}
    return reply(body)
