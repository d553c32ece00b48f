"""Copying images from the machine's own Engine onto the nodes of a cluster.

Neighbours: `bootstrap.load`, which the command line calls; `nodes`, whose labels identify nodes. The COE's node image
defines the command that loads the file.
"""

import asyncio
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.clients.docker_containers import run_command
from jeroboam.clients.docker_images import check_image, export_images, has_image
from jeroboam.clients.docker_types import DockerContainer
from jeroboam.domain.clusters import LOAD_BALANCER
from jeroboam.domain.errors import Permanent
from jeroboam.providers.local.engine import label_filter
from jeroboam.providers.local.nodes import CLUSTER, INSTALLATION, NODE_NAME, ROLE, is_node

# The disk that all nodes share limits the copies.
_AT_ONCE = 2
_FOLDER = "/var/lib/jeroboam"
_FILE = "images.tar"
_SECONDS = 600


async def copy_images(
    docker: DockerClient,
    *,
    installation: str,
    cluster_id: str,
    images: Sequence[str],
    command: Callable[[str], Sequence[str]],
) -> Sequence[str]:
    """Copy these images onto every running node of the cluster; return the names of the nodes.

    The images are copied together, and a shared layer is copied once. `command` returns the command that loads a file
    in the format of `docker save`. Raises `Permanent` for an image that the Engine does not have, for a cluster without
    running nodes, and when a node refuses the images.
    """
    for image in images:
        check_image(image)
    with translate_errors(f"bringing {', '.join(images)} onto nodes"), tempfile.TemporaryDirectory() as folder:
        tags = {INSTALLATION: installation, CLUSTER: cluster_id}
        containers = await docker.containers.list(filters=label_filter(tags))
        nodes = {
            container["Labels"][NODE_NAME]: container["Id"] for container in containers if _takes_images(container)
        }
        if not nodes:
            raise Permanent("no node of the cluster runs on this Engine")
        archive = await _pack_images(docker, images, Path(folder))
        slots = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(
            *(_load_on_node(docker, slots, name, node, archive, command) for name, node in nodes.items())
        )
    return sorted(nodes)


def _takes_images(container: DockerContainer) -> bool:
    """Whether the container is a node that runs images; labels of images and users do not count."""
    names = [name.lstrip("/") for name in container["Names"] or ()]
    return is_node(container["Labels"], names) and container["Labels"].get(ROLE) != LOAD_BALANCER


async def _pack_images(docker: DockerClient, images: Sequence[str], folder: Path) -> Path:
    """Return the images' tar inside another tar, which is the format of the Engine for files of a container."""
    inner, outer = folder / _FILE, folder / "outer.tar"
    with inner.open("wb") as out:
        async for block in _export_images(docker, images):
            await asyncio.to_thread(out.write, block)
    with tarfile.open(outer, "w") as tar:
        await asyncio.to_thread(tar.add, inner, arcname=_FILE)
    inner.unlink()
    return outer


async def _export_images(docker: DockerClient, images: Sequence[str]) -> AsyncIterator[bytes]:
    for image in images:
        if not await has_image(docker, image):
            raise Permanent(f"there is no image {image} on the Docker Engine of this machine")
    async for block in export_images(docker, images):
        yield block


async def _load_on_node(
    docker: DockerClient,
    slots: asyncio.Semaphore,
    name: str,
    node: str,
    archive: Path,
    command: Callable[[str], Sequence[str]],
) -> None:
    container = docker.containers.container(node)
    path = f"{_FOLDER}/{_FILE}"
    async with slots, asyncio.timeout(_SECONDS):
        with archive.open("rb") as file:
            await container.put_archive(_FOLDER, file)
        result = await run_command(container, command(path))
        await run_command(container, ("rm", "-f", path))
    if result.exit_code != 0:
        message = result.output.strip().rpartition("\n")[2]
        raise Permanent(f"node {name} does not take the images: {message}")
