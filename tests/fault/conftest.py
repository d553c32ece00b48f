"""Installations for tests, removed with all that they made."""

import asyncio

import pytest

from tests.fault.engine import WatchedEngine
from tests.fault.installation import Installation


@pytest.fixture
async def engine():
    async with WatchedEngine() as made:
        watching = asyncio.ensure_future(made.watch())
        yield made
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@pytest.fixture(scope="module")
def homes():
    """Installations that tests share, the last one in use."""
    made: list[Installation] = []
    yield made
    for each in made:
        each.down()


@pytest.fixture(scope="module")
def config():
    """What the shared installation's configuration file says."""
    return ""


@pytest.fixture
async def shared(homes, tmp_path_factory, busybox, config):
    """One running installation for several tests, since its Keystone takes seconds to be made.

    A test that fails leaves things behind, so the next one begins in a new one.
    """
    if not homes or not homes[-1].clean:
        homes.append(Installation(tmp_path_factory.mktemp("shared"), config))
        await homes[-1].up()
    homes[-1].clean = False
    return homes[-1]


@pytest.fixture
def own(tmp_path, busybox):
    """An installation for one test."""
    made = Installation(tmp_path)
    yield made
    made.down()
