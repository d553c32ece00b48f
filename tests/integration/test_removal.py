"""The removal of an installation from an Engine that refuses some of it."""

import uuid

import pytest

from jeroboam.bootstrap.state import StateFolder
from jeroboam.bootstrap.upkeep import remove
from jeroboam.domain.containers import ContainerSpec
from jeroboam.domain.errors import Temporary
from jeroboam.runtimes.docker.runtime import DockerRuntime
from jeroboam.settings import load
from tests.engine_proxy import proxied

pytestmark = pytest.mark.docker


async def test_what_cannot_be_removed_keeps_nothing_else_and_is_removed_by_the_next_try(tmp_path, busybox):
    async with proxied(tmp_path / "engine.sock") as (proxy, url):
        settings = load(None, state=str(tmp_path / "state"), docker__url=url)
        with StateFolder(settings.state) as folder:
            runtime = DockerRuntime(installation=folder.installation())
            spec = ContainerSpec(image="busybox", command=("true",))
            states = [await runtime.create(str(uuid.uuid4()), "a", spec, project="p") for _ in range(3)]
            proxy.refuse(rf"DELETE \S+/containers/{states[1].runtime_id}", 500, "the Engine is sick")
            with pytest.raises(Temporary, match=r"the Engine is sick; 1 object could not be removed: run it again"):
                await remove(settings, folder)
            assert [state.uuid for state in await runtime.list_owned()] == [states[1].uuid]
            assert settings.state.exists()
            proxy.mend()
            removed = await remove(settings, folder)
            assert list(removed.containers) == [states[1].uuid]
            await runtime.close()
        assert not settings.state.exists()
