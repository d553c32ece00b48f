"""Programs that a node image is made of and that this machine has not: where they come from, and where they are kept.

Neighbours: `gomodules` and `releases` are the sources; the folders beside this file say which programs they want. A
program is made once for each key (its recipe, its version, its tools), in a folder that appears whole or not at all:
who is killed, or runs out of disk, finds what was finished when he comes again.
"""

import asyncio
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jeroboam.domain.errors import Permanent
from jeroboam.kit.clock import Clock

_LOCK_SECONDS = 0.2
_KEY_LETTERS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A program, or several that are made together."""

    name: str
    version: str
    outputs: tuple[str, ...]
    """The files that making it leaves."""


class ProgramSource(Protocol):
    """Where programs come from."""

    async def ready(self) -> None:
        """Raise `Permanent` naming what this machine lacks, with what brings it."""
        ...

    async def recipe(self, program: Program) -> str:
        """A text that changes whenever what comes out would."""
        ...

    async def make(self, program: Program, into: Path) -> None:
        """Leave the program's outputs in that folder. Raises `Temporary` where another try may help."""
        ...


class BuildProgress(Protocol):
    """Who is told how far it is."""

    def begin(self, title: str) -> None: ...

    def end(self, title: str, seconds: float | None) -> None:
        """It is there; None: it was there already."""
        ...


class ProgramCache:
    """A folder of programs by key."""

    def __init__(self, folder: Path, clock: Clock, report: BuildProgress) -> None:
        self._folder = folder
        self._clock = clock
        self._report = report

    async def get(self, source: ProgramSource, programs: Sequence[Program]) -> Mapping[str, Path]:
        """Every output of these by its name, made where it is not there yet, one after the other.

        What is made of is asked for only when something has to be made. Raises what the source raises, and
        `Permanent` when the disk is full.
        """
        outputs: dict[str, Path] = {}
        ready = False
        for program in programs:
            folder = await self._place(source, program)
            title = f"{program.name} {program.version}"
            if _there(folder):
                self._report.end(title, None)
            else:
                if not ready:
                    await source.ready()
                    ready = True
                with self.timed(title):
                    await self._make(source, program, folder)
            outputs |= {name: folder / name for name in program.outputs}
        return outputs

    async def _place(self, source: ProgramSource, program: Program) -> Path:
        recipe = f"{program!r} {os.uname().machine} {await source.recipe(program)}"
        key = hashlib.sha256(recipe.encode()).hexdigest()[:_KEY_LETTERS]
        return self._folder / f"{program.name}-{program.version}-{key}"

    @contextmanager
    def timed(self, title: str) -> Iterator[None]:
        """Report that something is made, and how long it took."""
        start = self._clock.monotonic()
        self._report.begin(title)
        yield
        self._report.end(title, self._clock.monotonic() - start)

    async def _make(self, source: ProgramSource, program: Program, folder: Path) -> None:
        try:
            async with self.alone(folder.name):
                if not _there(folder):
                    await self._make_whole(source, program, folder)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                text = f"the disk of {self._folder} is full: free some GiB and start again, what was finished is kept"
                raise Permanent(text) from error
            raise

    async def _make_whole(self, source: ProgramSource, program: Program, folder: Path) -> None:
        for stale_part in self._folder.glob(f"{folder.name}.*.part"):
            await asyncio.to_thread(shutil.rmtree, stale_part, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=self._folder))
        try:
            await source.make(program, part)
            missing = [name for name in program.outputs if not (part / name).is_file()]
            if missing:
                raise Permanent(f"making {program.name} {program.version} left no {', '.join(missing)}")
            await asyncio.to_thread(_settle, part, program.outputs, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        """One process at a time makes what has that name; the others wait. The lock ends with the process."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        with (self._folder / f"{name}.lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await self._clock.sleep(_LOCK_SECONDS)
            yield


def _there(folder: Path) -> bool:
    return folder.is_dir()


def _settle(part: Path, names: Sequence[str], folder: Path) -> None:
    """Give a folder its name, once its files are on the disk."""
    for name in names:
        (part / name).chmod(0o755)
        with (part / name).open("rb") as file:
            os.fsync(file.fileno())
    part.chmod(0o755)
    part.rename(folder)
