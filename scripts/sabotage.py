"""Breaks one seam at a time in a copy of the tree, and tests that `make check` refuses the copy.

A seam is where parts meet that do not import each other: a driver and its contract, the loader and a driver, the
operator's options and their readers. `make sabotage` runs it; it takes some minutes, since mypy with strict settings
checks each break. Exit status 1 names a break that nothing refused.
"""

import dataclasses
import itertools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

COPIED = ("src", "tests", "scripts", "pyproject.toml")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Break:
    """One break: the first `old` in that file becomes `new`."""

    name: str
    path: str
    old: str
    new: str


BREAKS = (
    Break(
        name="a provider's method is renamed",
        path="src/jeroboam/providers/local/provider.py",
        old="    async def destroy(",
        new="    async def destroy_all(",
    ),
    Break(
        name="a COE's method is renamed",
        path="src/jeroboam/coes/swarm/coe.py",
        old="    async def observe(",
        new="    async def look_at(",
    ),
    Break(
        name="a runtime's method is renamed",
        path="src/jeroboam/runtimes/docker/runtime.py",
        old="    async def kill(",
        new="    async def send_signal(",
    ),
    Break(
        name="an optional method of a provider is misspelt",
        path="src/jeroboam/providers/local/provider.py",
        old="    async def rebuild(",
        new="    async def rebiuld(",
    ),
    Break(
        name="an optional method of a COE is misspelt",
        path="src/jeroboam/coes/kubernetes/coe.py",
        old="    async def drain(",
        new="    async def darin(",
    ),
    Break(
        name="an optional method of a runtime is misspelt",
        path="src/jeroboam/runtimes/docker/runtime.py",
        old="    async def unpause(",
        new="    async def unpuase(",
    ),
    Break(
        name="a driver's method takes one argument more",
        path="src/jeroboam/providers/local/provider.py",
        old="    async def destroy(self, cluster_id: str)",
        new="    async def destroy(self, cluster_id: str, force: bool)",
    ),
    Break(
        name="a contract's method takes one argument more",
        path="src/jeroboam/coes/base.py",
        old="    async def observe(self, plan: CoePlan)",
        new="    async def observe(self, plan: CoePlan, depth: int)",
    ),
    Break(
        name="a fake's method is renamed",
        path="src/jeroboam/providers/fake.py",
        old="    async def remove(",
        new="    async def remove_nodes(",
    ),
    Break(
        name="bootstrap calls a driver with a wrong argument",
        path="src/jeroboam/bootstrap/drivers.py",
        old="CoeSettings(clock=clock)",
        new="CoeSettings(clock=clock, installation='i')",
    ),
    Break(
        name="bootstrap reads an option that does not exist",
        path="src/jeroboam/bootstrap/api_options.py",
        old="settings.api.max_limit",
        new="settings.api.maximum_limit",
    ),
    Break(
        name="an option of the API is not passed on",
        path="src/jeroboam/bootstrap/api_options.py",
        old="        max_limit=settings.api.max_limit,\n",
        new="",
    ),
    Break(
        name="a query selects by a field that its objects do not have",
        path="src/jeroboam/conductor/clusters/records.py",
        old='tx.certificates.select({"cluster_id": uuid})',
        new='tx.certificates.select({"cluster": uuid})',
    ),
    Break(
        name="a selector has a field that its table does not have",
        path="src/jeroboam/api/container_infra/lookup.py",
        old='{"project_id": project_id}',
        new='{"project": project_id}',
    ),
    Break(
        name="a driver imports the store",
        path="src/jeroboam/providers/fake.py",
        old="from typing import Self\n",
        new="from typing import Self\n\nfrom jeroboam.store import Store\n",
    ),
    Break(
        name="a driver imports the library of a client",
        path="src/jeroboam/providers/fake.py",
        old="from typing import Self\n",
        new="from typing import Self\n\nimport aiodocker\n",
    ),
    Break(
        name="the API imports a driver",
        path="src/jeroboam/api/parts.py",
        old="from jeroboam.domain",
        new="from jeroboam.providers.base import Provider\nfrom jeroboam.domain",
    ),
)


def write(file: pathlib.Path, text: str, clock: Iterator[int]) -> None:
    """Write a file with a later time than any before: mypy takes a file of the same second and size for unchanged."""
    file.write_text(text)
    seconds = next(clock)
    os.utime(file, (seconds, seconds))


def copy_tree(into: pathlib.Path) -> None:
    """Copy the checked files."""
    for name in COPIED:
        source = pathlib.Path(name)
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, into / name)


def is_refused(tree: pathlib.Path) -> str:
    """Return the first line with which a check refuses the tree; empty if every check passes."""
    programs = pathlib.Path(sys.executable).parent
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tree / "src")}
    for command in (["mypy"], ["lint-imports", "--no-cache"]):
        check = subprocess.run(
            [str(programs / command[0]), *command[1:]],
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if check.returncode != 0:
            lines = [line for line in check.stdout.splitlines() if "error:" in line or "BROKEN" in line]
            return lines[0] if lines else check.stderr.strip()[-300:]
    return ""


def main() -> int:
    """Print what refused each break. Return 1 for a miss."""
    missed, clock = 0, itertools.count(int(time.time()), 10)
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder)
        copy_tree(tree)
        if refusal := is_refused(tree):
            print(f"the tree is refused as it is: {refusal}")
            return 1
        for seam in BREAKS:
            file = tree / seam.path
            text = file.read_text()
            if seam.old not in text:
                print(f"MISSED   {seam.name}: {seam.path} has no {seam.old!r}")
                missed += 1
                continue
            write(file, text.replace(seam.old, seam.new, 1), clock)
            refusal = is_refused(tree)
            write(file, text, clock)
            print(f"{'refused' if refusal else 'MISSED '}  {seam.name}: {refusal}", flush=True)
            missed += not refusal
    print(f"{len(BREAKS) - missed} of {len(BREAKS)} breaks are refused")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
