"""Containers from the wish in the store to a real Engine and back."""

import asyncio

import aiodocker
import pytest

from jeroboam.domain.containers import OpKind, RuntimeState, Status
from jeroboam.domain.errors import Conflict, NotFound
from tests.engine_proxy import proxied
from tests.stream_rig import read_all

pytestmark = pytest.mark.docker

# The promise for what happens behind our back.
SEEN_WITHIN = 2.0


def is_(status):
    return lambda container: container.status is status and container.task_state is None


async def running(house, *command, **spec):
    uuid = await house.create(*(command or ("sleep", "600")), **spec)
    return uuid, await house.until(uuid, is_(Status.RUNNING))


async def test_a_whole_life(house, engine):
    uuid, container = await running(house, "sh", "-c", "echo up; exec sleep 600")
    assert container.observed.addresses[0].addr
    assert container.status_reason is None

    said = await house.gateway.execute(house.host_id, uuid, ["sh", "-c", "echo out; exit 3"])
    assert (said.output, said.exit_code) == ("out\n", 3)
    logs = await house.gateway.logs(
        house.host_id, uuid, stdout=True, stderr=True, timestamps=False, tail=None, since=None
    )
    assert logs == "up\n"
    assert (await house.gateway.top(house.host_id, uuid, None))["Processes"]
    assert (await house.gateway.stats(house.host_id, uuid))["memory_limit_mib"] == 64

    stream = await house.gateway.open_exec(house.host_id, uuid, ["cat"], tty=False, size=None)
    await stream.send(b"in and out")
    await stream.end()
    assert await read_all(stream) == b"in and out"
    assert (await stream.wait_closed()).exit_code == 0

    for kind, params, status in (
        (OpKind.PAUSE, {}, Status.PAUSED),
        (OpKind.UNPAUSE, {}, Status.RUNNING),
        (OpKind.STOP, {"timeout": 0}, Status.STOPPED),
        (OpKind.START, {}, Status.RUNNING),
        (OpKind.REBOOT, {"timeout": 0}, Status.RUNNING),
        (OpKind.KILL, {"signal": "SIGKILL"}, Status.STOPPED),
    ):
        await house.ask(uuid, kind, **params)
        await house.until(uuid, is_(status))

    with pytest.raises(Conflict):
        await house.gateway.execute(house.host_id, uuid, ["true"])
    await house.ask(uuid, OpKind.DELETE)
    await house.until(uuid, lambda container: container is None)
    with pytest.raises(aiodocker.DockerError):
        await engine.containers.container(f"jeroboam-{uuid}").show()
    with pytest.raises(NotFound):
        await house.gateway.top(house.host_id, uuid, None)


async def test_what_happens_behind_our_back_is_seen_in_time(house, engine):
    uuid, _ = await running(house)
    theirs = engine.containers.container(f"jeroboam-{uuid}")
    await theirs.kill(signal="SIGKILL")
    container = await house.until(uuid, is_(Status.STOPPED), seconds=SEEN_WITHIN)
    assert container.observed.exit_code == 137
    await theirs.start()
    await house.until(uuid, is_(Status.RUNNING), seconds=SEEN_WITHIN)
    await theirs.delete(force=True)
    container = await house.until(uuid, is_(Status.ERROR), seconds=SEEN_WITHIN)
    assert container.observed.state is RuntimeState.ABSENT


async def test_a_container_that_is_lost_heals(house, engine):
    uuid, before = await running(house, auto_heal=True)
    await engine.containers.container(f"jeroboam-{uuid}").delete(force=True)
    after = await house.until(
        uuid,
        lambda container: (
            is_(Status.RUNNING)(container) and container.observed.runtime_id != before.observed.runtime_id
        ),
    )
    assert after.status_reason is None


async def test_what_happens_while_the_agent_is_away_is_seen_when_it_is_back(house, engine):
    ends, _ = await running(house)
    stays, before = await running(house)
    await house.kill_agent()
    await engine.containers.container(f"jeroboam-{ends}").kill(signal="SIGKILL")
    await house.ask(stays, OpKind.PAUSE)
    await house.start_agent()
    await house.until(ends, is_(Status.STOPPED))
    after = await house.until(stays, is_(Status.PAUSED))
    assert after.observed.runtime_id == before.observed.runtime_id
    assert after.observed.started_at == before.observed.started_at


STEPS = ["image_pulling", "container_creating", "container_starting", None]


@pytest.mark.parametrize("step", STEPS)
async def test_an_agent_that_is_killed_on_the_way_is_made_up_for(house, engine, step):
    uuid = await house.create("sleep", "600")
    later = STEPS[STEPS.index(step) :]
    await house.until(uuid, lambda container: container.observed.reported_at and container.observed.step in later)
    await house.kill_agent()
    await house.start_agent()
    container = await house.until(uuid, is_(Status.RUNNING))
    ours = await engine.containers.list(all=True, filters={"label": [f"jeroboam.installation={house.installation}"]})
    assert [found.id for found in ours] == [container.observed.runtime_id]
    await house.ask(uuid, OpKind.DELETE, stop=True, timeout=0)
    await house.until(uuid, lambda container: container is None or container.observed.step is not None)
    await house.kill_agent()
    await house.start_agent()
    await house.until(uuid, lambda container: container is None)
    assert not await engine.containers.list(
        all=True, filters={"label": [f"jeroboam.installation={house.installation}"]}
    )


async def test_a_container_that_removes_itself(house):
    uuid = await house.create("sh", "-c", "exit 5", auto_remove=True)
    await house.until(uuid, lambda container: container is None)


async def test_failures_say_why(house):
    for spec, words in (
        ({"command": ("nosuchprogram",)}, "nosuchprogram"),
        ({"image": "jeroboam/nosuch:1", "image_pull_policy": "never"}, "jeroboam/nosuch:1"),
    ):
        uuid = await house.create(**spec)
        container = await house.until(uuid, is_(Status.ERROR))
        assert words in container.status_reason
        # Another start finds the same cause, whether there is a container by now or not.
        await house.ask(uuid, OpKind.START)
        container = await house.until(uuid, is_(Status.ERROR))
        assert words in container.status_reason
        await house.ask(uuid, OpKind.DELETE)
        await house.until(uuid, lambda container: container is None)


async def test_a_missing_image_is_told_within_seconds_and_can_be_deleted(house):
    uuid = await house.create("true", image="nosuch.invalid/nosuch:1")
    container = await house.until(uuid, lambda container: container.status_reason, seconds=5)
    assert container.status is Status.CREATING
    assert "nosuch.invalid" in container.status_reason
    await house.ask(uuid, OpKind.DELETE, force=True)
    await house.until(uuid, lambda container: container is None)


async def test_an_engine_that_is_away_is_told_and_made_up_for(house, tmp_path):
    async with proxied(tmp_path / "engine.sock") as (proxy, url):
        await house.kill_agent()
        house.engine_url = url
        await house.start_agent()
        stopped, _ = await running(house)
        await proxy.cut()
        await house.host_until(lambda host: host.runtime_error)
        await house.ask(stopped, OpKind.STOP, timeout=0)
        made = await house.create("sleep", "600")
        for uuid in (stopped, made):
            container = await house.until(uuid, lambda container: container.status_reason, seconds=5)
            assert "Docker Engine" in container.status_reason
        await proxy.open()
        await house.until(stopped, is_(Status.STOPPED))
        await house.until(made, is_(Status.RUNNING))
        await house.host_until(lambda host: host.runtime_error is None)
        await house.kill_agent()


async def test_twenty_at_once_and_none_is_left(house):
    uuids = await asyncio.gather(*(house.create("sleep", "600") for _ in range(20)))
    for uuid in uuids:
        await house.until(uuid, is_(Status.RUNNING), seconds=60)
    for uuid in uuids:
        await house.ask(uuid, OpKind.DELETE, force=True)
    for uuid in uuids:
        await house.until(uuid, lambda container: container is None, seconds=60)
