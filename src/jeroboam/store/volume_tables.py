"""The tables of volumes and their attachments. Neighbour: `tables`, which has all others."""

import sqlalchemy as sa

from jeroboam.store.tables import UtcDateTime, id_column, json_column, metadata, time_columns

__all__ = ["metadata", "volume", "volume_attachment"]

volume = sa.Table(
    "volume",
    metadata,
    id_column(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), index=True),
    sa.Column("description", sa.Text),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("multiattach", sa.Boolean, nullable=False),
    json_column("metadata"),
    sa.Column("is_temporary", sa.Boolean, nullable=False),
    sa.Column("host_id", sa.String(36), index=True),
    sa.Column("host", sa.String(255)),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("status_reason", sa.Text),
    *time_columns(),
)

# No foreign key: a container's row is removed with its attachments in one transaction.
volume_attachment = sa.Table(
    "volume_attachment",
    metadata,
    id_column(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("volume_id", sa.String(36), nullable=False),
    sa.Column("container_id", sa.String(36), nullable=False, index=True),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("volume_id", "container_id"),
)
