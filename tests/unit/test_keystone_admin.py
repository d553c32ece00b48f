"""A session of an admin at a Keystone that does not answer leaves nothing open."""

import gc
import socket
import warnings

import pytest

from jeroboam.clients.keystone import KeystoneAdmin
from jeroboam.domain.errors import Temporary


async def test_a_login_that_fails_closes_its_connections():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(Temporary, match="Keystone does not answer"):
            async with KeystoneAdmin(f"http://127.0.0.1:{port}/v3", password="p"):
                pass
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
