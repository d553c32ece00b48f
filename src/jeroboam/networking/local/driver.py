"""The driver `local`: sets the rules of security groups in the packet filter of this machine.

The bridges are the runtime's: it makes them when it puts containers on networks. Neighbours: `rules`, the text of the
rules; `clients.firewall`, which runs the programs of the packet filter.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self, final

import structlog

from jeroboam.clients import firewall
from jeroboam.domain.bridges import PREFIX, name_bridge
from jeroboam.domain.errors import Temporary
from jeroboam.domain.host_ports import HostPort
from jeroboam.networking.base import Networking, NetworkingSettings
from jeroboam.networking.local.rules import build_rules, name_chain

log = structlog.get_logger(__name__)


@final
class LocalNetworking(Networking):
    """Security groups as rules of iptables."""

    def __init__(self, *, installation: str) -> None:
        self._chain = name_chain(installation)
        self._name_bridge: Callable[[str], str] = lambda network_id: name_bridge(installation, network_id)
        self._setting = asyncio.Lock()
        self._current = self._empty = build_rules(self._chain, (), self._name_bridge)

    @classmethod
    def from_settings(cls, settings: NetworkingSettings) -> Self:
        return cls(installation=settings.installation)

    async def set_ports(self, ports: Sequence[HostPort], *, is_fresh: bool = False) -> None:
        rules = build_rules(self._chain, ports, self._name_bridge)
        # While other rules are being set, those that are current now are so no longer in a moment.
        if rules == self._current and not is_fresh and not self._setting.locked():
            return
        async with self._setting:
            if rules == self._current and not is_fresh:
                return
            await self._set_rules(ports, rules)

    async def _set_rules(self, ports: Sequence[HostPort], rules: str) -> None:
        former_rules = self._current
        # Unknown until it is done: it may be broken off.
        self._current = ""
        old_chains = await firewall.list_chains(self._chain)
        if rules == self._empty:
            # Machines without a packet filter have nothing to take away.
            if old_chains:
                await firewall.remove_chains(self._chain, build_rules(self._chain, (), self._name_bridge, old_chains))
            self._current = rules
            return
        text = build_rules(self._chain, ports, self._name_bridge, old_chains or ())
        faults = await firewall.set_chains(self._chain, text, bridges=PREFIX)
        if faults:
            raise Temporary(f"the security groups of its ports cannot be enforced: {'; '.join(faults)}")
        if rules != former_rules:
            log.info("networking.filter-set", chain=self._chain, lines=text.count("\n"))
        self._current = rules

    async def close(self) -> None:
        """Nothing is open. The rules stay: they protect containers that keep running."""
