"""The catalogue of the `local` provider: its flavours, one external network, and the Engine's node images.

Neighbours: `provider`. Every project sees the same. Node containers take no key pair, and there are no zones and no
volume types, so the catalogue has none.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.clients.docker_types import DockerError
from jeroboam.domain.errors import Permanent
from jeroboam.domain.images import is_reference
from jeroboam.domain.nodes import (
    IMAGE_COES_LABEL,
    IMAGE_DATA_LABEL,
    IMAGE_DISTRO_LABEL,
    IMAGE_LABEL,
    IMAGE_REPOSITORY,
    IMAGE_VERSION_LABEL,
    image_name,
)
from jeroboam.providers.base import Flavor, Image, Network, Subnet

DATA_FOLDER = "/var/lib/docker"
"""The data folder of an image's engine when no label of the image sets it."""

# Names that users of the published clients know (m1.medium is the command line's default). Cores and memory are
# limits, not reservations; all nodes share the machine's disk.
FLAVORS = tuple(
    Flavor(id=name, name=name, vcpus=vcpus, ram=ram, disk=disk)
    for name, vcpus, ram, disk in (
        ("m1.tiny", 1, 512, 1),
        ("m1.small", 1, 2048, 20),
        ("m1.medium", 2, 4096, 40),
        ("m1.large", 4, 8192, 80),
        ("m1.xlarge", 8, 16384, 160),
    )
)
NETWORKS = (Network(id="public", name="public", external=True),)

# What the Engine lists for an image without a name.
_NO_NAME = "<none>"
_NO_TAG = f"{_NO_NAME}:{_NO_NAME}"

_VERSIONED = frozenset({"kubernetes-node"})
_VERSION = re.compile(r"v\d+\.\d+\.\d+")
_KNOWN_NAME = re.compile(r"[a-z]+(-[a-z]+)*")

# Images that can be built, for when they do not exist yet.
_KNOWN = {
    "swarm-node": Image(
        id="swarm-node",
        name="swarm-node",
        os_distro="jeroboam",
        coes=("swarm",),
        unavailable_reason="the node image is not on this Engine yet: `jeroboam node-image build swarm` makes it",
    ),
    "kubernetes-node": Image(
        id="kubernetes-node",
        name="kubernetes-node",
        os_distro="jeroboam",
        coes=("kubernetes",),
        unavailable_reason="the node image is not on this Engine yet: `jeroboam node-image build kubernetes` makes it",
    ),
    # No nodes are made from it: it has no distribution.
    "load-balancer": Image(
        id="load-balancer",
        name="load-balancer",
        os_distro="",
        unavailable_reason="the image is not on this Engine yet: `jeroboam node-image build load-balancer` makes it",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerImage:
    """A node image as the Engine has it."""

    id: str
    data_folder: str
    machine: bool
    """Whether its containers are nodes: they get as many privileges as the Engine allows."""


class LocalCatalog:
    """The `Catalog` of the `local` provider."""

    def __init__(self, docker: Callable[[], DockerClient]) -> None:
        self._docker = docker

    async def image(self, ref: str) -> Image | None:
        """Return a node image by its catalogue name, its Docker name or its id; never another image of the Engine."""
        image = await self._inspect(ref)
        if image is None:
            buildable = _find_buildable(ref)
            return buildable and replace(
                buildable,
                unavailable_reason=f"{buildable.unavailable_reason}; {await self._describe_versions(buildable)}",
            )
        return _read_image(image)

    async def flavor(self, ref: str) -> Flavor | None:
        return next((flavor for flavor in FLAVORS if ref in {flavor.id, flavor.name}), None)

    async def networks(self, ref: str) -> Sequence[Network]:
        return [network for network in NETWORKS if ref in {network.id, network.name}]

    async def subnets(self, ref: str) -> Sequence[Subnet]:
        del ref
        return ()

    async def has_keypair(self, ref: str) -> bool:
        del ref
        return False

    async def availability_zones(self) -> Sequence[str]:
        return ()

    async def volume_types(self) -> Sequence[str]:
        return ()

    async def docker_image(self, ref: str) -> DockerImage:
        """Return the node image as the Engine has it. Raises `Permanent` when it does not exist."""
        image = await self._inspect(ref)
        if image is None:
            buildable = _find_buildable(ref)
            reason = buildable.unavailable_reason if buildable else "there is no such image"
            raise Permanent(f"no node can boot from image {ref}: {reason}")
        labels = _labels_of(image)
        folder = labels.get(IMAGE_DATA_LABEL, DATA_FOLDER)
        return DockerImage(id=image["Id"], data_folder=folder, machine=bool(labels.get(IMAGE_DISTRO_LABEL)))

    async def find_any_image(self) -> str | None:
        """Return the id of any node image on the Engine, for a probe; None without one."""
        with translate_errors("looking for node images"):
            images = await self._docker().images.list(filters={"label": [IMAGE_LABEL]})
        return next(
            (image["Id"] for image in images if is_node_image(image) and _labels_of(image).get(IMAGE_DISTRO_LABEL)),
            None,
        )

    async def versions(self, ref: str) -> Sequence[str]:
        if not _KNOWN_NAME.fullmatch(name := ref.partition(":")[0]):
            return ()
        with translate_errors("looking for node images"):
            images = await self._docker().images.list(filters={"label": [f"{IMAGE_LABEL}={name}"]})
        return sorted(
            {_labels_of(image).get(IMAGE_VERSION_LABEL, "") for image in images if is_node_image(image)} - {""}
        )

    async def _describe_versions(self, image: Image) -> str:
        """Return a text with the existing versions of an image."""
        versions = await self.versions(image.name)
        return f"there is: {', '.join(versions)}" if versions else "there is none"

    async def _inspect(self, ref: str) -> dict[str, Any] | None:
        name = image_name(ref) if ref.partition(":")[0] in _KNOWN else ref
        if not is_reference(name):
            return None
        with translate_errors(f"looking for the node image {ref}"):
            try:
                image = await self._docker().images.inspect(name)
            except DockerError as error:
                # 400: the text is no valid reference.
                if error.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}:
                    return None
                raise
        return image if is_node_image(image) else None


def is_node_image(image: Mapping[str, Any]) -> bool:
    """Whether nodes, which get many privileges, may be created from the image. It is as the Engine lists or shows it.

    Anybody can put our labels on an image and make a host pull it. So the image must also have a name that no pull can
    give (`docker_images.check_pull`), or no name at all, as a former build of ours has.
    """
    if IMAGE_LABEL not in _labels_of(image):
        return False
    tags = [tag for tag in image.get("RepoTags") or () if tag != _NO_TAG]
    is_pulled = any(not digest.startswith(_NO_NAME) for digest in image.get("RepoDigests") or ())
    return any(tag.startswith(IMAGE_REPOSITORY) for tag in tags) or not (tags or is_pulled)


def _find_buildable(ref: str) -> Image | None:
    """Return an image that can be built. `kubernetes-node:v1.36.3` is one version; the default is the newest."""
    name, _, version = ref.partition(":")
    buildable = _KNOWN.get(name)
    if buildable is None or not version:
        return buildable
    if name not in _VERSIONED or not _VERSION.fullmatch(version):
        return None
    command = f"`jeroboam node-image build kubernetes --version {version}`"
    reason = f"that version is not on this Engine yet, and {command} makes it if it was published"
    return replace(buildable, id=ref, name=ref, version=version, unavailable_reason=reason)


def _labels_of(image: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of an image, from the Engine's inspection or list."""
    return (image.get("Config") or image).get("Labels") or {}


def _read_image(image: dict[str, Any]) -> Image:
    labels = _labels_of(image)
    coes = tuple(coe for coe in labels.get(IMAGE_COES_LABEL, "").split(",") if coe)
    return Image(
        id=image["Id"],
        name=labels[IMAGE_LABEL],
        os_distro=labels.get(IMAGE_DISTRO_LABEL, ""),
        coes=coes,
        version=labels.get(IMAGE_VERSION_LABEL, ""),
    )
