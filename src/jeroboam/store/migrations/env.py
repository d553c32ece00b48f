"""Alembic's entry: runs the versions on the connection that `upgrade` hands over."""

from alembic import context

from jeroboam.store import network_tables, volume_tables
from jeroboam.store.tables import metadata

# Their tables are in it once they are imported.
assert network_tables.metadata is volume_tables.metadata is metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
