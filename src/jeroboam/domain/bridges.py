"""The names of bridges, which a runtime makes and a packet filter matches. Neighbours: both of these."""

import hashlib

PREFIX = "jrb-"
"""How the names of the bridges of projects' networks begin."""
# Names of interfaces have at most 15 letters.
_LETTERS = 10


def name_network(installation: str, network_id: str) -> str:
    """Return the name of that network with a runtime, where other installations may have networks too."""
    return f"jeroboam-network-{hashlib.sha256(f'{installation} {network_id}'.encode()).hexdigest()[:16]}"


def name_bridge_of(network_name: str) -> str:
    """Return the name of the bridge of the network with that name."""
    return f"{PREFIX}{hashlib.sha256(network_name.encode()).hexdigest()[:_LETTERS]}"


def name_bridge(installation: str, network_id: str) -> str:
    """Return the name of the bridge of that network."""
    return name_bridge_of(name_network(installation, network_id))
