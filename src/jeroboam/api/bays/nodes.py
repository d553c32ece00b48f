"""Nodes of 2015: machines that users register. No bay used them in 2015, and none uses them here."""

from dataclasses import replace

from jeroboam.api.bays.shapes import NodeRecordList, NodeRecordShape
from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container_infra.pages import reply_page
from jeroboam.api.container_infra.schema import refuse_unknown
from jeroboam.api.container_infra.templates.fields import IDENT
from jeroboam.api.fields import FieldCheck, optional, read_fields, text
from jeroboam.api.wire import apply_patch, changes_of, format_time, links, page_of
from jeroboam.domain.errors import Invalid, NotFound
from jeroboam.domain.noderecords import NodeRecord
from jeroboam.kit.ids import is_uuid
from jeroboam.store import Transaction

FIELDS: dict[str, FieldCheck] = {"type": optional(text()), "image_id": optional(text()), "ironic_node_id": IDENT}
_READ_ONLY = frozenset({"id", "uuid", "links", "project_id", "user_id", "created_at", "updated_at"})


def _view(node: NodeRecord, call: Call) -> NodeRecordShape:
    return {
        "uuid": node.uuid,
        "type": node.type,
        "image_id": node.image_id,
        "ironic_node_id": node.ironic_node_id,
        "links": links(call.base, "nodes", node.uuid),
        "created_at": format_time(node.created_at),
        "updated_at": format_time(node.updated_at),
    }


async def index(call: Call) -> Answer:
    """GET /nodes: the machines that were written down"""
    return await _list(call, "nodes")


async def detail(call: Call) -> Answer:
    """GET /nodes/detail: the machines, just the same"""
    return await _list(call, "nodes/detail")


async def _list(call: Call, path: str) -> Answer:
    page = page_of(call)
    async with call.parts.store.read() as tx:
        nodes = await tx.node_records.select({"project_id": call.caller.project_id}, page=page)
    body: NodeRecordList = {"nodes": [_view(node, call) for node in nodes]}
    return reply_page(call, page, path, nodes, body)


async def show(call: Call) -> Answer:
    """GET /nodes/{uuid}: a machine"""
    async with call.parts.store.read() as tx:
        node = await _find_node(tx, call)
    return reply(_view(node, call))


async def create(call: Call) -> Answer:
    """POST /nodes: a machine that is written down"""
    body = call.fields()
    refuse_unknown(body, FIELDS, "node", read_only=_READ_ONLY)
    wish = read_fields(body, FIELDS)
    async with call.parts.store.write() as tx:
        node = NodeRecord(
            uuid=call.parts.ids.uuid(),
            project_id=call.caller.project_id,
            user_id=call.caller.user_id,
            created_at=tx.now,
            **wish,
        )
        await tx.node_records.insert(node)
    view = _view(node, call)
    return reply(view, 201, ("Location", view["links"][0]["href"]))


async def update(call: Call) -> Answer:
    """PATCH /nodes/{uuid}: a machine that is written down otherwise"""
    steps = changes_of(call.json())
    for step in steps:
        if step.root in _READ_ONLY:
            raise Invalid(f"'/{step.root}' is an internal attribute and can not be updated", field=step.root)
    async with call.parts.store.write() as tx:
        node = await _find_node(tx, call)
        document = apply_patch({name: getattr(node, name) for name in FIELDS}, steps)
        node = replace(node, **read_fields({name: document.get(name) for name in FIELDS}, FIELDS), updated_at=tx.now)
        await tx.node_records.update(node)
    return reply(_view(node, call))


async def delete(call: Call) -> Answer:
    """DELETE /nodes/{uuid}: a machine that is forgotten"""
    async with call.parts.store.write() as tx:
        node = await _find_node(tx, call)
        await tx.node_records.remove({"uuid": node.uuid})
    return NO_CONTENT


async def _find_node(tx: Transaction, call: Call) -> NodeRecord:
    """The node with that uuid; a node has no name."""
    ident = call.path["node"]
    node = None
    if is_uuid(ident):
        node = next(iter(await tx.node_records.find(ident, {"project_id": call.caller.project_id})), None)
    if node is None:
        raise NotFound(f"Node {ident} could not be found.")
    return node
