"""Requests of one project wait for each other and for nobody else."""

import asyncio

import pytest

from jeroboam.api.turns import RequestSlots, TooManyRequests

pytestmark = pytest.mark.security


async def test_one_project_does_not_hold_up_another():
    turns, gate, inside = RequestSlots(2), asyncio.Event(), []

    async def request(project):
        async with turns.hold(project):
            inside.append(project)
            await gate.wait()

    many = [asyncio.ensure_future(request("one")) for _ in range(8)]
    while len(inside) < 2:
        await asyncio.wait(many, timeout=0)
    other = asyncio.ensure_future(request("two"))
    while "two" not in inside:
        await asyncio.wait({other}, timeout=0)
    assert inside.count("one") == 2
    gate.set()
    await asyncio.gather(*many, other)
    assert inside.count("one") == 8
    assert not turns._turns


async def test_one_project_does_not_take_every_connection():
    turns, gate = RequestSlots(2), asyncio.Event()

    async def request(project):
        async with turns.hold(project):
            await gate.wait()

    many = [asyncio.ensure_future(request("one")) for _ in range(8)]
    await asyncio.wait(many, timeout=0)
    with pytest.raises(TooManyRequests, match="8 requests under way"):
        await request("one")
    other = asyncio.ensure_future(request("two"))
    gate.set()
    await asyncio.gather(*many, other)
    await request("one")


async def test_who_gives_up_gives_the_turn_back():
    turns = RequestSlots(1)
    async with turns.hold("one"):
        waiting = asyncio.ensure_future(turns.hold("one").__aenter__())
        await asyncio.wait({waiting}, timeout=0)
        waiting.cancel()
        await asyncio.wait({waiting})
    async with asyncio.timeout(1), turns.hold("one"):
        pass
    assert not turns._turns
