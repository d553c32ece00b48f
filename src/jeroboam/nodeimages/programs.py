"""Programs of a node image that this machine does not have: the contract of their sources, and their cache.

A program is built once for each key (its recipe, its version, its tools), in a folder that appears complete or not at
all. So a build that was killed, or ran out of disk, continues with the finished programs. Neighbours: `gomodules` and
`releases`, the sources; `build_times`, the time that is left; the folders beside this file, which list the programs
that they need.
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
from jeroboam.nodeimages.build_times import BuildPlan, BuildStep, BuildTimes

_LOCK_SECONDS = 0.2
_KEY_LETTERS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A program, or several that are built together."""

    name: str
    version: str
    outputs: tuple[str, ...]
    """The files that the build produces."""


class ProgramSource(Protocol):
    """Where programs come from."""

    async def ready(self) -> None:
        """Raise `Permanent` with what this machine lacks and how to install it."""
        ...

    async def recipe(self, program: Program) -> str:
        """Return a text that changes whenever the result would change."""
        ...

    async def make(self, program: Program, into: Path) -> None:
        """Write the program's outputs into that folder. Raises `Temporary` when another attempt may help."""
        ...


class BuildProgress(Protocol):
    """Receives the progress of a build."""

    def begin(self, title: str, step: BuildStep | None = None) -> None:
        """The build of the program begins; `step` is its place among several."""
        ...

    def wait(self, title: str) -> None:
        """Another process builds the program, and its end is waited for."""
        ...

    def end(self, title: str, seconds: float | None) -> None:
        """The program exists; `seconds` None: it existed before."""
        ...


class ProgramCache:
    """A folder with programs by key."""

    def __init__(self, folder: Path, clock: Clock, report: BuildProgress) -> None:
        self._folder = folder
        self._clock = clock
        self._report = report
        self._times = BuildTimes(folder / "build-times.json")

    async def get(self, source: ProgramSource, programs: Sequence[Program]) -> Mapping[str, Path]:
        """Return the outputs of these programs by name; missing programs are built one after the other.

        The source has to be ready only when something has to be built. Raises the errors of the source, and
        `Permanent` when the disk is full.
        """
        outputs: dict[str, Path] = {}
        ready = False
        folders = {program: await self.find_folder(source, program) for program in programs}
        missing = [program.name for program, folder in folders.items() if not _is_complete(folder)]
        plan = BuildPlan(self._times, missing)
        for program, folder in folders.items():
            title = f"{program.name} {program.version}"
            if _is_complete(folder):
                self._report.end(title, None)
            else:
                if not ready:
                    await source.ready()
                    ready = True
                with self.report_time(title, plan):
                    await self._make(source, program, folder, title)
            outputs |= {name: folder / name for name in program.outputs}
        return outputs

    async def find_folder(self, source: ProgramSource, program: Program) -> Path:
        """Return the folder of the program, which exists as soon as the program is complete."""
        recipe = f"{program!r} {os.uname().machine} {await source.recipe(program)}"
        key = hashlib.sha256(recipe.encode()).hexdigest()[:_KEY_LETTERS]
        return self._folder / f"{program.name}-{program.version}-{key}"

    @contextmanager
    def report_time(self, title: str, plan: BuildPlan | None = None) -> Iterator[None]:
        """Report that something is being built, and how long it took."""
        start = self._clock.monotonic()
        self._report.begin(title, None if plan is None else plan.begin())
        yield
        seconds = self._clock.monotonic() - start
        self._report.end(title, seconds)
        if plan is not None:
            plan.end(seconds)

    async def _make(self, source: ProgramSource, program: Program, folder: Path, title: str) -> None:
        try:
            async with self.lock(folder.name, title):
                if not _is_complete(folder):
                    start = self._clock.monotonic()
                    await self._make_whole(source, program, folder)
                    self._times.learn(program.name, self._clock.monotonic() - start)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                text = f"the disk of {self._folder} is full: free some GiB and start again, what was finished is kept"
                raise Permanent(text) from error
            raise

    async def _make_whole(self, source: ProgramSource, program: Program, folder: Path) -> None:
        for stale_part in self._folder.glob(f"{folder.name}.*.part"):
            await asyncio.to_thread(shutil.rmtree, stale_part, ignore_errors=True)
        part_folder = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=self._folder))
        try:
            await source.make(program, part_folder)
            missing = [name for name in program.outputs if not (part_folder / name).is_file()]
            if missing:
                raise Permanent(f"making {program.name} {program.version} left no {', '.join(missing)}")
            await asyncio.to_thread(_publish_folder, part_folder, program.outputs, folder)
        finally:
            shutil.rmtree(part_folder, ignore_errors=True)

    @asynccontextmanager
    async def lock(self, name: str, title: str) -> AsyncIterator[None]:
        """Hold the lock of that name, so that one process at a time builds it. The lock ends with the process.

        A process that has to wait for the lock reports that, with the title.
        """
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        is_waiting = False
        with (self._folder / f"{name}.lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not is_waiting:
                        self._report.wait(title)
                        is_waiting = True
                    await self._clock.sleep(_LOCK_SECONDS)
            yield


def _is_complete(folder: Path) -> bool:
    return folder.is_dir()


def _publish_folder(part_folder: Path, names: Sequence[str], folder: Path) -> None:
    """Flush the files to disk, then give the folder its final name."""
    for name in names:
        (part_folder / name).chmod(0o755)
        with (part_folder / name).open("rb") as file:
            os.fsync(file.fileno())
    part_folder.chmod(0o755)
    part_folder.rename(folder)
