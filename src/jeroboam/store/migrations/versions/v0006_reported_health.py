"""A column for the health that is reported from outside. Until now it was written over what was observed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_MOVE_SQLITE = """
UPDATE cluster SET reported_health = json_object(
  'health_status', json_extract(observed, '$.health_status'),
  'health_status_reason', json(coalesce(json_extract(observed, '$.health_status_reason'), '{}')),
  'health_changes', 0,
  'reported_at', strftime('%Y-%m-%dT%H:%M:%SZ', coalesce(updated_at, created_at)))
WHERE CASE WHEN json_valid(observed) THEN json_extract(observed, '$.health_reported') END
"""
_MOVE_POSTGRESQL = """
UPDATE cluster SET reported_health = json_build_object(
  'health_status', observed -> 'health_status',
  'health_status_reason', coalesce(observed -> 'health_status_reason', '{}'),
  'health_changes', 0,
  'reported_at', coalesce(updated_at, created_at))
WHERE observed ->> 'health_reported' = 'true'
"""


def upgrade() -> None:
    """One version up."""
    op.add_column("cluster", sa.Column("reported_health", sa.JSON(), nullable=False, server_default="null"))
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    op.execute(_MOVE_POSTGRESQL if is_postgresql else _MOVE_SQLITE)
