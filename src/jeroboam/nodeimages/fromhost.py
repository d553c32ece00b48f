"""Images whose every program is this host's: made in a second, and named by their content.

Neighbours: `host`, which finds the programs; the recipes of `swarm` and `loadbalancer`.
"""

import asyncio

import aiodocker

from jeroboam.clients.docker import speaking
from jeroboam.nodeimages.base import BuiltImage
from jeroboam.nodeimages.engine import bring, existing, marks
from jeroboam.nodeimages.host import ImageRecipe, find


async def build(docker: aiodocker.Docker, wanted: ImageRecipe) -> BuiltImage:
    """The image on that Engine, made if its very content is not there yet.

    Raises `Permanent` when this host lacks a program, `Temporary` when the Engine does not answer.
    """
    parts = await asyncio.to_thread(find, wanted)
    tag = await asyncio.to_thread(parts.digest, wanted)
    with speaking(f"making the node image {wanted.name}"):
        found = await existing(docker, f"{wanted.repository}:{tag}")
        if found is None:
            image = await bring(docker, wanted, await asyncio.to_thread(parts.tree, wanted), tag, marks(wanted, {}))
        else:
            image = found["Id"]
        await docker.images.tag(image, wanted.repository, tag="latest")
    return BuiltImage(id=image, name=f"{wanted.repository}:latest", fresh=found is None)
