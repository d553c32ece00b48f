"""A capsule on an agent, as tests look at it."""

from jeroboam.domain.capsules import CapsulePhase, MemberObserved
from jeroboam.domain.containers import RuntimeState
from tests.agent_rig import Rig, member
from tests.clock import settle

A, B, INIT, NEXT_INIT = (member(name).uuid for name in "abcd")
INITS = (member("c"), member("d"))


def phase(rig: Rig) -> CapsulePhase:
    return rig.last_of_capsule().phase


def member_of(rig: Rig, uuid: str) -> MemberObserved:
    return rig.last_of_capsule().member(uuid)


def state(rig: Rig, uuid: str) -> RuntimeState:
    return member_of(rig, uuid).container.state


async def end(rig: Rig, uuid: str, exit_code: int = 0) -> None:
    rig.runtime.end(uuid, exit_code)
    await settle()
