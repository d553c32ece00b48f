"""Tables for volumes and for their attachments to containers; cores that containers have for themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0008"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """One version up."""
    op.create_table(
        "volume",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("multiattach", sa.Boolean(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("is_temporary", sa.Boolean(), nullable=False),
        sa.Column("host_id", sa.String(length=36), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume")),
        sa.UniqueConstraint("uuid", name=op.f("uq_volume_uuid")),
    )
    for name in ("name", "project_id", "host_id"):
        op.create_index(op.f(f"ix_volume_{name}"), "volume", [name])
    op.create_table(
        "volume_attachment",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("container_id", sa.String(length=36), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume_attachment")),
        sa.UniqueConstraint("uuid", name=op.f("uq_volume_attachment_uuid")),
        sa.UniqueConstraint("volume_id", "container_id", name=op.f("uq_volume_attachment_volume_id")),
    )
    op.create_index(op.f("ix_volume_attachment_container_id"), "volume_attachment", ["container_id"])
    op.add_column("container", sa.Column("cpuset", sa.JSON(), nullable=False, server_default="[]"))
