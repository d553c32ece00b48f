"""The contract of node images: what a builder takes and gives.

A node image is a Docker image whose container behaves like a machine: it carries an engine, and an entry that runs
the commands a provider lays into it (`domain.nodes.COMMANDS_PATH`). Each folder beside this file is one image;
`host` is the source *this machine's own programs*, `programs` says what other sources are, `engine` is where images go.
"""

from dataclasses import dataclass
from typing import Protocol

import aiodocker


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltImage:
    """A node image on an Engine."""

    id: str
    name: str
    """The name that stays: `<repository>:latest`, or its version behind the colon."""
    fresh: bool
    """False when the Engine had this very content already."""


class Builder(Protocol):
    """Makes a node image on an Engine, unless it is there. Raises `Permanent` for what the source lacks."""

    async def __call__(self, docker: aiodocker.Docker) -> BuiltImage: ...
