"""The tables of networks, their ports and their security groups. Neighbour: `tables`, which has all others."""

import sqlalchemy as sa

from jeroboam.store.tables import base_columns, id_column, json_column, metadata, time_columns

__all__ = ["metadata", "network", "port", "security_group", "security_group_rule", "subnet"]

network = sa.Table(
    "network",
    metadata,
    *base_columns(),
    sa.Column("description", sa.String(255), nullable=False),
    sa.Column("is_default", sa.Boolean, nullable=False),
    *time_columns(),
)

subnet = sa.Table(
    "subnet",
    metadata,
    *base_columns(),
    sa.Column("network_id", sa.String(36), sa.ForeignKey("network.uuid"), nullable=False, unique=True),
    sa.Column("description", sa.String(255), nullable=False),
    sa.Column("cidr", sa.String(64), nullable=False),
    sa.Column("gateway_ip", sa.String(64), nullable=False),
    sa.Column("is_default", sa.Boolean, nullable=False),
    *time_columns(),
)

port = sa.Table(
    "port",
    metadata,
    *base_columns(),
    sa.Column("network_id", sa.String(36), sa.ForeignKey("network.uuid"), nullable=False, index=True),
    sa.Column("description", sa.String(255), nullable=False),
    sa.Column("subnet_id", sa.String(36), sa.ForeignKey("subnet.uuid"), nullable=False),
    sa.Column("ip_address", sa.String(64), nullable=False),
    json_column("security_groups"),
    sa.Column("device_id", sa.String(255), nullable=False, index=True),
    sa.Column("device_owner", sa.String(255), nullable=False),
    sa.Column("preserve_on_delete", sa.Boolean, nullable=False),
    *time_columns(),
    # The race of two for one address is decided here.
    sa.UniqueConstraint("subnet_id", "ip_address"),
)

security_group = sa.Table(
    "security_group",
    metadata,
    *base_columns(),
    sa.Column("description", sa.String(255), nullable=False),
    sa.Column("container_id", sa.String(36), index=True),
    *time_columns(),
)

security_group_rule = sa.Table(
    "security_group_rule",
    metadata,
    id_column(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("security_group_id", sa.String(36), sa.ForeignKey("security_group.uuid"), nullable=False, index=True),
    sa.Column("description", sa.String(255), nullable=False),
    sa.Column("direction", sa.String(16), nullable=False),
    sa.Column("ethertype", sa.String(8), nullable=False),
    sa.Column("protocol", sa.String(40)),
    sa.Column("port_range_min", sa.Integer),
    sa.Column("port_range_max", sa.Integer),
    sa.Column("remote_ip_prefix", sa.String(64)),
    sa.Column("remote_group_id", sa.String(36)),
    *time_columns(),
)
