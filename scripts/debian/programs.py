"""The compiled programs of Kubernetes' node image, handed to the guest on a disk: an emulated processor takes hours.

They are those of this machine's cache for the newest version. The guest's Go may be another patch release, so that its
folders have other names: `python -m scripts.debian.programs FOLDER` runs there, and links what the disk has under the
names that the guest looks for. Neighbour: `steps`, which calls both.
"""

import asyncio
import pathlib
import shutil
import subprocess
import sys

from jeroboam import settings
from jeroboam.kit.clock import SystemClock
from jeroboam.nodeimages import kubernetes
from jeroboam.nodeimages.build_times import BuildStep
from jeroboam.nodeimages.programs import ProgramCache


class _Silent:
    """A `BuildProgress` that nobody looks at."""

    def begin(self, title: str, step: BuildStep | None = None) -> None: ...

    def wait(self, title: str) -> None: ...

    def end(self, title: str, seconds: float | None) -> None: ...


def find_folders() -> dict[str, pathlib.Path]:
    """Return the folder of each program by its name, whether the program was compiled yet or not."""

    async def find_all() -> dict[str, pathlib.Path]:
        cache = ProgramCache(settings.load(None).image_cache, SystemClock(), _Silent())
        source = kubernetes.build_modules()
        programs = kubernetes.find_version(None).programs
        return {program.name: await cache.find_folder(source, program) for program in programs}

    return asyncio.run(find_all())


def build_disk(folders: dict[str, pathlib.Path], disk: pathlib.Path) -> None:
    """Write a file system with these folders by the programs' names."""
    content = disk.with_suffix(".content")
    shutil.rmtree(content, ignore_errors=True)
    content.mkdir(parents=True)
    for name, folder in folders.items():
        # Some programs are links to one file, and stay so.
        subprocess.run(["cp", "-a", folder, content / name], check=True)
    kib = int(subprocess.run(["du", "-sk", content], capture_output=True, text=True, check=True).stdout.split()[0])
    disk.unlink(missing_ok=True)
    subprocess.run(["truncate", "--size", f"{kib * 5 // 4 + 16384}K", disk], check=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-L", "programs", "-d", content, disk], check=True)
    shutil.rmtree(content)


def main() -> None:
    """Link the programs in that folder into this machine's cache."""
    given = pathlib.Path(sys.argv[1])
    for name, folder in find_folders().items():
        if (given / name).is_dir() and not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.symlink_to(given / name)
            print(f"{folder.name} is taken from {given / name}")


if __name__ == "__main__":
    main()
