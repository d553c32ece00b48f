"""Node images on a Docker Engine: import of trees, lookup, list and removal.

Neighbours: the folders beside this file, which build the trees; providers, which read the labels.
"""

import asyncio
import datetime as dt
import json
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, Any

from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.clients.docker_images import import_image
from jeroboam.clients.docker_types import DockerError
from jeroboam.domain.errors import Permanent
from jeroboam.domain.images import is_reference
from jeroboam.domain.nodes import (
    IMAGE_COES_LABEL,
    IMAGE_DATA_LABEL,
    IMAGE_DISTRO_LABEL,
    IMAGE_LABEL,
    IMAGE_VERSION_LABEL,
    image_name,
)
from jeroboam.nodeimages.host import ENTRY, ImageRecipe
from jeroboam.nodeimages.tree import RootTree, blocks, write_tar

_PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineNodeImage:
    """A node image that an Engine has."""

    id: str
    name: str
    """Its name in the catalogue."""
    names: tuple[str, ...]
    """Its names on the Engine, `latest` last."""
    version: str
    """The version of the software on its nodes; empty: unknown."""
    coes: tuple[str, ...]
    size: int
    """In bytes."""
    created_at: dt.datetime


async def find_image(docker: DockerClient, name: str) -> dict[str, Any] | None:
    """Return the Engine's inspection of that image; None when it does not exist."""
    try:
        image: dict[str, Any] = await docker.images.inspect(name)
    except DockerError as error:
        if error.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}:  # 400: a text that cannot be a reference
            return None
        raise
    return image


async def remove_replaced(docker: DockerClient, image: str) -> None:
    """Remove an image that was replaced. No error when it is gone already or still in use."""
    try:
        await docker.images.delete(image)
    except DockerError as error:
        if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
            raise


def labels_of(image: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of an inspected image."""
    return (image.get("Config") or {}).get("Labels") or {}


def label_instructions(recipe: ImageRecipe, also: Mapping[str, str]) -> list[str]:
    """Return the labels by which providers recognize an image, as Dockerfile instructions; `also` has further ones."""
    image_labels = {
        IMAGE_LABEL: recipe.name,
        IMAGE_DISTRO_LABEL: recipe.distro,
        IMAGE_COES_LABEL: ",".join(recipe.coes),
        IMAGE_DATA_LABEL: recipe.data,
        **also,
    }
    return [f'LABEL {name}="{value}"' for name, value in image_labels.items()]


async def import_tree(
    docker: DockerClient, recipe: ImageRecipe, tree: RootTree, tag: str, instructions: Sequence[str]
) -> str:
    """Make an image with that root folder; its id. It boots by the recipe's entry.

    `instructions` are Dockerfile instructions. Without the labels of `label_instructions` no provider takes it for a
    node image.
    """
    changes = [f"ENV PATH={_PATH}", f'ENTRYPOINT ["/usr/sbin/docker-init", "--", "/{ENTRY}"]', *instructions]
    return await import_root(docker, tree, repository=recipe.repository, tag=tag, changes=changes)


async def import_root(
    docker: DockerClient, tree: RootTree, *, repository: str, tag: str, changes: Sequence[str]
) -> str:
    """Make an image with that root folder and nothing else; its id. `changes` are Dockerfile instructions."""
    with tempfile.TemporaryFile() as tar:
        await asyncio.to_thread(write_tar, tree, tar)
        return await import_image(docker, _stream(tar), repository=repository, tag=tag, changes=changes)


async def _stream(tar: IO[bytes]) -> AsyncIterator[bytes]:
    source = blocks(tar)
    while (block := await asyncio.to_thread(next, source, b"")) != b"":
        yield block


async def list_images(docker: DockerClient) -> Sequence[EngineNodeImage]:
    """Return the node images with a name, sorted by name and version. Raises `Temporary` when no Engine answers."""
    with translate_errors("listing node images"):
        summaries = await docker.images.list(filters={"label": [IMAGE_LABEL]})
    images = [_read_image(image) for image in summaries if _names_of(image)]
    return sorted(images, key=lambda image: (image.name, version_key(image.version), image.created_at), reverse=True)


def _names_of(image: Mapping[str, Any]) -> tuple[str, ...]:
    names = [name for name in image.get("RepoTags") or () if name != "<none>:<none>"]
    return tuple(sorted(names, key=lambda name: (name.endswith(":latest"), name)))


def _read_image(image: Mapping[str, Any]) -> EngineNodeImage:
    image_labels = image.get("Labels") or {}
    return EngineNodeImage(
        id=image["Id"],
        name=image_labels[IMAGE_LABEL],
        names=_names_of(image),
        version=image_labels.get(IMAGE_VERSION_LABEL, ""),
        coes=tuple(coe for coe in image_labels.get(IMAGE_COES_LABEL, "").split(",") if coe),
        size=image["Size"],
        created_at=dt.datetime.fromtimestamp(image["Created"], dt.UTC),
    )


def version_key(version: str) -> tuple[int, ...]:
    """Return a sort key that orders `v1.36.3` after `v1.35.4` and `v1.9.0`."""
    return tuple(int(part) if part.isdigit() else -1 for part in version.lstrip("v").split("."))


async def tag_newest(docker: DockerClient, name: str) -> None:
    """Tag the image with the newest version as `latest`."""
    versions = [image for image in await list_images(docker) if image.name == name and image.version]
    if versions:
        with translate_errors(f"naming the newest {name}"):
            await docker.images.tag(versions[0].id, image_name(name).rpartition(":")[0], tag="latest")


async def remove_image(docker: DockerClient, ref: str) -> Sequence[str]:
    """Remove a node image, given its catalogue name or Engine name, with all its names; return them.

    Raises `Permanent` when it does not exist or when nodes run from it.
    """
    with translate_errors(f"removing the node image {ref}"):
        names = [name for name in (image_name(ref), ref) if is_reference(name)]
        image = None
        for name in names:
            image = image or await find_image(docker, name)
        if image is None or IMAGE_LABEL not in labels_of(image):
            raise Permanent(f"there is no node image {ref}: `jeroboam node-image list` shows those that there are")
        users = await docker.containers.list(all=True, filters=json.dumps({"ancestor": [image["Id"]]}))
        if users:
            raise Permanent(f"{len(users)} nodes run from {ref}: remove them first")
        for name in image["RepoTags"]:
            await docker.images.delete(name)
    if labels_of(image).get(IMAGE_VERSION_LABEL):
        await tag_newest(docker, labels_of(image)[IMAGE_LABEL])
    return tuple(image["RepoTags"])
