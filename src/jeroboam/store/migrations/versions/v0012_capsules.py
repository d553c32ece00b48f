"""Tables for capsules, for the containers in them, and for their events."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """One version up."""
    op.create_table(
        "capsule",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("ops", sa.JSON(), nullable=False),
        sa.Column("observed", sa.JSON(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("host_id", sa.String(length=36), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("cpu", sa.Float(), nullable=False, server_default="0"),
        sa.Column("memory", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("disk", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("containers", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("given_up", sa.Integer(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capsule")),
        sa.UniqueConstraint("uuid", name=op.f("uq_capsule_uuid")),
    )
    op.create_index(op.f("ix_capsule_name"), "capsule", ["name"])
    op.create_index(op.f("ix_capsule_status"), "capsule", ["status"])
    op.create_index("ix_capsule_use_of_host", "capsule", ["host_id", "containers", "memory", "cpu", "disk"])
    op.create_index("ix_capsule_use_of_project", "capsule", ["project_id", "containers", "memory", "cpu", "disk"])
    op.create_table(
        "capsule_member",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("capsule_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capsule_member")),
        sa.UniqueConstraint("uuid", name=op.f("uq_capsule_member_uuid")),
    )
    op.create_index(op.f("ix_capsule_member_capsule_id"), "capsule_member", ["capsule_id"])
    op.create_table(
        "capsule_event",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("capsule_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("container_id", sa.String(length=36), nullable=True),
        sa.Column("container_name", sa.String(length=255), nullable=True),
        sa.Column("event_type", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("user_id", sa.String(length=255), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capsule_event")),
        sa.UniqueConstraint("uuid", name=op.f("uq_capsule_event_uuid")),
    )
    op.create_index(op.f("ix_capsule_event_capsule_id"), "capsule_event", ["capsule_id"])
    op.create_index(op.f("ix_capsule_event_created_at"), "capsule_event", ["created_at"])
