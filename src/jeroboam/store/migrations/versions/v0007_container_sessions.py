"""Tables for what was asked of containers, and for interactive sessions that are not opened yet."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """One version up."""
    op.create_table(
        "container_action",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("container_id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finish_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_container_action")),
    )
    op.create_index(op.f("ix_container_action_container_id"), "container_action", ["container_id"])
    op.create_index(op.f("ix_container_action_start_time"), "container_action", ["start_time"])
    op.create_table(
        "interactive_session",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("container_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("exec_id", sa.String(length=64), nullable=True),
        sa.Column("command", sa.JSON(), nullable=False),
        sa.Column("tty", sa.Boolean(), nullable=False),
        sa.Column("size", sa.JSON(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interactive_session")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_interactive_session_token_hash")),
    )
    op.create_index(op.f("ix_interactive_session_container_id"), "interactive_session", ["container_id"])
