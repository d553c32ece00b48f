"""Volumes in the database: attached once, freed with the container, kept to their host."""

import asyncio
from dataclasses import replace

import pytest

from jeroboam.conductor.containers.loop import ContainerReconciler
from jeroboam.dispatch.records import DispatchRecords
from jeroboam.domain.containers import ContainerSpec, Op, OpKind
from jeroboam.domain.errors import Conflict
from jeroboam.domain.volumes import Volume, VolumeAttachment, VolumeStatus, check_attachable
from jeroboam.kit.ids import RandomIds
from jeroboam.protocol.volumes import VolumeReport, VolumeWish
from tests import builders


async def add_volume(store, **changes) -> Volume:
    volume = Volume(uuid=builders.new_uuid(), project_id="p1", user_id="u1", size=1, created_at=builders.NOW)
    volume = replace(volume, **changes)
    async with store.write() as tx:
        await tx.volumes.insert(volume)
    return volume


async def attach(store, volume: Volume, container: str) -> None:
    async with store.write() as tx:
        present = await tx.volumes.get(volume.uuid)
        check_attachable(present)
        attachment = VolumeAttachment(
            uuid=builders.new_uuid(),
            volume_id=volume.uuid,
            container_id=container,
            destination="/data",
            created_at=builders.NOW,
        )
        await tx.volumes.attach(present, attachment)


def mounting(*volumes: Volume, **changes):
    mounts = tuple(
        {"type": "volume", "source": volume.uuid, "size": "1", "destination": f"/d{number}"}
        for number, volume in enumerate(volumes)
    )
    return builders.container(spec=ContainerSpec(image="busybox", mounts=mounts), **changes)


async def read(store, volume: Volume) -> Volume | None:
    async with store.read() as tx:
        return await tx.volumes.get(volume.uuid)


async def test_of_two_containers_at_once_one_gets_an_exclusive_volume(store):
    volume = await add_volume(store)
    ends = await asyncio.gather(*(attach(store, volume, f"c{number}") for number in range(4)), return_exceptions=True)
    assert sum(end is None for end in ends) == 1
    assert (await read(store, volume)).status is VolumeStatus.IN_USE


async def test_a_shared_volume_is_free_once_the_last_container_is_gone(store):
    volume = await add_volume(store, multiattach=True)
    containers = [mounting(volume) for _ in range(2)]
    for container in containers:
        await attach(store, volume, container.uuid)
        async with store.write() as tx:
            await tx.containers.insert(container)
    for container, status in zip(containers, (VolumeStatus.IN_USE, VolumeStatus.AVAILABLE), strict=True):
        async with store.write() as tx:
            await tx.remove_container(container)
        assert (await read(store, volume)).status is status


async def test_a_container_mounts_a_volume_once(store):
    volume = await add_volume(store, multiattach=True)
    await attach(store, volume, "c")
    with pytest.raises(Conflict):
        await attach(store, volume, "c")


@pytest.fixture
async def hosts(store):
    made = [builders.host(hostname=name) for name in ("h1", "h2")]
    async with store.write() as tx:
        for host in made:
            await tx.hosts.insert(replace(host, last_seen=tx.now))
    return made


async def place(store, container):
    async with store.write() as tx:
        await tx.containers.insert(replace(container, deadline_at=tx.now.replace(year=2999)))
    await ContainerReconciler(store=store, host_down_seconds=60).work(container.uuid)
    async with store.read() as tx:
        return await tx.containers.get(container.uuid)


async def test_a_volume_stays_on_the_host_of_its_first_container(store, hosts):
    volume, other = await add_volume(store), await add_volume(store, host_id=hosts[1].uuid, host="h2")
    first = mounting(volume, other)
    for each in (volume, other):
        await attach(store, each, first.uuid)
    assert (await place(store, first)).host == "h2"
    assert (await read(store, volume)).host == "h2"


async def test_volumes_on_two_hosts_cannot_be_in_one_container(store, hosts):
    volumes = [await add_volume(store, host_id=host.uuid, host=host.hostname) for host in hosts]
    container = mounting(*volumes)
    for volume in volumes:
        await attach(store, volume, container.uuid)
    assert "2 hosts: does not hold its volumes" in (await place(store, container)).status_reason


async def test_a_volume_with_its_container_is_removed_by_its_host_until_that_is_reported(store, hosts):
    volume = await add_volume(store, is_temporary=True, host_id=hosts[0].uuid, host="h1")
    container = mounting(volume, ops=(Op(seq=1, kind=OpKind.DELETE),))
    await attach(store, volume, container.uuid)
    async with store.write() as tx:
        await tx.containers.insert(container)
        await tx.remove_container(container)
        assert tx.messages == [("dispatch", f"{hosts[0].uuid}/volume/{volume.uuid}")]
    records = DispatchRecords(store, ids=RandomIds(), dispatcher="d", heal_seconds=60)
    assert await records.volume_wishes(hosts[0].uuid) == (VolumeWish(uuid=volume.uuid),)
    assert await records.volume_wishes(hosts[1].uuid) == ()
    await records.report_volume(hosts[1].uuid, VolumeReport(uuid=volume.uuid))
    await records.report_volume(hosts[0].uuid, VolumeReport(uuid=volume.uuid, error="busy"))
    assert (await read(store, volume)).status_reason == "busy"
    await records.report_volume(hosts[0].uuid, VolumeReport(uuid=volume.uuid))
    assert await read(store, volume) is None


async def test_a_report_removes_no_volume_that_is_not_to_be_deleted(store, hosts):
    volume = await add_volume(store, host_id=hosts[0].uuid, host="h1")
    records = DispatchRecords(store, ids=RandomIds(), dispatcher="d", heal_seconds=60)
    await records.report_volume(hosts[0].uuid, VolumeReport(uuid=volume.uuid))
    assert await read(store, volume) == volume
