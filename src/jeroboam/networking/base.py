"""The contract of networking drivers: what a host does for the ports of its containers beside the runtime.

A runtime puts a container on a network, with the address of its port; both follow from a `HostPort`. A driver of this
family does the rest: it filters packets by the rules of security groups (`local`), or plugs ports into the networks of
another service and waits for them. All of it is level-triggered: the agent hands over all ports that this host has, and
the driver compares. So a driver may be killed at any moment and keeps no notes of its own. Neighbours: the agent calls
it; `local` implements it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from jeroboam.domain.host_ports import HostPort


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkingSettings:
    """What a driver is made from."""

    installation: str
    """Tells what this service makes from what another one makes on the same host."""


class Networking(Protocol):
    """Serves the ports of one host."""

    @classmethod
    def from_settings(cls, settings: NetworkingSettings) -> Self:
        """A driver with these settings. Nothing is done yet."""
        ...

    async def set_ports(self, ports: Sequence[HostPort], *, is_fresh: bool = False) -> None:
        """Have exactly these ports on this host: safe to start containers on, with the rules of their groups.

        What was done before is kept, and nothing is done twice; with `is_fresh` it is looked for on the host, since
        others may have changed it. Whatever belongs to a port that is not among these any more is taken away. Raises
        `Temporary` that says why the ports are not safe to be used.
        """
        ...

    async def close(self) -> None:
        """Close connections. Ports stay as they are."""
        ...
