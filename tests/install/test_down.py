"""`jeroboam down --images` on an Engine of its own: node images go, and what others use stays."""

import aiodocker
import pytest

from jeroboam.nodeimages.busybox import NAME as BUSYBOX
from jeroboam.nodeimages.engine import import_root
from jeroboam.nodeimages.tree import RootTree
from tests.cli.test_up import run
from tests.install.engine import running_engine

pytestmark = [pytest.mark.docker, pytest.mark.slow]


async def test_images_go_and_what_others_use_stays(tmp_path):
    async with running_engine() as address, aiodocker.Docker(url=address) as docker:
        made = await run(tmp_path / "state", "setup", DOCKER_HOST=address)
        assert (made.status, made.err) == (0, "")
        assert f"set-up: {BUSYBOX}: made" in made.out
        # Two of another's: a name for one of our images, and a container.
        await docker.images.tag("jeroboam/load-balancer:latest", "mine/front", tag="1")
        box = await docker.containers.run(
            {
                "Image": BUSYBOX,
                "Cmd": ["sh", "-c", "id -un; nc 2>&1 | head -n 1"],
                "HostConfig": {"NetworkMode": "none"},
            }
        )
        await box.wait()
        assert (await box.log(stdout=True))[0] == "root\n"

        down = "down --yes --images"
        done = await run(tmp_path / "state", down, DOCKER_HOST=address)
        assert (done.status, done.err) == (0, "")
        lines = done.out.splitlines()
        assert lines[0] == f"there is no installation in {tmp_path}/state"
        assert lines[-1] == f"kept image {BUSYBOX}: it has 1 container"
        for name in ("load-balancer", "swarm-node"):
            assert any(line.startswith("removed image ") and f"jeroboam/{name}:latest" in line for line in lines), name
        names = [name for image in await docker.images.list() for name in image["RepoTags"]]
        assert sorted(names) == [BUSYBOX, "mine/front:1"]

        await box.delete()
        done = await run(tmp_path / "state", down, DOCKER_HOST=address)
        assert done.out.splitlines()[1:] == [f"removed image {BUSYBOX} (2 MB)"]


async def test_a_small_image_of_anothers_stays(tmp_path):
    async with running_engine() as address, aiodocker.Docker(url=address) as docker:
        repository, _, tag = BUSYBOX.partition(":")
        await import_root(docker, RootTree(folders=("bin",)), repository=repository, tag=tag, changes=[])
        assert f"set-up: {BUSYBOX}: there already" in (await run(tmp_path, "setup", DOCKER_HOST=address)).out
        done = await run(tmp_path / "state", "down --yes --images", DOCKER_HOST=address)
        assert (done.status, BUSYBOX in done.out) == (0, False)
        assert [image["RepoTags"] for image in await docker.images.list()] == [[BUSYBOX]]
