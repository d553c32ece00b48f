"""What this machine's Engine does with images for us, for real."""

import io
import json
import tarfile
import uuid

import pytest

from jeroboam.clients.docker import connect
from jeroboam.clients.docker_images import export_images, import_image

pytestmark = [pytest.mark.docker]

SIZE = 1 << 20


def layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = SIZE
        tar.addfile(info, io.BytesIO(bytes(SIZE)))
    return out.getvalue()


async def streamed(content: bytes):
    yield content


async def test_images_that_share_a_layer_are_one_archive_with_that_layer_once():
    repository = f"test-{uuid.uuid4().hex[:8]}"
    names = [f"{repository}:{tag}" for tag in ("one", "two")]
    async with connect() as docker:
        try:
            for name in names:
                tag = name.rpartition(":")[2]
                await import_image(
                    docker, streamed(layer()), repository=repository, tag=tag, changes=[f"LABEL is={tag}"]
                )
            archive = b"".join([block async for block in export_images(docker, names)])
        finally:
            for name in names:
                await docker.images.delete(name, force=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        large = [member for member in tar.getmembers() if member.isfile() and member.size > SIZE]
        file = tar.extractfile("manifest.json")
        assert file is not None
        manifest = json.load(file)
    assert sorted(name for entry in manifest for name in entry["RepoTags"]) == names
    assert len(large) == 1
