"""The only home of SQLAlchemy: tables, unit of work, leases, outbox, migrations."""

from jeroboam.store.access import StoreUnavailable, fault_of
from jeroboam.store.briefs import ClusterBrief, GroupBrief
from jeroboam.store.broken import BrokenRow
from jeroboam.store.capsules import CapsuleRows
from jeroboam.store.census import Census
from jeroboam.store.filters import ClusterFilter, TemplateFilter
from jeroboam.store.growth import check_growth
from jeroboam.store.history import EventFilter
from jeroboam.store.kinds import ContainerRows, sort_keys
from jeroboam.store.leases import Lease
from jeroboam.store.rows import Page, Rows
from jeroboam.store.selectors import (
    BayObjectSelector,
    CapsuleEventSelector,
    CapsuleSelector,
    ClusterSelector,
    ContainerSelector,
    HostImageSelector,
    HostSelector,
    NetworkSelector,
    NodeGroupSelector,
    PortSelector,
    QuotaSelector,
    RegistrySelector,
    SecurityGroupRuleSelector,
    SecurityGroupSelector,
    SubnetSelector,
    VolumeSelector,
)
from jeroboam.store.store import Store
from jeroboam.store.transaction import Notification, Transaction

__all__ = [
    "BayObjectSelector",
    "BrokenRow",
    "CapsuleEventSelector",
    "CapsuleRows",
    "CapsuleSelector",
    "Census",
    "ClusterBrief",
    "ClusterFilter",
    "ClusterSelector",
    "ContainerRows",
    "ContainerSelector",
    "EventFilter",
    "GroupBrief",
    "HostImageSelector",
    "HostSelector",
    "Lease",
    "NetworkSelector",
    "NodeGroupSelector",
    "Notification",
    "Page",
    "PortSelector",
    "QuotaSelector",
    "RegistrySelector",
    "Rows",
    "SecurityGroupRuleSelector",
    "SecurityGroupSelector",
    "Store",
    "StoreUnavailable",
    "SubnetSelector",
    "TemplateFilter",
    "Transaction",
    "VolumeSelector",
    "check_growth",
    "fault_of",
    "sort_keys",
]
