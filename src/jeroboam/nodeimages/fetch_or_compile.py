"""Both sources together: published programs are fetched, the others are compiled.

It is the default when upstream's sites can be reached. Neighbours: `releases` and `gomodules`, the two sources.
"""

from collections.abc import Sequence
from pathlib import Path

from jeroboam.nodeimages.programs import Program, ProgramSource
from jeroboam.nodeimages.releases import Releases


class FetchOrCompile:
    """A `ProgramSource` that fetches published programs and compiles the others."""

    def __init__(self, releases: Releases, modules: ProgramSource) -> None:
        self._releases = releases
        self._modules = modules

    async def ready(self) -> None:
        await self._modules.ready()

    async def recipe(self, program: Program) -> str:
        return await self._source_of(program).recipe(program)

    async def make(self, program: Program, into: Path) -> None:
        await self._source_of(program).make(program, into)

    def describe_checksums(self, programs: Sequence[Program]) -> str:
        """Return a line of text with the checksums that programs were checked against, and the compiled programs."""
        published_programs = [program for program in programs if self._releases.can_fetch(program)]
        compiled_names = ", ".join(program.name for program in programs if program not in published_programs)
        return f"{self._releases.describe_checksums(published_programs)}; compiled from modules: {compiled_names}"

    def _source_of(self, program: Program) -> ProgramSource:
        return self._releases if self._releases.can_fetch(program) else self._modules
