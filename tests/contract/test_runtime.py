"""What every runtime must do: one suite, passed by the fake and by a real Docker Engine."""

import asyncio
import contextlib
import uuid as uuids

import pytest

from jeroboam.domain.containers import ContainerSpec, RuntimeState
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.runtimes.base import ContainerGone, ContainerState, Runtime, SupportsClose, SupportsPause, SupportsResize
from jeroboam.runtimes.docker.runtime import DockerRuntime
from jeroboam.runtimes.fake import FakeRuntime
from tests.contract.rigs import eventually

SECONDS = 20.0


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
async def runtime(request, busybox):
    made = (FakeRuntime if request.param == "fake" else DockerRuntime)(installation=f"test-{uuids.uuid4()}")
    yield made
    for seen in await made.list_owned():
        await made.remove(seen.uuid, force=True)
    await made.tidy()
    if isinstance(made, SupportsClose):
        await made.close()


@pytest.fixture
def sleeper(busybox):
    return ContainerSpec(image=busybox, command=("sleep", "600"), cpu=0.5, memory=64)


@pytest.fixture
def uuid():
    return str(uuids.uuid4())


async def running(runtime, uuid, spec):
    await runtime.create(uuid, "a", spec, project="p")
    return await runtime.start(uuid)


async def test_facts(runtime: Runtime):
    facts = await runtime.facts()
    assert facts.cpus >= 1
    assert facts.mem_total > 100
    assert facts.hostname
    assert facts.runtime_name


async def test_a_create_amid_another_of_the_same_is_never_refused_for_good(runtime, sleeper, uuid):
    """A try that was cut off may still be under way when the next one comes."""
    await runtime.pull(sleeper.image, None)
    for answer in await asyncio.gather(
        *(runtime.create(uuid, "a", sleeper, project="p") for _ in range(8)), return_exceptions=True
    ):
        assert isinstance(answer, ContainerState | Temporary), answer
    assert (await runtime.create(uuid, "a", sleeper, project="p")).state is RuntimeState.CREATED
    assert [seen.uuid for seen in await runtime.list_owned()] == [uuid]


async def test_life(runtime, sleeper, uuid):
    await runtime.pull(sleeper.image, None)
    created = await runtime.create(uuid, "a", sleeper, project="p")
    assert created.uuid == uuid
    assert created.state is RuntimeState.CREATED
    assert created.started_at is None

    started = await runtime.start(uuid)
    assert started.runtime_id == created.runtime_id
    assert started.state is RuntimeState.RUNNING
    assert started.started_at is not None
    assert started.hostname == created.hostname
    (address,) = started.addresses
    assert address.version == 4
    assert address.network

    stopped = await runtime.stop(uuid, 0)
    assert stopped.state is RuntimeState.EXITED
    assert stopped.exit_code == 137
    assert stopped.finished_at >= started.started_at

    again = await runtime.start(uuid)
    assert again.started_at > started.started_at

    await runtime.remove(uuid, force=True)
    with pytest.raises(ContainerGone):
        await runtime.inspect(uuid)


async def test_everything_may_be_asked_twice(runtime, sleeper, uuid):
    first = await runtime.create(uuid, "a", sleeper, project="p")
    assert (await runtime.create(uuid, "a", sleeper, project="p")).runtime_id == first.runtime_id
    started = await runtime.start(uuid)
    assert await runtime.start(uuid) == started
    assert (await runtime.create(uuid, "a", sleeper, project="p")).state is RuntimeState.RUNNING
    stopped = await runtime.stop(uuid, 0)
    assert await runtime.stop(uuid, 0) == stopped
    await runtime.remove(uuid, force=False)
    await runtime.remove(uuid, force=False)
    await runtime.remove(uuid, force=True)


async def test_what_runs_is_removed_by_force_only(runtime, sleeper, uuid):
    await running(runtime, uuid, sleeper)
    with pytest.raises(Permanent):
        await runtime.remove(uuid, force=False)
    assert (await runtime.inspect(uuid)).state is RuntimeState.RUNNING


async def test_what_is_not_there_is_gone(runtime, uuid):
    for asked in (runtime.start(uuid), runtime.stop(uuid, 0), runtime.kill(uuid, "SIGKILL"), runtime.inspect(uuid)):
        with pytest.raises(ContainerGone):
            await asked


async def test_kill(runtime, sleeper, uuid):
    await running(runtime, uuid, sleeper)
    killed = await runtime.kill(uuid, "SIGKILL")
    assert killed.state is RuntimeState.EXITED
    assert killed.exit_code == 137
    with pytest.raises(Permanent):
        await runtime.kill(uuid, "SIGKILL")


async def test_a_harmless_signal_ends_nothing(runtime, sleeper, uuid):
    await running(runtime, uuid, sleeper)
    assert (await runtime.kill(uuid, "SIGWINCH")).state is RuntimeState.RUNNING


async def test_pause(runtime, sleeper, uuid):
    inspect = runtime.inspect
    if not isinstance(runtime, SupportsPause):
        pytest.fail("both have to pause")
    await running(runtime, uuid, sleeper)
    assert (await runtime.pause(uuid)).state is RuntimeState.PAUSED
    with pytest.raises(Permanent):
        await runtime.pause(uuid)
    await runtime.unpause(uuid)
    # An Engine that is late with the news of the pause tells it after the end of the pause.
    await eventually(lambda: inspect(uuid), lambda container: container.state is RuntimeState.RUNNING)


async def test_resize_keeps_it_running(runtime, sleeper, uuid):
    if not isinstance(runtime, SupportsResize):
        pytest.fail("both have to resize")
    before = await running(runtime, uuid, sleeper)
    after = await runtime.resize(uuid, cpu=0.25, memory=96)
    assert after.state is RuntimeState.RUNNING
    assert after.started_at == before.started_at


async def test_owned_lists_all_that_is_ours(runtime, sleeper):
    mine = {str(uuids.uuid4()) for _ in range(3)}
    for uuid in mine:
        await runtime.create(uuid, "a", sleeper, project="p")
    found = {seen.uuid: seen for seen in await runtime.list_owned()}
    assert found.keys() == mine
    assert {seen.state for seen in found.values()} == {RuntimeState.CREATED}


async def test_events_tell_of_what_happens_behind_our_back(runtime, sleeper, uuid):
    await running(runtime, uuid, sleeper)
    stream = runtime.events()
    states: asyncio.Queue[RuntimeState] = asyncio.Queue()

    async def follow():
        async for told in stream:
            assert told == uuid
            try:
                await states.put((await runtime.inspect(told)).state)
            except ContainerGone:
                await states.put(RuntimeState.ABSENT)

    follower = asyncio.ensure_future(follow())
    try:
        async with asyncio.timeout(SECONDS):
            await runtime.kill(uuid, "SIGKILL")
            while await states.get() is not RuntimeState.EXITED:
                pass
            await runtime.remove(uuid, force=True)
            while await states.get() is not RuntimeState.ABSENT:
                pass
    finally:
        follower.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await follower
