"""Bringing images into a Docker Engine: from a registry, and from a stream, which its client has no public call for.

Neighbours: `clients.docker`; the runtime and the COE whose containers need images; node images, which are imported.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from http import HTTPStatus
from typing import IO

import aiodocker
import aiohttp
import structlog

from jeroboam.clients.addresses import AddressRules, look_up
from jeroboam.clients.docker import CONNECTION_LOST, speaking
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.domain.images import DOCKER_HUB, is_reference, parse_reference
from jeroboam.domain.nodes import IMAGE_REPOSITORY

# How registries refuse, as against not answering, in the words in which the Engine passes that on: its own, and the
# codes of the distribution API. Only our sentence for it is shown: what answers under the name of a registry may be
# anything, and its words are for the operator's log.
_REFUSALS = (
    (("toomanyrequests", "429"), "its registry refuses for now: too many requests"),
    (
        ("denied", "unauthorized", "authentication required", "403"),
        "its registry has no such image, or keeps it private",
    ),
    (("manifest unknown", "not found", "name unknown", "404"), "its registry has no such image"),
    (("no matching manifest",), "its registry has it for other platforms only"),
    (("invalid reference",), "its name is none"),
)
_LOGGED = 500
# From the request to the registry's first word; after that the Engine's own limits hold.
CONTACT_SECONDS = 10.0

log = structlog.get_logger("jeroboam.clients.docker")


# Unpacking some hundred MB on a slow disk.
IMPORT_SECONDS = 300.0
_SHOWN = 80


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
    for image in images:
        check_image(image)
    url = f"{docker.docker_host}/images/get"
    async with docker.session.get(url, params=[("names", image) for image in images]) as answer:
        if not answer.ok:
            raise aiodocker.DockerError(answer.status, await answer.text())
        async for block in answer.content.iter_chunked(1 << 20):
            yield block


class RegistryAway(Temporary):
    """No registry answers for the image."""


def check_image(image: str) -> None:
    """Raise `Permanent` for what cannot be an image's name, before it becomes part of a path."""
    if not is_reference(image):
        raise Permanent(f"{image[:_SHOWN]!r} is not the name of an image")


async def check_pull(image: str, rules: AddressRules) -> None:
    """Raise `Permanent` for an image that users may not have pulled.

    That is one under the name of our own node images, and one whose registry lies where only this machine may speak.
    Raises `RegistryAway` where nobody knows the registry's host.
    """
    check_image(image)
    reference = parse_reference(image)
    if reference is None:
        raise Permanent(f"image {image} is named by its id, and no registry has images by id")
    if reference.is_ours:
        raise Permanent(
            f"image {image} cannot be pulled: names that begin with {IMAGE_REPOSITORY} are the service's own"
        )
    if reference.registry == DOCKER_HUB:
        return
    try:
        addresses = await look_up(reference.host, reference.port)
    except (OSError, UnicodeError) as error:
        raise RegistryAway(f"pulling image {image}: nobody knows the host {reference.host}") from error
    if not all(rules.permits(address) for address in addresses):
        raise Permanent(
            f"image {image} cannot be pulled: {reference.host} leads into a network that images are not pulled from "
            "([containers] registry_networks)"
        )


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
    """Have the Engine pull it.

    Raises `Permanent` when a registry refuses, `RegistryAway` when none answers, within `CONTACT_SECONDS` of the
    request.
    """
    doing = f"pulling image {image}"
    with speaking(doing):
        try:
            progress = docker.images.pull(image, stream=True)
            async with asyncio.timeout(CONTACT_SECONDS):
                # The Engine says nothing before the registry has answered.
                await anext(progress, None)
            async for _ in progress:
                pass
        except TimeoutError as error:
            raise RegistryAway(f"{doing}: its registry does not answer") from error
        except aiodocker.DockerError as error:
            if error.status == CONNECTION_LOST:
                raise
            log.warning("image not pulled", image=image, error=error.message[:_LOGGED])
            raise _refusal(doing, error.message) from error


def _refusal(doing: str, message: str) -> DriverError:
    plain = message.lower()
    for words, sentence in _REFUSALS:
        if any(word in plain for word in words):
            return Permanent(f"{doing}: {sentence}")
    return RegistryAway(f"{doing}: its registry cannot be reached, or its answer is none of a registry's")
