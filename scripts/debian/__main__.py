"""Does a plain Debian do? `make test-debian` boots one under QEMU and follows README in it.

Prints a table of steps with their seconds; the exit status is 0 only if every step worked. With FROM_NOTHING=1 the
programs of Kubernetes are made in the guest too; RELEASE names another release of Debian.
Neighbours: `image`, the disk; `guest`, the machine; `steps`, what is typed; `programs`, what is handed over.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from . import programs, registries, steps
from .guest import Guest, StepFailed, boot_guest, has_processor_support
from .image import Image, install_programs, prepare_image

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / "build" / "debian"
MEMORY_MIB = 6144
_times: list[tuple[str, float, str]] = []


@contextlib.contextmanager
def step(title: str) -> Iterator[list[str]]:
    """Take the time of a step. What is put into the list is shown beside it."""
    print(f"…  {title}", flush=True)
    start = time.monotonic()
    notes: list[str] = []
    yield notes
    seconds = time.monotonic() - start
    _times.append((title, seconds, "; ".join(note for note in notes if note)))
    print(f"ok {seconds:7.1f} s  {title}  {_times[-1][2]}", flush=True)


def find_programs() -> pathlib.Path | None:
    """Return a disk with the programs of this machine's cache; None if it has not all of them, or shall not be used."""
    if os.environ.get("FROM_NOTHING"):
        return None
    folders = programs.find_folders()
    missing = [name for name, folder in folders.items() if not folder.is_dir()]
    if missing:
        print(f"this machine has not compiled {', '.join(missing)}: the guest makes all programs itself", flush=True)
        return None
    disk = FOLDER / f"programs-{'-'.join(folder.name[-4:] for folder in folders.values())}.raw"
    if not disk.exists():
        unfinished = disk.with_suffix(".part")
        programs.build_disk(folders, unfinished)
        unfinished.rename(disk)
    return disk


def follow_readme(image: Image, handed: pathlib.Path | None) -> None:
    """Boot the image and take all steps."""
    with contextlib.ExitStack() as machine:
        with step("boot, until systemd has started everything"):
            guest: Guest = machine.enter_context(boot_guest(image, FOLDER, memory_mib=MEMORY_MIB, programs=handed))
        with step("git clone") as notes:
            notes.append(steps.clone_checkout(guest, CHECKOUT))
        with step("make demo-quick, from nothing") as notes:
            notes.append(steps.run_demo(guest))
        with step("the node image of Kubernetes") as notes:
            notes.append(steps.build_image(guest, handed=handed is not None))
        for title, act in steps.STEPS:
            with step(title) as notes:
                notes.append(act(guest))


def main() -> int:
    """Run everything. Return 1 if a step failed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    FOLDER.mkdir(parents=True, exist_ok=True)
    release = os.environ.get("RELEASE") or registries.CODENAME
    if not has_processor_support():
        print("no KVM here: the processor is emulated, and everything takes many times longer")
    try:
        with step("programs and disk") as notes:
            notes.append(f"installed {' '.join(install_programs()) or 'nothing'}")
            image = prepare_image(FOLDER, release)
            handed = find_programs()
        follow_readme(image, handed)
    except (StepFailed, OSError, subprocess.CalledProcessError) as error:
        print(f"FAILED: {error}\noutput of the steps: {FOLDER}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"\nDebian {release}, {MEMORY_MIB} MiB, 2 processors")
    for title, seconds, note in _times:
        print(f"{seconds:8.1f} s  {title:55}  {note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
