"""What several processes on one store need: leases by name, who dispatches to a host, the use of a host in an index."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """One version up."""
    op.create_table(
        "named_lease",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_named_lease")),
    )
    op.add_column("host", sa.Column("dispatcher", sa.String(length=64), nullable=True))
    op.add_column("host", sa.Column("session", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("container", sa.Column("cpu", sa.Float(), nullable=False, server_default="0"))
    op.add_column("container", sa.Column("memory", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("container", sa.Column("disk", sa.BigInteger(), nullable=False, server_default="0"))
    container = sa.table("container", sa.column("spec", sa.JSON()), *map(sa.column, ("cpu", "memory", "disk")))
    spec = container.c.spec
    op.execute(
        container.update().values(
            cpu=spec["cpu"].as_float(),
            memory=spec["memory"].as_integer(),
            disk=sa.func.coalesce(spec["disk"].as_integer(), 0),
        )
    )
    # Both new indexes begin as one that went.
    op.drop_index(op.f("ix_container_host_id"), "container")
    op.create_index("ix_container_use_of_host", "container", ["host_id", "memory", "cpu", "disk"], unique=False)
    op.create_index(
        "ix_container_use_of_project", "container", ["project_id", "status", "memory", "cpu", "disk"], unique=False
    )
    _date_failures("cluster")
    _date_failures("workload")
    # A pass over a container is one transaction: it never needed a lease.
    for name in ("lease_owner", "lease_token", "lease_until"):
        op.drop_column("container", name)


def _date_failures(name: str) -> None:
    """A failure counts for the wish that it belongs to. Until now the next wish removed it."""
    observed, generation = sa.column("observed", sa.JSON()), sa.column("generation", sa.Integer())
    table = sa.table(name, observed, generation)
    if op.get_bind().dialect.name == "postgresql":
        objects = sa.cast(observed, postgresql.JSONB)
        path = sa.cast(sa.literal("{failed_generation}"), postgresql.ARRAY(sa.Text))
        dated: sa.ColumnElement[Any] = sa.cast(sa.func.jsonb_set(objects, path, sa.func.to_jsonb(generation)), sa.JSON)
        has_failure = objects["failure"].astext.is_not(None)
    else:
        dated = sa.func.json_set(observed, "$.failed_generation", generation)
        has_failure = sa.and_(sa.func.json_valid(observed), sa.func.json_extract(observed, "$.failure").is_not(None))
    op.execute(table.update().where(has_failure).values(observed=dated))
