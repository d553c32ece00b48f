"""Volumes on a host: there before a container is made or started, and removed as the server wishes."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from jeroboam.agent.session import Agent
from jeroboam.domain.containers import OpKind, RestartPolicy, RuntimeState
from jeroboam.domain.errors import Temporary
from jeroboam.protocol.volumes import VolumeReport, VolumeWish
from jeroboam.runtimes.base import HostMount
from jeroboam.storage.fake import FakeStorage
from tests.agent_rig import CREATE, UUID, Rig, assignment, op

VOLUME = "7d1f0c52-5f0e-4d0c-8f4d-2a3c9f0e7b11"
MOUNT = {"type": "volume", "source": VOLUME, "size": "3", "destination": "/data", "read_only": "True"}


class VolumeRig(Rig):
    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.storage: FakeStorage | None = FakeStorage()

    def make_agent(self, **parts) -> Agent:
        return Agent(**parts, storage=self.storage)


@pytest.fixture
async def rig(tmp_path):
    rig = VolumeRig(tmp_path)
    yield rig
    await rig.kill()


async def test_a_container_gets_its_volume_with_its_size(rig: VolumeRig):
    await rig.start()
    await rig.assign(assignment(CREATE, mounts=(MOUNT,)))
    assert rig.last().state is RuntimeState.RUNNING
    mount = HostMount(source=Path("/volumes", VOLUME), destination="/data", is_read_only=True)
    assert rig.runtime.volumes[UUID] == (mount,)
    assert rig.storage.sizes == {VOLUME: 3}


async def test_storage_that_does_not_work_is_waited_for_and_the_reason_told(rig: VolumeRig):
    rig.storage.failure = Temporary("the disk is full")
    await rig.start()
    await rig.assign(assignment(CREATE, mounts=(MOUNT,)))
    assert rig.last().error == "the disk is full"
    rig.storage.failure = None
    await rig.clock.advance(10)
    assert (rig.last().state, rig.last().error) == (RuntimeState.RUNNING, None)


async def test_a_host_without_storage_refuses(rig: VolumeRig):
    rig.storage = None
    await rig.start()
    await rig.assign(assignment(CREATE, mounts=(MOUNT,)))
    assert (rig.last().failed_op, rig.last().error) == (OpKind.CREATE, "this host has no storage for volumes")


@pytest.mark.parametrize(("policy", "state"), [("always", RuntimeState.RUNNING), ("no", RuntimeState.EXITED)])
async def test_after_a_restart_of_the_machine_volumes_come_back_and_then_the_containers(rig: VolumeRig, policy, state):
    await rig.start()
    wanted = assignment(CREATE, mounts=(MOUNT,), restart_policy=RestartPolicy(name=policy))
    await rig.assign(wanted)
    await rig.kill()
    rig.storage.restart_machine()
    # The runtime has tried to start the container, and found no folder.
    rig.runtime.fail_to_start(UUID, "bind source path does not exist")
    rig.assigned[UUID] = replace(wanted, ops=(), done=1)
    await rig.start()
    assert rig.storage.is_ready(VOLUME)
    assert rig.last().state is state


async def test_a_start_provides_the_volume_first(rig: VolumeRig):
    await rig.start()
    wanted = assignment(op(1, OpKind.CREATE), mounts=(MOUNT,))
    await rig.assign(wanted)
    rig.storage.restart_machine()
    await rig.assign(replace(wanted, ops=(op(2, OpKind.START),), done=1))
    assert rig.storage.is_ready(VOLUME)
    assert rig.last().state is RuntimeState.RUNNING


async def test_a_volume_is_removed_once_nothing_uses_it(rig: VolumeRig):
    await rig.start()
    await rig.storage.provide(VOLUME, size=1)
    rig.storage.in_use.add(VOLUME)
    await rig.send(VolumeWish(uuid=VOLUME))
    # The same wish again begins nothing.
    await rig.send(VolumeWish(uuid=VOLUME))
    assert rig.volumes == [VolumeReport(uuid=VOLUME, error=f"volume {VOLUME} is in use")]
    rig.storage.in_use.clear()
    await rig.clock.advance(10)
    assert rig.volumes[-1] == VolumeReport(uuid=VOLUME)
    assert rig.storage.sizes == {}


async def test_a_volume_that_is_gone_is_reported_again(rig: VolumeRig):
    await rig.start()
    for _ in range(2):
        await rig.send(VolumeWish(uuid=VOLUME))
    assert rig.volumes == [VolumeReport(uuid=VOLUME)] * 2
