"""What suites on this machine's Engine share."""

import pytest

from jeroboam.clients.docker import connect


@pytest.fixture
async def docker():
    async with connect() as client:
        yield client
