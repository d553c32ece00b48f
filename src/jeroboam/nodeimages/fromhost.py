"""Images with programs of this host only: they are built in a second, and their tag is a digest of their content.

Neighbours: `host`, which finds the programs; the recipes of `swarm` and `loadbalancer`.
"""

import asyncio

from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.nodeimages.base import BuiltImage
from jeroboam.nodeimages.engine import find_image, import_tree, label_instructions
from jeroboam.nodeimages.host import ImageRecipe, resolve_recipe


async def build(docker: DockerClient, recipe: ImageRecipe) -> BuiltImage:
    """Build the image on that Engine unless one with the same content exists.

    Raises `Permanent` when this host lacks a program, `Temporary` when the Engine does not answer.
    """
    parts = await asyncio.to_thread(resolve_recipe, recipe)
    tag = await asyncio.to_thread(parts.digest, recipe)
    with translate_errors(f"making the node image {recipe.name}"):
        existing_image = await find_image(docker, f"{recipe.repository}:{tag}")
        if existing_image is None:
            image = await import_tree(
                docker, recipe, await asyncio.to_thread(parts.tree, recipe), tag, label_instructions(recipe, {})
            )
        else:
            image = existing_image["Id"]
        await docker.images.tag(image, recipe.repository, tag="latest")
    return BuiltImage(id=image, name=f"{recipe.repository}:latest", fresh=existing_image is None)
