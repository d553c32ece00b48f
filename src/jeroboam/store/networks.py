"""Networks, subnets, ports and security groups in their tables."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

import msgspec
import sqlalchemy as sa

from jeroboam.domain.host_ports import FilterRule, HostPort
from jeroboam.domain.networks import Network, Port, SecurityGroup, SecurityGroupRule, Subnet
from jeroboam.store import network_tables as tables
from jeroboam.store.rows import RowKind, Rows
from jeroboam.store.selectors import (
    NetworkSelector,
    PortSelector,
    SecurityGroupRuleSelector,
    SecurityGroupSelector,
    SubnetSelector,
)
from jeroboam.store.tables import container

NETWORK = RowKind(tables.network, Network, NetworkSelector)
SUBNET = RowKind(tables.subnet, Subnet, SubnetSelector)
PORT = RowKind(tables.port, Port, PortSelector)
SECURITY_GROUP = RowKind(tables.security_group, SecurityGroup, SecurityGroupSelector)
SECURITY_GROUP_RULE = RowKind(tables.security_group_rule, SecurityGroupRule, SecurityGroupRuleSelector)

SubnetRows = Rows[Subnet, SubnetSelector]
NetworkRows = Rows[Network, NetworkSelector]
SecurityGroupRows = Rows[SecurityGroup, SecurityGroupSelector]
SecurityGroupRuleRows = Rows[SecurityGroupRule, SecurityGroupRuleSelector]


class PortRows(Rows[Port, PortSelector]):
    """Ports, and what of them hosts need."""

    async def list_addresses(self, subnet_id: str) -> set[str]:
        """Return the addresses of the subnet that ports have."""
        table = tables.port
        query = sa.select(table.c.ip_address).where(table.c.subnet_id == subnet_id)
        return {row[0] for row in (await self._connection.execute(query)).all()}

    async def list_placed_in_groups(self, group_ids: Collection[str]) -> list[tuple[str, str]]:
        """Return host and uuid of the placed containers with ports in any of these groups. Nothing is locked."""
        table = tables.port
        query = sa.select(container.c.host_id, container.c.uuid, table.c.security_groups).where(
            table.c.device_id == container.c.uuid, container.c.host_id.is_not(None)
        )
        rows = (await self._connection.execute(query)).all()
        return sorted({(row[0], row[1]) for row in rows if not set(group_ids).isdisjoint(_decode_groups(row[2]))})

    async def is_group_used(self, group_id: str, project_id: str) -> bool:
        """Whether any of the project's ports is in that group. Nothing is locked."""
        table = tables.port
        query = sa.select(table.c.security_groups).where(table.c.project_id == project_id)
        return any(group_id in _decode_groups(row[0]) for row in (await self._connection.execute(query)).all())

    async def host_ports(self, containers: Sequence[str]) -> dict[str, tuple[HostPort, ...]]:
        """Return the ports of these containers as a host needs them, by container, in the order of arrival."""
        ports = await self.select({"device_id": list(containers)}) if containers else []
        if not ports:
            return {}
        rules = await self._rules_by_group({group for port in ports for group in port.security_groups})
        subnets = Rows(self._connection, SUBNET, for_update=False)
        by_uuid = {row.uuid: row for row in await subnets.select({"uuid": list({port.subnet_id for port in ports})})}
        host_ports: dict[str, list[HostPort]] = defaultdict(list)
        for port in ports:
            subnet = by_uuid[port.subnet_id]
            host_ports[port.device_id].append(
                HostPort(
                    uuid=port.uuid,
                    network_id=port.network_id,
                    cidr=subnet.cidr,
                    gateway=subnet.gateway_ip,
                    address=port.ip_address,
                    mac_address=port.mac_address,
                    security_groups=tuple(sorted(port.security_groups)),
                    rules=tuple(sorted({rule for group in port.security_groups for rule in rules[group]}, key=repr)),
                )
            )
        return {container: tuple(members) for container, members in host_ports.items()}

    async def _rules_by_group(self, groups: set[str]) -> dict[str, list[FilterRule]]:
        """Return the rules of each group for packets of version 4."""
        rows = Rows(self._connection, SECURITY_GROUP_RULE, for_update=False)
        rules: dict[str, list[FilterRule]] = defaultdict(list)
        for row in await rows.select({"security_group_id": list(groups)}) if groups else ():
            if row.ethertype == "IPv4":
                rules[row.security_group_id].append(_read_filter_rule(row))
        return rules

    async def release(self, container: str) -> None:
        """Remove the ports and groups that go with the container; unbind those that stay."""
        for port in await self.select({"device_id": container}):
            if port.preserve_on_delete:
                await self.update(replace(port, device_id="", device_owner=""))
            else:
                await self.remove({"uuid": port.uuid})
        group = tables.security_group
        rows = (await self._connection.execute(sa.select(group.c.uuid).where(group.c.container_id == container))).all()
        if rows:
            uuids, rule = [row[0] for row in rows], tables.security_group_rule
            await self._connection.execute(rule.delete().where(rule.c.security_group_id.in_(uuids)))
            await self._connection.execute(group.delete().where(group.c.uuid.in_(uuids)))


_decode_groups = msgspec.json.Decoder(tuple[str, ...]).decode


def _read_filter_rule(rule: SecurityGroupRule) -> FilterRule:
    return FilterRule(
        direction=rule.direction,
        protocol=rule.protocol or "",
        port_min=rule.port_range_min,
        port_max=rule.port_range_max,
        remote_prefix="" if rule.remote_ip_prefix in {None, "0.0.0.0/0"} else str(rule.remote_ip_prefix),
        remote_group=rule.remote_group_id or "",
    )
