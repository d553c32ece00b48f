"""Capsules: create, show, list, delete, and what happened to them (contract: section 4).

A create is one transaction: quota, capsule with its first op, event, hint. The capsule loop chooses the host later.
Neighbours: `capsule_template`, which reads the template; `capsule_views`, which shows capsules; `lookup`, which finds
their containers.
"""

from dataclasses import replace

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container.capsule_template import read_template
from jeroboam.api.container.capsule_views import CapsuleEventList, CapsuleView, show_event
from jeroboam.api.container.fitting import check_hosts
from jeroboam.api.container.lookup import flag_of
from jeroboam.api.container.quotas import check_quota
from jeroboam.api.container.refusals import CapsuleNotFound
from jeroboam.api.wire import next_page, page_of
from jeroboam.domain import capsule_events
from jeroboam.domain.capsule_events import CapsuleEvent
from jeroboam.domain.capsule_states import ask_capsule
from jeroboam.domain.capsules import Capsule, CapsuleSpec
from jeroboam.domain.containers import OpKind, Status
from jeroboam.domain.errors import Conflict
from jeroboam.domain.quotas import ContainerUse
from jeroboam.kit.ids import is_uuid
from jeroboam.store import CapsuleSelector, Transaction

_PATHS = {"cpu": "template/spec/containers", "availability_zone": "template/availabilityZone"}
"""Where in a template stands what no host may have."""


async def index(call: Call) -> Answer:
    """GET /capsules: the capsules"""
    page = page_of(call)
    sees_all = flag_of(call, "all_projects")
    if sees_all:
        call.enforce("capsule:get_all_all_projects")
    selector: CapsuleSelector = {} if sees_all else {"project_id": call.caller.project_id}
    async with call.parts.store.read() as tx:
        capsules = await tx.capsules.select(selector, page=page)
    view = CapsuleView(call)
    shown_capsules = [view.show(capsule) for capsule in capsules]
    return reply({"capsules": shown_capsules, "next": next_page(call, page, "capsules", capsules)})


async def show(call: Call) -> Answer:
    """GET /capsules/{id or name}: a capsule with its containers"""
    async with call.parts.store.read() as tx:
        capsule = await _capsule_of(tx, call, "capsule:get_one_all_projects")
    return reply(CapsuleView(call).show(capsule))


async def create(call: Call) -> Answer:
    """POST /capsules: a new capsule, from a template"""
    wish = read_template(
        call.fields(),
        call.parts.options.container_bounds,
        call.parts.ids,
        uses_pull_policy=call.allows("container:create:image_pull_policy"),
    )
    await _check_hosts(call, wish.spec)
    async with call.parts.store.write() as tx:
        await check_quota(tx, call, call.caller.project_id, _use_of(wish.spec))
        capsule = ask_capsule(
            Capsule(
                uuid=call.parts.ids.uuid(),
                name=wish.name,
                project_id=call.caller.project_id,
                user_id=call.caller.user_id,
                spec=wish.spec,
                generation=0,
                created_at=tx.now,
            ),
            OpKind.CREATE,
            now=tx.now,
            seconds=call.parts.options.seconds_for(OpKind.CREATE),
            request_id=call.request_id,
        )
        capsule = replace(capsule, updated_at=None)
        await tx.capsules.insert(capsule)
        await _record_event(tx, call, capsule, capsule_events.CREATE)
        tx.hint("capsule", capsule.uuid)
    body = CapsuleView(call).show(capsule)
    return reply(body, 202, ("Location", body["links"][0]["href"]))


async def _check_hosts(call: Call, spec: CapsuleSpec) -> None:
    """Raise if no host can run the capsule. The transaction only reads."""
    async with call.parts.store.read() as tx:
        hosts = await tx.hosts.select()
    check_hosts(hosts, spec, paths=_PATHS)


def _use_of(spec: CapsuleSpec) -> ContainerUse:
    return ContainerUse(containers=len(spec.members), memory=spec.memory, cpu=spec.cpu)


async def delete(call: Call) -> Answer:
    """DELETE /capsules/{id or name}: the capsule's end, with that of its containers"""
    async with call.parts.store.write() as tx:
        capsule = await _capsule_of(tx, call, "capsule:delete_all_projects")
        if capsule.status is Status.DELETING:
            return NO_CONTENT
        grace_seconds = capsule.spec.termination_grace_period_seconds
        deleted_capsule = ask_capsule(
            capsule,
            OpKind.DELETE,
            now=tx.now,
            seconds=call.parts.options.seconds_for(OpKind.DELETE) + grace_seconds,
            request_id=call.request_id,
            timeout=grace_seconds,
        )
        await tx.capsules.update(deleted_capsule)
        await _record_event(tx, call, deleted_capsule, capsule_events.DELETE)
        tx.hint("capsule", capsule.uuid)
        if capsule.host_id is not None:
            tx.hint("dispatch", f"{capsule.host_id}/{capsule.uuid}")
    return NO_CONTENT


async def list_events(call: Call) -> Answer:
    """GET /capsules/{id or name}/events: what happened to the capsule and its containers, the oldest first"""
    page = page_of(call)
    async with call.parts.store.read() as tx:
        capsule = await _capsule_of(tx, call, "capsule:get_one_all_projects")
        events = await tx.capsule_events.select({"capsule_id": capsule.uuid}, page=page)
    path = f"capsules/{capsule.uuid}/events"
    body: CapsuleEventList = {
        "events": [show_event(event) for event in events],
        "next": next_page(call, page, path, events),
    }
    return reply(body)


async def _record_event(tx: Transaction, call: Call, capsule: Capsule, event_type: str) -> None:
    """Record that the caller's wish was accepted, in the transaction that stores it."""
    call.subject.set_object(capsule.uuid, capsule.name)
    event = CapsuleEvent(
        uuid=call.parts.ids.uuid(),
        capsule_id=capsule.uuid,
        project_id=capsule.project_id,
        event_type=event_type,
        status=capsule.status,
        user_id=call.caller.user_id,
        request_id=call.request_id,
        created_at=tx.now,
    )
    await tx.capsule_events.insert(event)


async def _capsule_of(tx: Transaction, call: Call, all_projects: str) -> Capsule:
    """The capsule with that uuid or name: the project's own, or any project's where the rule allows it."""
    ident = call.path["capsule"]
    wants_all = flag_of(call, "all_projects")
    if wants_all:
        call.enforce(all_projects)
    sees_all = wants_all or (is_uuid(ident) and call.allows(all_projects))
    matches = await tx.capsules.find(ident, {} if sees_all else {"project_id": call.caller.project_id})
    if not matches:
        raise CapsuleNotFound(f"Capsule {ident} could not be found.")
    if len(matches) > 1:
        raise Conflict("Multiple capsules exist with same name, please use the capsule uuid instead.")
    call.subject.set_object(matches[0].uuid, matches[0].name)
    return matches[0]
