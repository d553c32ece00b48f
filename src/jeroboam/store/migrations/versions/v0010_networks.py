"""Tables for networks of projects, their subnets and ports, and security groups."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _base_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
    ]


def _constraints(table: str) -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        sa.UniqueConstraint("uuid", name=op.f(f"uq_{table}_uuid")),
    ]


def _refer(table: str, column: str, target: str) -> sa.Constraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.uuid"], name=op.f(f"fk_{table}_{column}"))


def upgrade() -> None:
    """One version up."""
    op.create_table(
        "network",
        *_base_columns(),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        *_constraints("network"),
    )
    op.create_table(
        "subnet",
        *_base_columns(),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("cidr", sa.String(length=64), nullable=False),
        sa.Column("gateway_ip", sa.String(length=64), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        *_constraints("subnet"),
        _refer("subnet", "network_id", "network"),
        sa.UniqueConstraint("network_id", name=op.f("uq_subnet_network_id")),
    )
    op.create_table(
        "port",
        *_base_columns(),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("subnet_id", sa.String(length=36), nullable=False),
        sa.Column("ip_address", sa.String(length=64), nullable=False),
        sa.Column("security_groups", sa.JSON(), nullable=False),
        sa.Column("device_id", sa.String(length=255), nullable=False),
        sa.Column("device_owner", sa.String(length=255), nullable=False),
        sa.Column("preserve_on_delete", sa.Boolean(), nullable=False),
        *_constraints("port"),
        _refer("port", "network_id", "network"),
        _refer("port", "subnet_id", "subnet"),
        sa.UniqueConstraint("subnet_id", "ip_address", name=op.f("uq_port_subnet_id")),
    )
    op.create_table(
        "security_group",
        *_base_columns(),
        sa.Column("container_id", sa.String(length=36), nullable=True),
        *_constraints("security_group"),
    )
    op.create_table(
        "security_group_rule",
        *(column for column in _base_columns() if column.name != "name"),
        sa.Column("security_group_id", sa.String(length=36), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.Column("ethertype", sa.String(length=8), nullable=False),
        sa.Column("protocol", sa.String(length=40), nullable=True),
        sa.Column("port_range_min", sa.Integer(), nullable=True),
        sa.Column("port_range_max", sa.Integer(), nullable=True),
        sa.Column("remote_ip_prefix", sa.String(length=64), nullable=True),
        sa.Column("remote_group_id", sa.String(length=36), nullable=True),
        *_constraints("security_group_rule"),
        _refer("security_group_rule", "security_group_id", "security_group"),
    )
    for table, columns in {
        "network": ("name", "project_id"),
        "subnet": ("name", "project_id"),
        "port": ("name", "project_id", "network_id", "device_id"),
        "security_group": ("name", "project_id", "container_id"),
        "security_group_rule": ("project_id", "security_group_id"),
    }.items():
        for column in columns:
            op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
