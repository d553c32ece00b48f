"""Loads a user's own images onto the nodes of a Swarm, through the Engine API of each node, as the cluster's user.

Nothing but the published API and the Engines is asked, so it works on nodes of any provider that this machine reaches.
Neighbours: `cli.own_clusters`; `load`, the same for Kubernetes.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from jeroboam.clients.container_infra import ClusterCredentials, ClusterView, ContainerInfraClient
from jeroboam.clients.docker import connect, translate_errors
from jeroboam.clients.docker_images import check_image, export_images, has_image, load_images
from jeroboam.domain.errors import Permanent
from jeroboam.kit.tls import build_client_context

# The disk that all nodes of this machine share limits the copies.
_AT_ONCE = 2


async def load_on_swarm(
    infra: ContainerInfraClient, cluster: ClusterView, images: Sequence[str], *, docker_url: str | None
) -> Sequence[str]:
    """Load these images of this machine's Engine onto every node. Return the names of the nodes.

    Raises `Permanent` for an image that the Engine does not have and for nodes that refuse it.
    """
    for image in images:
        check_image(image)
    access = await infra.access(cluster)
    groups = await infra.list_nodegroups(cluster.uuid)
    nodes = {node["address"]: node["name"] for group in groups for node in group.get("nodes", ()) if node["address"]}
    if not nodes:
        raise Permanent(f"cluster {cluster.name} has no node with an address")
    slots = asyncio.Semaphore(_AT_ONCE)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "images.tar"
        await _save(images, archive, docker_url)
        await asyncio.gather(*(_load(archive, address, name, access, slots) for address, name in nodes.items()))
    return sorted(nodes.values())


async def _save(images: Sequence[str], archive: Path, docker_url: str | None) -> None:
    docker = connect(docker_url)
    try:
        with translate_errors(f"saving {', '.join(images)}"), archive.open("wb") as file:
            for image in images:
                if not await has_image(docker, image):
                    raise Permanent(f"there is no image {image} on the Docker Engine of this machine")
            async for block in export_images(docker, images):
                await asyncio.to_thread(file.write, block)
    finally:
        await docker.close()


async def _load(archive: Path, address: str, name: str, access: ClusterCredentials, slots: asyncio.Semaphore) -> None:
    tls = build_client_context(access.own, access.ca_certificates)
    docker = connect(f"https://{address}:{urlsplit(access.url).port}", tls=tls)
    try:
        with translate_errors(f"loading images onto node {name}"), archive.open("rb") as file:
            async with slots:
                await load_images(docker, file)
    finally:
        await docker.close()
