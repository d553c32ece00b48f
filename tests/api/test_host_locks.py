"""A container's POST and a host's heartbeat do not wait for each other."""

import asyncio
from dataclasses import replace

import pytest

from tests import builders

pytestmark = pytest.mark.postgres
POSTGRES = pytest.mark.parametrize("store", ["postgres"], indirect=True)


@POSTGRES
@pytest.mark.parametrize("wish", [{"cpu": 2}, {"availability_zone": "nova"}, {"host": "h1"}])
async def test_a_create_that_asks_for_something_of_hosts_waits_for_no_lock_on_them(store, zun, wish):
    facts = replace(builders.host().facts, cpus=4)
    async with store.write() as tx:
        await tx.hosts.insert(replace(builders.host(hostname="h1"), facts=facts))
    client = zun.as_("admin") if "host" in wish else zun
    # As a heartbeat has it, in the midst of its transaction.
    async with store.write() as tx, asyncio.timeout(10):
        [host] = await tx.hosts.select()
        answer = await client.post("/v1/containers", {"name": "web", "image": "busybox", **wish})
        assert answer.status == 202, answer.body
        await tx.hosts.update(replace(host, runtime_error="changed meanwhile"))


@POSTGRES
async def test_placement_looks_at_hosts_without_a_lock(store):
    async with store.write() as tx:
        await tx.hosts.insert(builders.host(hostname="h1"))
    async with store.write() as beat, asyncio.timeout(10):
        [host] = await beat.hosts.select()
        async with store.write() as tx:
            assert await tx.hosts_without_lock.select() == [host]
