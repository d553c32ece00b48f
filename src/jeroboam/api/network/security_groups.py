"""Security groups and their rules. A change reaches the containers of the group at once: their hosts get a hint."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.fields import FieldCheck, InvalidField, choice, integer, optional, text
from jeroboam.api.network.networks import ensure_default
from jeroboam.api.network.objects import (
    DESCRIPTION,
    NAME,
    PROJECT,
    check_quota,
    filters_of,
    format_moment,
    group_by,
    only,
    project_of,
    read_object,
    read_page,
    read_selector,
    reply_list,
    select_own,
    serialise,
    show_base,
)
from jeroboam.api.network_objects import ETHERTYPES, SecurityGroupNotFound, find_group, hint_members, insert_group
from jeroboam.domain.errors import Conflict, NotFound
from jeroboam.domain.networks import DEFAULT, Direction, SecurityGroup, SecurityGroupRule, default_group_id
from jeroboam.store import Transaction

CHANGE: Mapping[str, FieldCheck] = {
    "name": NAME,
    "description": DESCRIPTION,
    "stateful": only(True, "answers in a connection that was allowed always pass"),
}
CREATE: Mapping[str, FieldCheck] = {**CHANGE, **PROJECT}
FILTERS = filters_of()

_NAMED_PROTOCOLS = ("tcp", "udp", "icmp")
_WITH_PORTS = frozenset({"tcp", "udp"})
_MOST_PORT, _MOST_ICMP, _MOST_PROTOCOL = 65535, 255, 255


def _protocol(name: str, value: Any) -> str | None:
    word = str(value).lower() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if word == "any":
        return None
    is_number = word.isascii() and word.isdigit() and len(word) <= len("255") and int(word) <= _MOST_PROTOCOL
    if word not in _NAMED_PROTOCOLS and not is_number:
        raise InvalidField(name, value, f"it has to be any, {', '.join(_NAMED_PROTOCOLS)} or a number up to 255.")
    return {"6": "tcp", "17": "udp", "1": "icmp"}.get(word, word)


def _prefix(name: str, value: Any) -> IPv4Network | IPv6Network:
    try:
        return ip_network(value if isinstance(value, str) else "", strict=False)
    except ValueError as error:
        raise InvalidField(name, value, "it has to be a subnet or an address, such as 10.77.0.0/24.") from error


RULE_CREATE: Mapping[str, FieldCheck] = {
    **PROJECT,
    "security_group_id": text(),
    "direction": choice("ingress", "egress"),
    "ethertype": choice(*ETHERTYPES),
    "protocol": optional(FieldCheck(_protocol, {"type": ["string", "integer"]})),
    "port_range_min": optional(integer(low=0, high=_MOST_PORT)),
    "port_range_max": optional(integer(low=0, high=_MOST_PORT)),
    "remote_ip_prefix": optional(FieldCheck(_prefix, text().schema)),
    "remote_group_id": optional(text()),
    "description": DESCRIPTION,
}
RULE_FILTERS = {
    name: check
    for name, check in filters_of(
        "security_group_id", "direction", "ethertype", "protocol", "remote_group_id", "remote_ip_prefix"
    ).items()
    if name != "name"
}


class SecurityGroupInUse(Conflict):
    code = "security-group-in-use"


class SecurityGroupRuleNotFound(NotFound):
    code = "security-group-rule-not-found"


class SecurityGroupRuleExists(Conflict):
    code = "security-group-rule-exists"


def show_rule(rule: SecurityGroupRule) -> dict[str, Any]:
    """A rule as it is shown, alone and in its group."""
    return {
        "id": rule.uuid,
        "project_id": rule.project_id,
        "tenant_id": rule.project_id,
        "security_group_id": rule.security_group_id,
        "description": rule.description,
        "direction": rule.direction,
        "ethertype": rule.ethertype,
        "protocol": rule.protocol,
        "port_range_min": rule.port_range_min,
        "port_range_max": rule.port_range_max,
        "remote_ip_prefix": rule.remote_ip_prefix,
        "remote_group_id": rule.remote_group_id,
        "created_at": format_moment(rule.created_at),
        "updated_at": format_moment(rule.updated_at or rule.created_at),
    }


def _show(group: SecurityGroup, rules: Sequence[SecurityGroupRule]) -> dict[str, Any]:
    return {
        **show_base(group),
        "stateful": True,
        "shared": False,
        "security_group_rules": [show_rule(rule) for rule in rules],
        "tags": [],
    }


async def index(call: Call) -> Answer:
    """GET /security-groups: the security groups, with their rules"""
    await ensure_default(call)
    selector, page = read_selector(call), read_page(call)
    if selector is None:
        return reply_list(call, "security_groups", [])
    async with call.parts.store.read() as tx:
        groups = await tx.security_groups.select(selector, page=page)
        uuids = [group.uuid for group in groups]
        rules = await tx.security_group_rules.select({"security_group_id": uuids}) if uuids else []
    by_group = group_by(rules, lambda rule: rule.security_group_id)
    return reply_list(call, "security_groups", [_show(group, by_group.get(group.uuid, ())) for group in groups])


async def _find(tx: Transaction, call: Call, uuid: str) -> SecurityGroup:
    groups = await tx.security_groups.select(select_own(call, uuid))
    if not groups:
        raise SecurityGroupNotFound(f"Security group {uuid} does not exist")
    call.subject.set_object(groups[0].uuid, groups[0].name)
    return groups[0]


async def create(call: Call) -> Answer:
    """POST /security-groups: a new group, which lets everything out and nothing in"""
    values = read_object(call, "security_group", CREATE)
    project_id = project_of(call, values)
    name = values.get("name", "")
    async with call.parts.store.write() as tx:
        if name == DEFAULT:
            raise Conflict("Default security group already exists.", field="name")
        await serialise(tx, project_id)
        check_quota(call, "security_group", await tx.security_groups.count({"project_id": project_id}))
        group = SecurityGroup(
            uuid=call.parts.ids.uuid(),
            name=name,
            project_id=project_id,
            description=values.get("description", ""),
            created_at=tx.now,
        )
        rules = await insert_group(tx, call, group)
    call.subject.set_object(group.uuid, group.name)
    return reply({"security_group": _show(group, rules)}, 201)


async def show(call: Call) -> Answer:
    """GET /security-groups/{group}: a security group"""
    async with call.parts.store.read() as tx:
        group = await _find(tx, call, call.path["group"])
        rules = await tx.security_group_rules.select({"security_group_id": group.uuid})
    return reply({"security_group": _show(group, rules)})


async def update(call: Call) -> Answer:
    """PUT /security-groups/{group}: another name or description"""
    values = read_object(call, "security_group", CHANGE)
    async with call.parts.store.write() as tx:
        group = await _find(tx, call, call.path["group"])
        is_default = group.uuid == default_group_id(group.project_id)
        if values.get("name", group.name) != group.name and (is_default or values["name"] == DEFAULT):
            raise Conflict("The default security group, and no other, has that name.", field="name")
        changes = {name: values[name] for name in ("name", "description") if name in values}
        changed_group = replace(group, **changes, updated_at=tx.now)
        await tx.security_groups.update(changed_group)
        rules = await tx.security_group_rules.select({"security_group_id": group.uuid})
    return reply({"security_group": _show(changed_group, rules)})


async def delete(call: Call) -> Answer:
    """DELETE /security-groups/{group}: the group's end"""
    async with call.parts.store.write() as tx:
        group = await _find(tx, call, call.path["group"])
        if group.uuid == default_group_id(group.project_id):
            raise SecurityGroupInUse("The default security group of a project stays.")
        await serialise(tx, group.project_id)
        is_remote = await tx.security_group_rules.select({"remote_group_id": group.uuid})
        others = [rule for rule in is_remote if rule.security_group_id != group.uuid]
        if others or await tx.ports.is_group_used(group.uuid, group.project_id):
            raise SecurityGroupInUse(f"Security Group {group.uuid} in use.")
        await tx.security_group_rules.remove({"security_group_id": group.uuid})
        await tx.security_groups.remove({"uuid": group.uuid})
    return NO_CONTENT


async def index_rules(call: Call) -> Answer:
    """GET /security-group-rules: the rules of all groups"""
    await ensure_default(call)
    selector, page = read_selector(call), read_page(call)
    if selector is None:
        return reply_list(call, "security_group_rules", [])
    async with call.parts.store.read() as tx:
        rules = await tx.security_group_rules.select(selector, page=page)
    return reply_list(call, "security_group_rules", [show_rule(rule) for rule in rules])


async def create_rule(call: Call) -> Answer:
    """POST /security-group-rules: what a group lets through"""
    values = read_object(call, "security_group_rule", RULE_CREATE, "security_group_id", "direction")
    _check_rule(values)
    async with call.parts.store.write() as tx:
        group = await _find(tx, call, values["security_group_id"])
        await serialise(tx, group.project_id)
        count = await tx.security_group_rules.count({"project_id": group.project_id})
        check_quota(call, "security_group_rule", count)
        remote = values.get("remote_group_id")
        if remote is not None:
            await find_group(tx, call, remote, group.project_id, field="remote_group_id")
        prefix = values.get("remote_ip_prefix")
        rule = SecurityGroupRule(
            uuid=call.parts.ids.uuid(),
            project_id=group.project_id,
            security_group_id=group.uuid,
            description=values.get("description", ""),
            direction=Direction(values["direction"]),
            ethertype=values.get("ethertype", "IPv4"),
            protocol=values.get("protocol"),
            port_range_min=values.get("port_range_min"),
            port_range_max=values.get("port_range_max"),
            remote_ip_prefix=None if prefix is None else str(prefix),
            remote_group_id=remote,
            created_at=tx.now,
        )
        for other in await tx.security_group_rules.select({"security_group_id": group.uuid}):
            if _matches_same(rule, other):
                raise SecurityGroupRuleExists(f"Security group rule already exists. Rule id is {other.uuid}.")
        await tx.security_group_rules.insert(rule)
        await hint_members(tx, [group.uuid])
    return reply({"security_group_rule": show_rule(rule)}, 201)


def _matches_same(rule: SecurityGroupRule, other: SecurityGroupRule) -> bool:
    """Whether both say the same of packets."""
    return replace(other, uuid=rule.uuid, description="", created_at=rule.created_at, updated_at=None) == replace(
        rule, description=""
    )


def _check_rule(values: Mapping[str, Any]) -> None:
    """Raise `InvalidField` for fields that do not fit each other."""
    protocol, low, high = (values.get(name) for name in ("protocol", "port_range_min", "port_range_max"))
    prefix = values.get("remote_ip_prefix")
    if prefix is not None and values.get("remote_group_id") is not None:
        raise InvalidField("remote_group_id", values["remote_group_id"], "not together with remote_ip_prefix.")
    ethertype = values.get("ethertype", "IPv4")
    if prefix is not None and f"IPv{prefix.version}" != ethertype:
        raise InvalidField("remote_ip_prefix", str(prefix), f"it has to be of ethertype {ethertype}.")
    if low is None and high is None:
        return
    if protocol in _WITH_PORTS:
        if low is None or high is None or low > high or low < 1:
            raise InvalidField("port_range_min", low, "it has to be from 1 to port_range_max.")
    elif protocol == "icmp":
        if low is None or max(low, high or 0) > _MOST_ICMP:
            raise InvalidField("port_range_min", low, "type and code of icmp are 0 to 255, no code without a type.")
    else:
        raise InvalidField("port_range_min", low, "only tcp and udp have ports, and icmp types.")


async def _find_rule(tx: Transaction, call: Call) -> SecurityGroupRule:
    uuid = call.path["rule"]
    rules = await tx.security_group_rules.select(select_own(call, uuid))
    if not rules:
        raise SecurityGroupRuleNotFound(f"Security group rule {uuid} does not exist")
    return rules[0]


async def show_one_rule(call: Call) -> Answer:
    """GET /security-group-rules/{rule}: a rule"""
    async with call.parts.store.read() as tx:
        return reply({"security_group_rule": show_rule(await _find_rule(tx, call))})


async def delete_rule(call: Call) -> Answer:
    """DELETE /security-group-rules/{rule}: the rule's end"""
    async with call.parts.store.write() as tx:
        rule = await _find_rule(tx, call)
        await tx.security_group_rules.remove({"uuid": rule.uuid})
        await hint_members(tx, [rule.security_group_id])
    return NO_CONTENT
