"""Probes of the containers of capsules, in virtual time."""

from jeroboam.domain.capsules import CapsulePhase, Probe, RestartRule
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import Permanent
from jeroboam.runtimes.fake import InjectedFault
from tests.agent_rig import CAPSULE, MAKE, REMOVE, Rig, capsule, member
from tests.unit.agent.capsules import A, member_of, phase, state


def probing(**probe) -> dict:
    fields = {"period_seconds": 5, "failure_threshold": 2} | probe
    return {"containers": (member("a", **{fields.pop("kind"): Probe(command=("check",), **fields)}),)}


def fail_probes(rig: Rig) -> None:
    rig.runtime.misbehave("execute", InjectedFault(error=Permanent("it is not well")))


async def test_a_failed_liveness_probe_restarts_the_container(made):
    rig = await made(**probing(kind="liveness_probe", initial_delay_seconds=3))
    await rig.clock.advance(20)
    assert member_of(rig, A).restart_count == 0
    fail_probes(rig)
    await rig.clock.advance(4)
    assert member_of(rig, A).restart_count == 0, "one failure is not two"
    await rig.clock.advance(6)
    assert member_of(rig, A).restart_count == 1
    assert rig.count("stop") == 1
    assert state(rig, A) is RuntimeState.RUNNING


async def test_a_failed_liveness_probe_fails_a_capsule_that_never_restarts(made):
    rig = await made(**probing(kind="liveness_probe"), restart_policy=RestartRule.NEVER)
    fail_probes(rig)
    await rig.clock.advance(12)
    assert phase(rig) is CapsulePhase.FAILED
    assert rig.last_of_capsule().reason == "a: Its liveness probe has failed: it is not well."


async def test_readiness_comes_and_goes_and_restarts_nothing(made):
    rig = await made(**probing(kind="readiness_probe", initial_delay_seconds=4, success_threshold=2))
    assert not member_of(rig, A).is_ready
    await rig.clock.advance(4)
    assert not member_of(rig, A).is_ready
    await rig.clock.advance(5)
    assert member_of(rig, A).is_ready
    fail_probes(rig)
    await rig.clock.advance(10)
    assert not member_of(rig, A).is_ready
    rig.runtime.behave("execute")
    await rig.clock.advance(10)
    assert member_of(rig, A).is_ready
    assert member_of(rig, A).restart_count == 0


async def test_a_startup_probe_holds_the_others_back(made):
    spec = member(
        "a",
        startup_probe=Probe(command=("up",), period_seconds=10, failure_threshold=5),
        liveness_probe=Probe(command=("live",), period_seconds=1, failure_threshold=1),
    )
    rig = await made()
    fail_probes(rig)
    await rig.assign(capsule(REMOVE, done=1))
    await rig.release(CAPSULE)
    await rig.assign(capsule(MAKE, containers=(spec,)))
    await rig.clock.advance(35)
    assert (member_of(rig, A).is_started, member_of(rig, A).restart_count) == (False, 0)
    rig.runtime.behave("execute")
    await rig.clock.advance(10)
    assert (member_of(rig, A).is_started, member_of(rig, A).is_ready) == (True, True)
    fail_probes(rig)
    await rig.clock.advance(2)
    assert member_of(rig, A).restart_count == 1


async def test_a_startup_that_takes_too_long_ends_the_container(made):
    rig = await made(**probing(kind="startup_probe", initial_delay_seconds=1), restart_policy=RestartRule.NEVER)
    fail_probes(rig)
    await rig.clock.advance(4)
    assert (member_of(rig, A).is_started, member_of(rig, A).restart_count) == (False, 0)
    await rig.clock.advance(2)
    assert phase(rig) is CapsulePhase.FAILED
    assert rig.last_of_capsule().reason == "a: Its startup probe has failed: it is not well."


async def test_a_probe_that_hangs_has_failed(made):
    rig = await made(**probing(kind="readiness_probe", timeout_seconds=2, failure_threshold=1))
    await rig.clock.advance(1)
    assert member_of(rig, A).is_ready
    rig.hold("execute")
    await rig.clock.advance(8)
    assert not member_of(rig, A).is_ready
