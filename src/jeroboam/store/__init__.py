"""The only home of SQLAlchemy: tables, unit of work, leases, outbox, migrations."""

from jeroboam.store.leases import Lease
from jeroboam.store.rows import Page
from jeroboam.store.store import Store
from jeroboam.store.transaction import Transaction

__all__ = ["Lease", "Page", "Store", "Transaction"]
