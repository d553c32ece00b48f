"""Node images on a real Engine: listed, named by their version, removed; and what the catalogue makes of names."""

import uuid
from dataclasses import replace

import pytest

from jeroboam.clients.docker import connect
from jeroboam.domain.errors import Permanent
from jeroboam.domain.nodes import IMAGE_VERSION_LABEL
from jeroboam.nodeimages.engine import (
    find_image,
    import_tree,
    label_instructions,
    list_images,
    remove_image,
    tag_newest,
)
from jeroboam.nodeimages.swarm import build_recipe
from jeroboam.nodeimages.tree import RootTree
from jeroboam.providers.local.catalog import LocalCatalog

pytestmark = pytest.mark.docker


@pytest.fixture
async def docker():
    async with connect() as client:
        yield client


@pytest.fixture
async def name(docker):
    """A catalogue name of our own, with the versions v1.2.3 and v1.10.0."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    shape = replace(build_recipe(), name=name, repository=f"jeroboam/{name}", coes=("fake",))
    for version in ("v1.10.0", "v1.2.3"):
        tree = RootTree(contents={"version": (version.encode(), 0o644)})
        await import_tree(docker, shape, tree, version, label_instructions(shape, {IMAGE_VERSION_LABEL: version}))
        await tag_newest(docker, name)
    yield name
    for image in await list_images(docker):
        if image.name == name:
            await remove_image(docker, image.names[0])


async def test_images_are_listed_and_latest_is_the_newest_version(docker, name):
    ours = [image for image in await list_images(docker) if image.name == name]
    assert [(image.version, image.coes) for image in ours] == [("v1.10.0", ("fake",)), ("v1.2.3", ("fake",))]
    assert ours[0].names == (f"jeroboam/{name}:v1.10.0", f"jeroboam/{name}:latest")
    assert ours[0].size > 0


async def test_the_catalogue_knows_an_image_with_its_version(docker, name):
    found = await LocalCatalog(lambda: docker).image(f"jeroboam/{name}:v1.2.3")
    assert found is not None
    assert (found.name, found.coes, found.version, found.unavailable_reason) == (name, ("fake",), "v1.2.3", "")


async def test_one_that_is_removed_leaves_latest_to_the_next(docker, name):
    removed = await remove_image(docker, f"{name}:v1.10.0")
    assert sorted(removed) == [f"jeroboam/{name}:latest", f"jeroboam/{name}:v1.10.0"]
    (left,) = [image for image in await list_images(docker) if image.name == name]
    assert left.names == (f"jeroboam/{name}:v1.2.3", f"jeroboam/{name}:latest")


async def test_one_that_nodes_run_from_stays(docker, name):
    container = await docker.containers.create({"Image": f"jeroboam/{name}:v1.2.3"})
    try:
        with pytest.raises(Permanent, match="1 nodes run from"):
            await remove_image(docker, f"{name}:v1.2.3")
        assert await find_image(docker, f"jeroboam/{name}:v1.2.3")
    finally:
        await container.delete(force=True)


async def test_only_node_images_are_removed(docker, busybox):
    for ref in (busybox, "kubernetes-node:v0.0.1", "no such: name!"):
        with pytest.raises(Permanent, match="there is no node image"):
            await remove_image(docker, ref)


async def test_a_version_that_is_lacking_comes_with_the_command_that_makes_it(docker):
    catalog = LocalCatalog(lambda: docker)
    lacking = await catalog.image("kubernetes-node:v0.0.1")
    assert lacking is not None
    assert "`jeroboam node-image build kubernetes --version v0.0.1`" in lacking.unavailable_reason
    assert lacking.version == "v0.0.1"
    with pytest.raises(Permanent, match="--version"):
        await catalog.docker_image("kubernetes-node:v0.0.1")
    for unknown in ("kubernetes-node:whatever", "swarm-node:v1.2.3"):
        assert await catalog.image(unknown) is None
