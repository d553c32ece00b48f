"""What nodes of a Swarm use before they run any work, so that a cluster is accepted only where it fits.

Neighbour: `coe`.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network

from jeroboam.coes.base import HasRequirements

NODE_MEMORY = 40
"""MiB of an Engine with its containerd, of either role: what 557 nodes took of one machine, each."""
NODE_DISK = 0.1
"""GiB of an Engine's own folders."""


class SwarmRequirements(HasRequirements):
    """The contract `HasRequirements` for Docker Swarm."""

    @property
    def disk(self) -> float:
        return NODE_DISK

    def memory(self, role: str) -> int:
        del role  # A manager keeps a little more, which is within the figure.
        return NODE_MEMORY

    def networks(self, labels: Mapping[str, str]) -> Mapping[str, IPv4Network]:
        del labels  # The Engine chooses the networks of services, beside those of its host.
        return {}
