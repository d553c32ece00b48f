"""The contract of node images: the builder and its result.

A node image is a Docker image whose container behaves like a machine: it contains an engine, and an entry script that
runs the commands that a provider writes into the container (`domain.nodes.COMMANDS_PATH`). Each folder beside this file
is one image. Neighbours: `host`, the source *programs of this machine*; `programs`, the contract of other sources;
`engine`, which imports images.
"""

from dataclasses import dataclass
from typing import Protocol

from jeroboam.clients.docker import DockerClient


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltImage:
    """A node image on an Engine."""

    id: str
    name: str
    """The stable name: `<repository>:latest`, or with the version as its tag."""
    fresh: bool
    """False when the Engine had an image with this content already."""


class Builder(Protocol):
    """Builds a node image on an Engine unless it exists. Raises `Permanent` when the source lacks something."""

    async def __call__(self, docker: DockerClient) -> BuiltImage: ...
