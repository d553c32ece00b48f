"""File systems in files of this machine: making, mounting and unmounting them with the programs of util-linux.

Neighbours: the `local` storage, which keeps a volume in such a file.
"""

import asyncio
import os
from pathlib import Path

from jeroboam.domain.errors import Permanent, Temporary

_GIB = 1 << 30
_SECONDS = 60.0
_STATUS = Path("/proc/self/status")
_LOOP_CONTROL = "/dev/loop-control"
_SYS_ADMIN = 21
"""The number of that capability (capabilities(7))."""
_OWN_MOUNTS = Path("/proc/self/ns/mnt")
_MACHINE_MOUNTS = Path("/proc/1/ns/mnt")
_MOUNTS = Path("/proc/self/mountinfo")
# A path in mountinfo has these letters as octal numbers.
_ESCAPES = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def may_mount() -> bool:
    """Whether this process may mount files, and for the whole machine."""
    return _shares_mounts() and _has_capability(_SYS_ADMIN) and os.access(_LOOP_CONTROL, os.W_OK)


def _has_capability(number: int) -> bool:
    fields = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="utf-8").splitlines() if ":" in line)
    return bool(int(fields["CapEff"], 16) >> number & 1)


def _shares_mounts() -> bool:
    """Whether what this process mounts is mounted for the whole machine.

    Where the first process may not be looked at, a root that only receives mounts (`master`) says that it is not.
    """
    try:
        return _OWN_MOUNTS.readlink() == _MACHINE_MOUNTS.readlink()
    except OSError:
        roots = [line for line in _list_mounts() if line[4] == "/"]
        return not any(word.startswith("master:") for line in roots for word in line[6 : line.index("-")])


async def create_image(file: Path, *, size: int) -> None:
    """Make a file with an empty ext4 file system of `size` GiB in it, which takes no room until it is written to.

    The file appears whole under its name or not at all, and a file that is there is left alone. Raises `Temporary`.
    """
    if os.path.exists(file):  # noqa: PTH110, ASYNC240  (a look at a local file)
        return
    unfinished = file.with_suffix(".part")
    try:
        with unfinished.open("wb") as image:
            image.truncate(size * _GIB)
        # No block is kept back for root, and the tables of inodes are written when they are needed.
        await _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1", str(unfinished))
        with unfinished.open("rb") as image:
            await asyncio.to_thread(os.fsync, image.fileno())
        unfinished.rename(file)
    except OSError as error:
        raise Temporary(f"the file of a volume cannot be made: {error.strerror}") from error


async def mount_image(file: Path, folder: Path) -> None:
    """Mount the file system in the file, without devices and set-uid programs; do nothing if it is mounted there.

    Raises `Permanent` where this process may not mount, and `Temporary`.
    """
    if is_mounted(folder):
        return
    os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
    await _run("mount", "-t", "ext4", "-o", "loop,nosuid,nodev", str(file), str(folder))


async def unmount(folder: Path) -> None:
    """Unmount what is mounted on the folder, if anything. Raises `Temporary` while it is in use."""
    while is_mounted(folder):
        await _run("umount", str(folder))


def is_mounted(folder: Path) -> bool:
    """Whether something is mounted on the folder."""
    target = os.path.realpath(folder)
    return any(_unescape(line[4]) == target for line in _list_mounts())


def _list_mounts() -> list[list[str]]:
    """Return the words of each line of the table of mounts, as proc(5) tells them."""
    return [line.split(" ") for line in _MOUNTS.read_text(encoding="utf-8").splitlines()]


def _unescape(text: str) -> str:
    for code, letter in _ESCAPES.items():
        text = text.replace(code, letter)
    return text


async def _run(program: str, *arguments: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise Permanent(f"{program} cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(_SECONDS):
            _, errors = await process.communicate()
    except TimeoutError as error:
        raise Temporary(f"{program} has not ended after {_SECONDS:g} seconds") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        reason = errors.decode(errors="replace").strip().rpartition("\n")[2] or f"exit status {process.returncode}"
        raise Temporary(f"{program}: {reason}")
