"""Containers: create, show, change and delete (contract: section 2). Actions are in `actions`.

A create is one transaction: quota, container with its first op, hint. The container loop chooses the host later, not
the request.
"""

from dataclasses import replace
from typing import Any, cast

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container.fields import (
    CONTAINERS,
    FILTERS,
    ContainerList,
    build_spec,
    hidden_from,
    read_create,
    single,
    view,
)
from jeroboam.api.container.fitting import check_hosts, has_requirements
from jeroboam.api.container.lookup import container_of, container_to_change, flag_of, record_action, record_op
from jeroboam.api.container.nets import plug_new
from jeroboam.api.container.quotas import check_quota
from jeroboam.api.container.refusals import NeedsNewerVersion, RequestedHostNotFound
from jeroboam.api.container.registries import check_image_of, find_registry
from jeroboam.api.container.volumes import attach_volumes
from jeroboam.api.wire import next_page, page_of
from jeroboam.domain.containers import DEFAULT_CAPABILITIES, Container, ContainerSpec, OpKind
from jeroboam.domain.field_effects import check_fields
from jeroboam.domain.quotas import ContainerUse
from jeroboam.domain.states import STANDS, ask_container
from jeroboam.store import ContainerSelector, Transaction

FORCE, STOP = 7, 12


async def index(call: Call) -> Answer:
    """GET /containers: the containers"""
    page = page_of(call)
    sees_all = flag_of(call, "all_projects")
    if sees_all:
        call.enforce("container:get_all_all_projects")
    selector = _read_filters(call)
    if not sees_all:
        if selector.get("project_id", call.caller.project_id) != call.caller.project_id:
            return reply({"containers": [], "next": None})
        selector["project_id"] = call.caller.project_id
    async with call.parts.store.read() as tx:
        containers = await tx.containers.select(selector, page=page)
    hidden_keys, now = hidden_from(call), tx.now
    body: ContainerList = {
        "containers": [view(container, hidden_keys, now) for container in containers],
        "next": next_page(call, page, "containers", containers),
    }
    return reply(body)


def _read_filters(call: Call) -> ContainerSelector:
    values = {name: call.query[name] for name in FILTERS if name in call.query}
    if "host" in values:
        call.enforce("container:get_one:host")
    # A test compares the filters of the table with the fields of the selector.
    return cast("ContainerSelector", values)


async def show(call: Call) -> Answer:
    """GET /containers/{id or name}: a container"""
    async with call.parts.store.read() as tx:
        container = await container_of(tx, call, "container:get_one_all_projects")
    return reply(single(container, call))


async def create(call: Call) -> Answer:
    """POST /containers: a new container"""
    run = flag_of(call, "run")
    wish = read_create(call, call.fields())
    _check_rights(call, wish)
    check_fields(CONTAINERS, wish, call.parts.options.runtime)
    spec = build_spec(wish, call.parts.options.container_bounds, call.version)
    await _check_hosts(call, spec)
    async with call.parts.store.write() as tx:
        spec = await _with_registry(tx, call, spec)
        await check_quota(tx, call, call.caller.project_id, _use_of(spec, containers=1))
        uuid = call.parts.ids.uuid()
        spec = await plug_new(tx, call, uuid, spec)
        spec = await attach_volumes(tx, call, spec, uuid)
        container = ask_container(
            Container(
                uuid=uuid,
                name=wish.get("name") or call.parts.ids.name("container"),
                project_id=call.caller.project_id,
                user_id=call.caller.user_id,
                spec=spec,
                generation=0,
                created_at=tx.now,
            ),
            OpKind.CREATE,
            now=tx.now,
            seconds=call.parts.options.seconds_for(OpKind.CREATE),
            request_id=call.request_id,
            run=run,
        )
        container = replace(container, updated_at=None)
        await tx.containers.insert(container)
        await record_action(tx, call, container)
        tx.hint("container", container.uuid)
    body = single(container, call)
    return reply(body, 202, ("Location", body["links"][0]["href"]))


async def _with_registry(tx: Transaction, call: Call, spec: ContainerSpec) -> ContainerSpec:
    """The spec with the uuid of the registry that it names. The registry stays until the end of the transaction."""
    if spec.registry_id is None:
        return spec
    registry = await find_registry(tx, spec.registry_id, call.caller.project_id, "registry")
    check_image_of(registry, spec.image)
    return replace(spec, registry_id=registry.uuid, registry_domain=registry.domain)


async def _check_hosts(call: Call, spec: ContainerSpec) -> None:
    """Raise if no host can run the container. The transaction only reads: a write would block the hosts' heartbeats."""
    if not has_requirements(spec) and spec.host is None:
        return
    async with call.parts.store.read() as tx:
        hosts = await tx.hosts.select()
    if has_requirements(spec):
        check_hosts(hosts, spec)
    if spec.host is not None and spec.host not in {host.hostname for host in hosts}:
        raise RequestedHostNotFound(f"The requested host {spec.host} could not be found.", field="host")


def _check_rights(call: Call, wish: dict[str, Any]) -> None:
    rules = {
        "runtime": "container:create:runtime",
        "image_pull_policy": "container:create:image_pull_policy",
        "host": "container:create:requested_destination",
    }
    for name, rule in rules.items():
        if name in wish:
            call.enforce(rule)
    if set(wish.get("cap_add", ())) - DEFAULT_CAPABILITIES:
        call.enforce("container:create:cap_add")
    if wish.get("privileged"):
        call.enforce("container:create:privileged")


def _use_of(spec: ContainerSpec, *, containers: int) -> ContainerUse:
    return ContainerUse(containers=containers, memory=spec.memory, cpu=spec.cpu, disk=spec.disk or 0)


async def delete(call: Call) -> Answer:
    """DELETE /containers/{id or name}: the container's end"""
    force, stop = flag_of(call, "force"), flag_of(call, "stop")
    for name, since in (("force", FORCE), ("stop", STOP)):
        if name in call.query and call.version < since:
            raise NeedsNewerVersion(name, call.version, since)
    if force and not stop:
        call.enforce("container:delete_force")
    async with call.parts.store.write() as tx:
        action = "delete_after_stop" if stop else "delete_force" if force else "delete"
        container = await container_to_change(tx, call, action, "container:delete_all_projects")
        by_force = not stop and (force or container.status not in STANDS)
        await record_op(tx, call, container, OpKind.DELETE, force=by_force, stop=stop, timeout=10)
    return NO_CONTENT
