"""The Swarm node image: a Docker Engine that thinks it has a machine of its own.

Assembled from the engine of this host (`nodeimages.host`), so that it needs no registry. The recipe and the entry
script beside this file are data; the label names are those that providers read.
"""

import asyncio
import tempfile
import tomllib
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import IO

import aiodocker

from jeroboam.clients.docker import speaking
from jeroboam.clients.docker_images import import_image
from jeroboam.domain.nodes import IMAGE_COES_LABEL, IMAGE_DATA_LABEL, IMAGE_DISTRO_LABEL, IMAGE_LABEL
from jeroboam.nodeimages.base import BuiltImage
from jeroboam.nodeimages.host import Parts, Recipe, blocks, find, write_tar

_NOT_FOUND = 404
_ENTRY = "usr/lib/jeroboam/entry"


def recipe() -> Recipe:
    """The recipe as it was shipped."""
    folder = files(__package__)
    data = tomllib.loads((folder / "recipe.toml").read_text())
    texts = {path: (text, 0o644) for path, text in data["texts"].items()}
    return Recipe(
        name=data["name"],
        repository=data["repository"],
        distro=data["distro"],
        coes=tuple(data["coes"]),
        data=data["data"],
        programs=tuple(data["programs"]),
        optional_programs=tuple(data["optional_programs"]),
        folders=tuple(data["folders"]),
        files=tuple(data["files"]),
        directories=tuple(data["directories"]),
        links=dict(data["links"]),
        packages=data["packages"],
        contents={**texts, _ENTRY: ((folder / "entry.sh").read_text(), 0o755)},
    )


async def build(docker: aiodocker.Docker) -> BuiltImage:
    """The image on that Engine, made if its very content is not there yet.

    Raises `Permanent` when this host lacks a program, `Temporary` when the Engine does not answer.
    """
    wanted = recipe()
    parts = await asyncio.to_thread(find, wanted)
    tag = await asyncio.to_thread(parts.digest, wanted)
    with speaking(f"making the node image {wanted.name}"):
        found = await _existing(docker, f"{wanted.repository}:{tag}")
        image = found or await _import(docker, wanted, parts, tag)
        await docker.images.tag(image, wanted.repository, tag="latest")
    return BuiltImage(id=image, name=f"{wanted.repository}:latest", fresh=found is None)


async def _existing(docker: aiodocker.Docker, name: str) -> str | None:
    try:
        found: str = (await docker.images.inspect(name))["Id"]
    except aiodocker.DockerError as error:
        if error.status == _NOT_FOUND:
            return None
        raise
    return found


async def _import(docker: aiodocker.Docker, wanted: Recipe, parts: Parts, tag: str) -> str:
    labels = {
        IMAGE_LABEL: wanted.name,
        IMAGE_DISTRO_LABEL: wanted.distro,
        IMAGE_COES_LABEL: ",".join(wanted.coes),
        IMAGE_DATA_LABEL: wanted.data,
    }
    changes = [
        "ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        f'ENTRYPOINT ["/usr/sbin/docker-init", "--", "/{_ENTRY}"]',
        *(f'LABEL {name}="{value}"' for name, value in labels.items()),
    ]
    with tempfile.TemporaryFile() as tar:
        await asyncio.to_thread(write_tar, wanted, parts, tar)
        return await import_image(docker, _stream(tar), repository=wanted.repository, tag=tag, changes=changes)


async def _stream(tar: IO[bytes]) -> AsyncIterator[bytes]:
    source = blocks(tar)
    while (block := await asyncio.to_thread(next, source, b"")) != b"":
        yield block
