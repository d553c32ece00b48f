"""Bringing an image into a Docker Engine from a stream, which the Engine client has no public call for.

Neighbours: `clients.docker`; node images are made of what is imported here.
"""

from collections.abc import AsyncIterable, Sequence
from http import HTTPStatus

import aiodocker
import aiohttp

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
