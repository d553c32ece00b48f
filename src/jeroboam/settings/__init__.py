"""The operator's options. Only the command line and bootstrap read them."""

from jeroboam.settings.database import name_database
from jeroboam.settings.load import (
    list_effective_options,
    list_faults,
    load,
    parse_address,
    parse_networks,
    read_options,
)
from jeroboam.settings.options import GROUPS, Settings, default_cache, default_state

__all__ = [
    "GROUPS",
    "Settings",
    "default_cache",
    "default_state",
    "list_effective_options",
    "list_faults",
    "load",
    "name_database",
    "parse_address",
    "parse_networks",
    "read_options",
]
