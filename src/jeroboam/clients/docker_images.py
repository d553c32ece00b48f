"""Bringing images into a Docker Engine: from a registry, and from a stream, which its client has no public call for.

Neighbours: `clients.docker`; the runtime and the COE whose containers need images; node images, which are imported.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from http import HTTPStatus
from typing import IO

import aiodocker
import aiohttp

from jeroboam.clients.docker import speaking
from jeroboam.domain.errors import Permanent, Temporary

# What may stand in an image's name and in a path of the Engine's API alike.
_REFERENCE = re.compile(r"[a-z0-9][A-Za-z0-9._:@-]*(/[A-Za-z0-9][A-Za-z0-9._:@-]*)*")

# How registries refuse, as against not answering; the Engine passes their words on with all sorts of status.
_REFUSALS = ("not found", "manifest unknown", "denied", "unauthorized", "no matching manifest", "invalid reference")

# Unpacking some hundred MB on a slow disk.
IMPORT_SECONDS = 300.0


async def import_image(
    docker: aiodocker.Docker, tar: AsyncIterable[bytes], *, repository: str, tag: str, changes: Sequence[str]
) -> str:
    """Make an image with one layer from the tar stream and give its id. `changes` are Dockerfile instructions."""
    params = [("fromSrc", "-"), ("repo", repository), ("tag", tag), *(("changes", change) for change in changes)]
    version = await docker.version()
    url = f"{docker.docker_host}/v{version['ApiVersion']}/images/create"
    timeout = aiohttp.ClientTimeout(total=IMPORT_SECONDS)
    headers = {"Content-Type": "application/x-tar"}
    async with docker.session.post(url, params=params, data=tar, headers=headers, timeout=timeout) as answer:
        said = await answer.text()
    # The Engine streams JSON objects after a 200, the last of which may be an error.
    if answer.status >= HTTPStatus.BAD_REQUEST or '"errorDetail"' in said:
        raise aiodocker.DockerError(max(answer.status, 500), said.strip())
    found: str = (await docker.images.inspect(f"{repository}:{tag}"))["Id"]
    return found


async def file_of(docker: aiodocker.Docker, image: str, path: str, into: IO[bytes]) -> None:
    """Write a file of that image into a file, as a tar stream. Raises `aiodocker.DockerError` as the Engine does."""
    container = await docker.containers.create({"Image": image, "Cmd": ["none"]})
    try:
        url = f"{docker.docker_host}/containers/{container.id}/archive"
        async with docker.session.get(url, params={"path": f"/{path}"}) as answer:
            if not answer.ok:
                raise aiodocker.DockerError(answer.status, await answer.text())
            async for block in answer.content.iter_chunked(1 << 20):
                into.write(block)
    finally:
        await container.delete(force=True)


async def exported_images(docker: aiodocker.Docker, images: Sequence[str]) -> AsyncIterator[bytes]:
    """These images in one archive, as `docker save` writes it: a layer that several of them have is in it once."""
    url = f"{docker.docker_host}/images/get"
    async with docker.session.get(url, params=[("names", image) for image in images]) as answer:
        if not answer.ok:
            raise aiodocker.DockerError(answer.status, await answer.text())
        async for block in answer.content.iter_chunked(1 << 20):
            yield block


def check_image(image: str) -> None:
    """Raise `Permanent` for what cannot be an image's name, before it becomes part of a path."""
    if not _REFERENCE.fullmatch(image):
        raise Permanent(f"{image!r} is not the name of an image")


async def has_image(docker: aiodocker.Docker, image: str) -> bool:
    """Whether the Engine has the image."""
    with speaking(f"looking for image {image}"):
        try:
            await docker.images.inspect(image)
        except aiodocker.DockerError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return False
    return True


async def pull_image(docker: aiodocker.Docker, image: str) -> None:
    """Have the Engine pull it. Raises `Permanent` when a registry refuses, and `Temporary` when none answers."""
    with speaking(f"pulling image {image}"):
        try:
            await docker.images.pull(image)
        except aiodocker.DockerError as error:
            text = f"pulling image {image}: {error.message}"
            if any(refusal in error.message for refusal in _REFUSALS):
                raise Permanent(text) from error
            raise Temporary(text) from error
