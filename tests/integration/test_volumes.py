"""Volumes of containers on a real Engine, in files with a file system of their own."""

import pytest

from jeroboam.domain.containers import OpKind, Status
from jeroboam.domain.volumes import Volume, VolumeAttachment
from jeroboam.storage.local import LocalStorage
from tests.builders import NOW, new_uuid

pytestmark = pytest.mark.docker


async def make_volume(house, *, is_temporary: bool = False) -> str:
    volume = Volume(
        uuid=new_uuid(),
        project_id="p1",
        user_id="u1",
        size=1,
        is_temporary=is_temporary,
        host_id=house.host_id,
        host="h1",
        created_at=NOW,
    )
    async with house.store.write() as tx:
        await tx.volumes.insert(volume)
    return volume.uuid


async def create(house, volume: str, script: str, **spec) -> str:
    mount = {"type": "volume", "source": volume, "size": "1", "destination": "/data", "read_only": "False"}
    uuid = await house.create("sh", "-c", f"{script}; exec sleep 600", mounts=(mount | spec,))
    async with house.store.write() as tx:
        await tx.volumes.attach(
            await tx.volumes.get(volume),
            VolumeAttachment(uuid=new_uuid(), volume_id=volume, container_id=uuid, destination="/data", created_at=NOW),
        )
    await house.until(uuid, lambda container: container.status is Status.RUNNING and container.task_state is None)
    return uuid


async def run(house, uuid: str, *command: str) -> str:
    return (await house.gateway.execute(house.host_id, uuid, command)).output


async def remove(house, uuid: str) -> None:
    await house.ask(uuid, OpKind.DELETE, force=True)
    await house.until(uuid, lambda container: container is None)


async def test_data_goes_from_one_container_to_the_next(house):
    volume = await make_volume(house)
    first = await create(house, volume, "echo kept >/data/note")
    assert await run(house, first, "cat", "/data/note") == "kept\n"
    size = (await run(house, first, "df", "-m", "/data")).splitlines()[1].split()[1]
    assert 900 < int(size) <= 1024
    await remove(house, first)
    second = await create(house, volume, "true", read_only="True")
    assert await run(house, second, "cat", "/data/note") == "kept\n"
    assert "Read-only file system" in await run(house, second, "sh", "-c", "touch /data/new 2>&1")


async def test_a_volume_goes_with_its_container(house):
    volume = await make_volume(house, is_temporary=True)
    uuid = await create(house, volume, "true")
    assert await house.storage.list_owned() == [volume]
    await remove(house, uuid)
    await house.look_until(lambda tx: tx.volumes.get(volume), lambda row: row is None)
    assert await house.storage.list_owned() == []


async def test_a_volume_that_is_not_mounted_holds_no_data_of_a_container(house):
    """As after a restart of the machine: the runtime refuses the container, until its start mounts the volume."""
    volume = await make_volume(house)
    uuid = await create(house, volume, "echo kept >/data/note")
    await house.ask(uuid, OpKind.STOP, timeout=0)
    await house.until(uuid, lambda container: container.status is Status.STOPPED)
    await house.storage.release()
    assert isinstance(house.storage, LocalStorage)
    assert not house.storage.is_ready(volume)
    await house.ask(uuid, OpKind.START)
    await house.until(uuid, lambda container: container.status is Status.RUNNING)
    assert await run(house, uuid, "cat", "/data/note") == "kept\n"
