"""The first node of an image: it fills containerd's store once, so that later nodes need not.

The capabilities of the Engine are known to the provider, and are passed as a function. Neighbours: `images.sh`, which
fills the store in the node; the package's `build`, which calls this.
"""

import asyncio
import io
import tarfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from jeroboam.clients.docker import DockerClient
from jeroboam.clients.docker_types import DockerError
from jeroboam.domain.errors import Permanent
from jeroboam.domain.nodes import COMMANDS_PATH

Machine = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Returns the part of HostConfig that a container of that image needs as a node."""

_BAKE = b"#!/bin/sh\nexec /usr/lib/jeroboam/images bake\n"
_SECONDS = 120
_LAST_LINES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageWithoutStore:
    """An image without a store."""

    name: str
    data: str
    """The folder that needs a volume."""


async def bake(
    docker: DockerClient,
    source_image: ImageWithoutStore,
    machine: Machine,
    *,
    repository: str,
    tag: str,
    changes: Sequence[str],
) -> str:
    """Boot the bare image once and commit the result as another image; return its id.

    `changes` are Dockerfile instructions. Raises `Permanent` with the node's last output when it fails.
    """
    host_config = await machine(source_image.name)
    mounts = [*host_config.get("Mounts", ()), {"Type": "volume", "Target": source_image.data}]
    config: dict[str, Any] = {
        "Image": source_image.name,
        "HostConfig": {**host_config, "NetworkMode": "none", "Mounts": mounts},
    }
    name = f"jeroboam-bake-{tag}"
    await _clear(docker, name)
    container = await docker.containers.create(config, name=name)
    try:
        await container.put_archive("/", _commands())
        await container.start()
        async with asyncio.timeout(_SECONDS):
            result = await container.wait(timeout=None)
        if result["StatusCode"] != 0:
            lines = "".join(await container.log(stdout=True, stderr=True)).splitlines()
            raise Permanent("the first node of the image failed:\n" + "\n".join(lines[-_LAST_LINES:]))
        await container.commit(repository=repository, tag=tag, changes=changes)
    finally:
        await container.delete(force=True, v=True)
    image_id: str = (await docker.images.inspect(f"{repository}:{tag}"))["Id"]
    return image_id


async def _clear(docker: DockerClient, name: str) -> None:
    """Remove the container of a build that was killed."""
    try:
        await (await docker.containers.get(name)).delete(force=True, v=True)
    except DockerError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise


def _commands() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(COMMANDS_PATH.lstrip("/"))
        info.size, info.mode = len(_BAKE), 0o700
        tar.addfile(info, io.BytesIO(_BAKE))
    return out.getvalue()
