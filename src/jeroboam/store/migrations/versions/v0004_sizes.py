"""Sizes of node groups in columns of their own, so that lists of clusters add them up from an index."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """One version up."""
    op.add_column("nodegroup", sa.Column("role", sa.String(length=255), nullable=False, server_default=""))
    op.add_column("nodegroup", sa.Column("node_count", sa.Integer(), nullable=False, server_default="0"))
    group = sa.table("nodegroup", sa.column("spec", sa.JSON()), sa.column("role"), sa.column("node_count"))
    spec = group.c.spec
    op.execute(group.update().values(role=spec["role"].as_string(), node_count=spec["node_count"].as_integer()))
    # The new index begins as the old one did, and so does what the old one did.
    op.drop_index(op.f("ix_nodegroup_cluster_id"), "nodegroup")
    op.create_index("ix_nodegroup_sizes", "nodegroup", ["cluster_id", "role", "node_count"], unique=False)
