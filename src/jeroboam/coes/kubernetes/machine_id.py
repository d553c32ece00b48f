"""The machine id that a kubelet reports: it tells what a node was booted with.

The machine id is the only value that a node sets at its boot and that the cluster's API shows (decision 0012).
Neighbours: `node_script`, which writes it; `observe` and the COE, which read it.
"""

import datetime as dt
import hashlib
import re
from dataclasses import dataclass

from jeroboam.coes.base import CoePlan, Member
from jeroboam.domain.nodeidents import machine_build

# Certificates of nodes are valid for a year. Quarters are counted; certificates that are two quarters old are renewed.
_PERIOD_SECONDS = 91 * 24 * 3600
_PERIODS = 1 << 16
_DUE_PERIODS = 2
_HEX = re.compile(r"[0-9a-f]{4}")


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineId:
    """The machine id of a node: build, trusted authorities and age of its certificates."""

    build: str
    """The build of the node. A rebuilt node is shown as ready until the cluster misses its former kubelet."""
    trust: str
    """A digest of the authorities that the node trusts."""
    period: int
    """The quarter in which its certificates were issued."""

    @classmethod
    def of(cls, plan: CoePlan, member: Member, now: dt.datetime) -> "MachineId":
        """Return the machine id that the member should report."""
        words = (f"{kind} {authority.trust_bundle}" for kind, authority in sorted(plan.authorities.items()))
        return cls(
            build=build_id(member),
            trust=hashlib.sha256("".join(words).encode()).hexdigest()[:12],
            period=int(now.timestamp() / _PERIOD_SECONDS) % _PERIODS,
        )

    @classmethod
    def parse(cls, text: str) -> "MachineId":
        """Parse a reported machine id. The id of a machine that is not ours equals none of ours."""
        period = text[28:32]
        return cls(build=text[:16], trust=text[16:28], period=int(period, 16) if _HEX.fullmatch(period) else 0)

    def __str__(self) -> str:
        return f"{self.build}{self.trust}{self.period:04x}"

    def is_due(self, now: "MachineId") -> bool:
        """Whether these certificates expire within months, seen from `now`."""
        return (now.period - self.period) % _PERIODS >= _DUE_PERIODS


def build_id(member: Member) -> str:
    """Return the part of the machine id that is the node's build."""
    return machine_build(member.uuid, member.build)
