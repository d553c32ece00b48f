"""The tables of capsules. Neighbour: `tables`, the others."""

import sqlalchemy as sa

from jeroboam.store.tables import UtcDateTime, id_column, json_column, metadata, time_columns

capsule = sa.Table(
    "capsule",
    metadata,
    id_column(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False, index=True),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255), nullable=False),
    json_column("spec"),
    json_column("ops"),
    json_column("observed"),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("host_id", sa.String(36)),
    sa.Column("host", sa.String(255)),
    # As those of containers; `containers` counts them.
    sa.Column("cpu", sa.Float, nullable=False, server_default="0"),
    sa.Column("memory", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("disk", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("containers", sa.Integer, nullable=False, server_default="0"),
    sa.Column("given_up", sa.Integer, nullable=False),
    sa.Column("failure", sa.Text),
    sa.Column("status", sa.String(32), nullable=False, index=True),
    sa.Column("status_reason", sa.Text),
    sa.Column("deadline_at", UtcDateTime),
    *time_columns(),
    sa.Index("ix_capsule_use_of_host", "host_id", "containers", "memory", "cpu", "disk"),
    sa.Index("ix_capsule_use_of_project", "project_id", "containers", "memory", "cpu", "disk"),
)

# The containers of capsules, to be found by their uuids.
capsule_member = sa.Table(
    "capsule_member",
    metadata,
    id_column(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("capsule_id", sa.String(36), nullable=False, index=True),
)

# Events of capsules. No foreign key: an event outlives its capsule.
capsule_event = sa.Table(
    "capsule_event",
    metadata,
    id_column(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("capsule_id", sa.String(36), nullable=False, index=True),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("container_id", sa.String(36)),
    sa.Column("container_name", sa.String(255)),
    sa.Column("event_type", sa.String(64), nullable=False),
    sa.Column("status", sa.String(32)),
    sa.Column("message", sa.Text),
    sa.Column("user_id", sa.String(255)),
    sa.Column("request_id", sa.String(64)),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
)
