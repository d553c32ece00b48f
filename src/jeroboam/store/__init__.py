"""The only home of SQLAlchemy: tables, unit of work, leases, outbox, migrations."""

from jeroboam.store.briefs import ClusterBrief, GroupBrief
from jeroboam.store.kinds import sort_keys
from jeroboam.store.leases import Lease
from jeroboam.store.rows import Page
from jeroboam.store.store import Store
from jeroboam.store.transaction import Notification, Transaction

__all__ = ["ClusterBrief", "GroupBrief", "Lease", "Notification", "Page", "Store", "Transaction", "sort_keys"]
