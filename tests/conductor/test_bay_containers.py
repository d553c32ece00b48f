"""Containers inside clusters, whatever dies, stays away or is meddled with: none is lost, none is there twice."""

import pytest

from jeroboam.coes.base import BayContainerState, DesiredContainer
from jeroboam.coes.fake.containers import UNKNOWN_IMAGE
from jeroboam.conductor.bays.queries import BayQueries
from jeroboam.domain.bay_containers import VANISHED, BayContainerSpec, ContainerAction
from jeroboam.domain.clusters import Operation
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import Conflict, NotFound, Permanent, Temporary, Unavailable
from tests.conductor.bay import ContainerRig


@pytest.fixture
def rig_class():
    return ContainerRig


async def test_a_container_is_made_and_waits_to_be_started(rig, bay):
    uuid = await rig.make(bay, name="box", spec=BayContainerSpec(image="busybox", command="top -b", memory="64m"))
    made = await rig.is_(uuid, "Stopped")
    assert (made.status_reason, made.ops) == (None, ())
    want = DesiredContainer(uuid=uuid, name="box", image="busybox", command=("top", "-b"), memory=64 << 20)
    assert rig.real(bay)[uuid].want == want


async def test_what_is_asked_is_done_once_and_in_order(rig, bay):
    uuid = await rig.make(bay)
    acts = (
        ContainerAction.START,
        ContainerAction.PAUSE,
        ContainerAction.UNPAUSE,
        ContainerAction.REBOOT,
        ContainerAction.STOP,
        ContainerAction.START,
    )
    await rig.act(uuid, *acts)
    await rig.is_(uuid, "Running")
    assert rig.real(bay)[uuid].acts == list(acts)


async def test_every_status_shows(rig, bay):
    uuid = await rig.make(bay)
    for act, status in (
        (ContainerAction.START, "Running"), (ContainerAction.PAUSE, "Paused"), (ContainerAction.UNPAUSE, "Running"),
        (ContainerAction.STOP, "Stopped"),
        (ContainerAction.REBOOT, "Running"),
    ):  # fmt: skip
        await rig.act(uuid, act)
        await rig.is_(uuid, status)


async def test_the_state_forbids_what_makes_no_sense(rig, bay):
    uuid = await rig.make(bay)
    for act in (ContainerAction.STOP, ContainerAction.PAUSE, ContainerAction.UNPAUSE):
        with pytest.raises(Conflict):
            await rig.act(uuid, act)
    await rig.act(uuid, ContainerAction.START)
    with pytest.raises(Conflict, match="Running status"):
        await rig.act(uuid, ContainerAction.START)


# Each op, and the stages of the fake at which a kill can find it.
STAGES = [
    ((), "container.make"),
    ((), "container.made"),
    ((ContainerAction.START,), "container.start"),
    ((ContainerAction.START,), "container.start.done"),
    ((ContainerAction.START, ContainerAction.STOP), "container.stop"),
    ((ContainerAction.START, ContainerAction.STOP), "container.stop.done"),
    ((ContainerAction.START, ContainerAction.REBOOT), "container.reboot"),
    ((ContainerAction.START, ContainerAction.REBOOT), "container.reboot.done"),
    ((ContainerAction.START, ContainerAction.PAUSE), "container.pause"),
    ((ContainerAction.START, ContainerAction.PAUSE), "container.pause.done"),
    ((ContainerAction.START, ContainerAction.PAUSE, ContainerAction.UNPAUSE), "container.unpause"),
    ((ContainerAction.START, ContainerAction.PAUSE, ContainerAction.UNPAUSE), "container.unpause.done"),
]
AFTER = {
    (): "Stopped",
    ContainerAction.START: "Running",
    ContainerAction.STOP: "Stopped",
    ContainerAction.REBOOT: "Running",
    ContainerAction.PAUSE: "Paused",
}


@pytest.mark.parametrize(("acts", "stage"), STAGES)
async def test_a_kill_at_any_moment_doubles_and_loses_nothing(rig, bay, acts, stage):
    rig.coe.faults.hold(stage)
    uuid = await rig.make(bay)
    await rig.act(uuid, *acts)
    await rig.event_for(stage, uuid)
    await rig.restart()
    await rig.is_(uuid, AFTER.get(acts[-1] if acts else (), "Running"))
    assert list(rig.real(bay)) == [uuid]
    assert rig.real(bay)[uuid].acts == list(acts)


async def test_another_wish_breaks_nothing_off(rig, bay):
    rig.coe.faults.hold("container.made")
    uuid = await rig.make(bay)
    await rig.event_for("container.made", uuid)
    await rig.act(uuid, ContainerAction.START)
    rig.coe.faults.mend("container.made")
    await rig.is_(uuid, "Running")
    assert rig.real(bay)[uuid].acts == [ContainerAction.START]


async def test_an_unknown_image_is_an_error_in_the_engines_words_and_another_wish_tries_again(rig, bay):
    uuid = await rig.make(bay, spec=BayContainerSpec(image=UNKNOWN_IMAGE))
    await rig.act(uuid, ContainerAction.START)
    failed = await rig.is_(uuid, "Error")
    assert failed.status_reason == f"pulling image {UNKNOWN_IMAGE}: manifest unknown"
    await rig.act(uuid, ContainerAction.START)
    assert (await rig.is_(uuid, "Error")).observed.seq == 3
    await rig.drop(uuid)
    await rig.gone(uuid)


async def test_an_act_that_fails_says_so_and_the_state_stands(rig, bay):
    uuid = await rig.make(bay)
    await rig.act(uuid, ContainerAction.START)
    await rig.is_(uuid, "Running")
    rig.coe.faults.fail("container.pause", Permanent("cgroups are not there"), times=1)
    await rig.act(uuid, ContainerAction.PAUSE)
    failed = await rig.is_(uuid, "Running")
    assert failed.status_reason == "cgroups are not there"
    await rig.act(uuid, ContainerAction.PAUSE)
    assert (await rig.is_(uuid, "Paused")).status_reason is None


async def test_an_engine_that_is_away_is_waited_for(rig, bay):
    rig.members[bay.uuid].dead = True
    uuid = await rig.make(bay)
    waiting = await rig.state(uuid, lambda w: "does not answer" in (w.status_reason or ""))
    assert waiting.status == "Unknown"
    rig.members[bay.uuid].dead = False
    await rig.is_(uuid, "Stopped")


async def test_an_act_that_never_ends_is_given_up(rig, bay):
    rig.coe.faults.hold("container.start")
    uuid = await rig.make(bay)
    await rig.act(uuid, ContainerAction.START)
    failed = await rig.is_(uuid, "Error")
    assert failed.status_reason == "Timed out: its bay did not answer in time"


async def test_a_bay_that_is_away_shows_and_comes_back(rig, bay):
    uuid = await rig.make(bay)
    await rig.act(uuid, ContainerAction.START)
    await rig.is_(uuid, "Running")
    rig.members[bay.uuid].dead = True
    lost = await rig.is_(uuid, "Unknown")
    assert "does not answer" in lost.status_reason
    rig.members[bay.uuid].dead = False
    assert (await rig.is_(uuid, "Running")).status_reason is None


async def test_what_happens_behind_our_back_shows(rig, bay):
    uuid = await rig.make(bay)
    await rig.act(uuid, ContainerAction.START)
    await rig.is_(uuid, "Running")
    rig.real(bay)[uuid].state = BayContainerState(state=RuntimeState.EXITED)
    await rig.is_(uuid, "Stopped")
    del rig.real(bay)[uuid]
    assert (await rig.is_(uuid, "Error")).status_reason == VANISHED
    await rig.act(uuid, ContainerAction.START)
    await rig.is_(uuid, "Running")
    assert list(rig.real(bay)) == [uuid]


async def test_a_reboot_of_one_that_has_started_anew_by_itself_is_done_all_the_same(rig, bay):
    uuid = await rig.make(bay)
    await rig.act(uuid, ContainerAction.START)
    await rig.is_(uuid, "Running")
    await rig.clock.advance(1)
    rig.real(bay)[uuid].state = BayContainerState(state=RuntimeState.RUNNING, started_at=rig.clock.now())
    await rig.act(uuid, ContainerAction.REBOOT)
    await rig.is_(uuid, "Running")
    assert rig.real(bay)[uuid].acts == [ContainerAction.START, ContainerAction.REBOOT]


async def test_a_bay_takes_its_containers_along(rig, bay):
    uuids = [await rig.make(bay) for _ in range(3)]
    for uuid in uuids:
        await rig.is_(uuid, "Stopped")
    await rig.ask(bay.uuid, Operation.DELETE)
    assert await rig.settled(bay.uuid) is None
    async with rig.store.read() as tx:
        assert await tx.bay_containers.count() == 0


async def test_while_its_bay_is_being_deleted_a_container_says_so(rig, bay):
    rig.provider.faults.hold("destroy")
    await rig.ask(bay.uuid, Operation.DELETE)
    uuid = await rig.make(bay)
    assert "being deleted" in (await rig.state(uuid, lambda w: "bay" in (w.status_reason or ""))).status_reason
    rig.provider.faults.mend("destroy")
    assert await rig.settled(bay.uuid) is None


async def test_two_of_one_name_are_two(rig, bay):
    uuids = {await rig.make(bay, name="box"), await rig.make(bay, name="box")}
    for uuid in uuids:
        await rig.is_(uuid, "Stopped")
    assert set(rig.real(bay)) == uuids


async def test_live_questions(rig, bay):
    ask = BayQueries(connector=rig.connector, clock=rig.clock, execute_seconds=5)
    uuid = await rig.make(bay, name="box")
    await rig.act(uuid, ContainerAction.START)
    await rig.is_(uuid, "Running")
    assert await ask.logs(bay.uuid, uuid) == "box speaks\n"
    assert (await ask.execute(bay.uuid, uuid, ["echo", "hi"])).output == "echo hi"
    with pytest.raises(NotFound):
        await ask.logs(bay.uuid, "another")
    rig.coe.faults.fail("container.logs", Temporary("busy"), times=1)
    with pytest.raises(Unavailable, match="busy"):
        await ask.logs(bay.uuid, uuid)
    await rig.act(uuid, ContainerAction.PAUSE)
    await rig.is_(uuid, "Paused")
    with pytest.raises(Conflict, match="not running"):
        await ask.execute(bay.uuid, uuid, ["true"])
    await rig.ask(bay.uuid, Operation.DELETE)
    await rig.settled(bay.uuid)
    with pytest.raises(NotFound):
        await ask.logs(bay.uuid, uuid)
