"""What a kubelet says its machine is: the name by which we tell what a node was booted with.

A machine's id is the one thing that a node lays down at its boot and the cluster's API shows. Neighbours: `boot`, which
writes it; `seen` and the COE, which read it.
"""

import datetime as dt
import hashlib
import re
from dataclasses import dataclass

from jeroboam.coes.base import CoePlan, Member
from jeroboam.domain.nodeidents import machine_build

# Certificates of nodes are good for a year; its quarters are counted, and those that are two behind are renewed.
_PERIOD_SECONDS = 91 * 24 * 3600
_PERIODS = 1 << 16
_DUE_PERIODS = 2
_HEX = re.compile(r"[0-9a-f]{4}")


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineId:
    """What a kubelet says its machine is, so that the cluster tells us what it was booted with."""

    build: str
    """Of the node. One that was made anew still stands as ready, for as long as nobody misses its former kubelet."""
    trust: str
    """The authorities that it was given."""
    period: int
    """When its certificates were made."""

    @classmethod
    def of(cls, plan: CoePlan, member: Member, now: dt.datetime) -> "MachineId":
        """What that member is to say."""
        words = (f"{kind} {authority.trusted}" for kind, authority in sorted(plan.authorities.items()))
        return cls(
            build=build_id(member),
            trust=hashlib.sha256("".join(words).encode()).hexdigest()[:12],
            period=int(now.timestamp() / _PERIOD_SECONDS) % _PERIODS,
        )

    @classmethod
    def said(cls, text: str) -> "MachineId":
        """What a node says; one that is no machine of ours is like none of ours."""
        period = text[28:32]
        return cls(build=text[:16], trust=text[16:28], period=int(period, 16) if _HEX.fullmatch(period) else 0)

    def __str__(self) -> str:
        return f"{self.build}{self.trust}{self.period:04x}"

    def is_due(self, now: "MachineId") -> bool:
        """Whether certificates of then end within months, seen from now."""
        return (now.period - self.period) % _PERIODS >= _DUE_PERIODS


def provider_id(member: Member) -> str:
    """Which server a node is, as the programs of OpenStack look for it: by the same uuid that its system shows."""
    return f"openstack:///{member.uuid}"


def build_id(member: Member) -> str:
    """The part of what a node says that is of its build."""
    return machine_build(member.uuid, member.build)
