"""Installations for tests, removed with all that they made."""

import aiodocker
import pytest

from tests.fault.installation import Installation


@pytest.fixture
async def engine():
    async with aiodocker.Docker() as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory, busybox):
    """One installation for several tests, since its Keystone takes seconds to be made."""
    made = Installation(tmp_path_factory.mktemp("shared"))
    yield made
    made.down()


@pytest.fixture
def own(tmp_path, busybox):
    """An installation for one test."""
    made = Installation(tmp_path)
    yield made
    made.down()
