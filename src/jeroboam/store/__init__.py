"""The only home of SQLAlchemy: tables, unit of work, leases, outbox, migrations."""
