"""Node images for the command line: list, build and remove them. Neighbours: `cli`; `nodeimages`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jeroboam.clients.docker import DockerClient, connect
from jeroboam.kit.clock import SystemClock
from jeroboam.nodeimages import busybox, engine, fromhost, kubernetes, loadbalancer, removal, swarm
from jeroboam.nodeimages.base import BuiltImage
from jeroboam.nodeimages.engine import EngineNodeImage
from jeroboam.nodeimages.fetch_or_compile import FetchOrCompile
from jeroboam.nodeimages.programs import BuildProgress, ProgramCache, ProgramSource
from jeroboam.nodeimages.releases import Releases, read_checksums
from jeroboam.providers.local.engine import LocalEngine
from jeroboam.settings import Settings

KUBERNETES = "kubernetes"
# Node images with the programs of this machine.
FROM_HOST = {"swarm": swarm.build_recipe, "load-balancer": loadbalancer.build_recipe}
IMAGES = ("swarm", KUBERNETES, "load-balancer")
SOURCES = ("releases", "modules")


async def build(
    settings: Settings,
    name: str,
    report: BuildProgress,
    *,
    version: str | None = None,
    source: str | None = None,
    mirror: str | None = None,
    checksums: Path | None = None,
) -> str:
    """Build that node image. Return a line with the result, after a line on the checksums of published programs.

    Raises `ValueError` for an unknown name, version or source, and for options that only Kubernetes has.
    """
    if name not in IMAGES:
        raise ValueError(f"there is no node image for {name!r}; there is: {', '.join(IMAGES)}")
    if source is not None and source not in SOURCES:
        raise ValueError(f"there is no source {source!r}; there is: {', '.join(SOURCES)}")
    if source == "modules" and mirror:
        raise ValueError("a mirror applies to releases only: Go modules come from where GOPROXY says")
    if source == "modules" and checksums:
        raise ValueError("checksums apply to releases only: Go modules have their own")
    if name in FROM_HOST and (version or source or mirror or checksums):
        raise ValueError(
            f"the node image {name} is made of this machine's own programs: it has no version and no source"
        )
    kubernetes_version = kubernetes.find_version(version)
    notes = ""
    async with _engine(settings) as docker:
        if name in FROM_HOST:
            image = await fromhost.build(docker, FROM_HOST[name]())
        else:
            cache = ProgramCache(settings.image_cache, SystemClock(), report)
            own_checksums = None if checksums is None else _read(checksums)
            program_source = await _source(kubernetes_version, source, mirror or settings.image_mirror, own_checksums)
            image = await kubernetes.build(docker, kubernetes_version, program_source, cache, machine_of(docker))
            if isinstance(program_source, Releases | FetchOrCompile):
                notes = f"{program_source.describe_checksums(kubernetes_version.programs)}\n"
    return f"{notes}{_describe_image(image)}"


def _describe_image(image: BuiltImage) -> str:
    return f"{image.name}: {'made' if image.fresh else 'there already'} ({image.id[:19]})"


async def build_busybox(settings: Settings) -> str:
    """Build the small image for containers. Return a line with the result."""
    async with _engine(settings) as docker:
        return _describe_image(await busybox.build(docker))


async def list_node_images(settings: Settings) -> Sequence[EngineNodeImage]:
    """Return the node images on the Engine."""
    async with _engine(settings) as docker:
        return await engine.list_images(docker)


async def remove(settings: Settings, name: str) -> Sequence[str]:
    """Remove a node image. Return the names that it had."""
    async with _engine(settings) as docker:
        return await engine.remove_image(docker, name)


async def remove_all_images(settings: Settings) -> AsyncIterator[str]:
    """Remove all node images, and the small image if it was made here. Yield a line for each."""
    async with _engine(settings) as docker:
        async for line in removal.remove_images(docker):
            yield line


def remove_cache(settings: Settings) -> Iterator[str]:
    """Remove the programs that node images were made of. Yield lines. Raises `ValueError` while a build uses them."""
    return removal.remove_cache(settings.image_cache)


@asynccontextmanager
async def _engine(settings: Settings) -> AsyncIterator[DockerClient]:
    docker = connect(settings.docker_url)
    try:
        yield docker
    finally:
        await docker.close()


def machine_of(docker: DockerClient) -> Callable[[str], Awaitable[Mapping[str, Any]]]:
    """Return a function that returns the Engine's host configuration for the container of a node image."""

    async def machine(image: str) -> Mapping[str, Any]:
        return (await LocalEngine(lambda: docker, {}).get_capabilities(image)).host_config

    return machine


def _read(checksums: Path) -> dict[str, str]:
    try:
        return read_checksums(checksums.read_text())
    except ValueError as error:
        raise ValueError(f"{checksums}: {error}") from error


async def _source(
    version: kubernetes.Version, name: str | None, mirror: str, checksums: Mapping[str, str] | None
) -> ProgramSource:
    """Return the source of that name; without a name, published programs if reachable, otherwise compiled ones."""
    releases = kubernetes.build_releases(mirror, checksums)
    if name == "releases" or (name is None and (mirror or checksums)):
        return releases
    modules = kubernetes.build_modules()
    if name is None and await releases.is_reachable(version.programs[-1]):
        return FetchOrCompile(releases, modules)
    return modules
