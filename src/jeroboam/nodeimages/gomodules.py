"""The source *modules*: programs compiled from pinned Go modules, which needs only a Go proxy.

A recipe either installs a module's own commands, or builds them, or a small main package of ours that uses the module
as a library, in a folder of ours. A folder with a go.mod and a go.sum is a module for several programs: they share the
versions of their dependencies, so that each is compiled once, and its checksums are those of the go.sum. All other
checksums are those of Go's checksum database. Neighbours: `programs`, whose contract this implements; the
recipes (`modules.toml` and a folder of Go files), which are part of the node image.
"""

import asyncio
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.nodeimages.gotoolchain import GoCommand, find_go
from jeroboam.nodeimages.host import freeze_lists
from jeroboam.nodeimages.programs import Program
from jeroboam.nodeimages.subprocesses import run_program

_LAST_LINES = 12
_LONGEST_LINE = 300
_STAGING = re.compile(r"^\s*(k8s\.io/[a-z0-9-]+) => \./staging/", re.MULTILINE)
_REQUIREMENT = re.compile(r"^(?:require)?\s+(\S+) (v\S+)$", re.MULTILINE)
_AWAY = re.compile(
    r"dial tcp|no such host|i/o timeout|connection re(?:fused|set)|TLS handshake|50[0-9] |unexpected EOF"
)
_NO_ROOM = "no space left on device"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModuleRecipe:
    """How a program is compiled."""

    module: str
    install: tuple[str, ...] = ()
    """Commands of the module, as folders in it; each produces a file with its name."""
    folder: str = ""
    """Or the folder of ours in which it is built. Programs whose folder has a go.mod may share the folder."""
    build: str = "."
    """The package to build: ours, or a command of the module."""
    beside: tuple[str, ...] = ()
    """Further modules that our package needs, with the same version."""
    output: str = ""
    """The name of the program."""
    names: tuple[str, ...] = ()
    """Further names of the program, which acts on the name that it is called by."""
    staging: bool = False
    """Whether `replace` lines of the module name folders that are also published as modules (Kubernetes)."""
    tags: str = ""
    defines: Mapping[str, str] = field(default_factory=dict)
    """Variables to set with the linker; `{version}`, `{bare}`, `{major}` and `{minor}` are replaced."""
    static: bool = False
    """Whether it is linked statically with C libraries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolchain:
    """The requirements of compiling: the release of Go, and the programs and libraries for C with their packages."""

    go: str
    programs: Mapping[str, str]
    libraries: Mapping[str, str]


class GoModules:
    """The `ProgramSource` *modules*."""

    def __init__(
        self,
        recipes: Mapping[str, ModuleRecipe],
        sources: Traversable,
        toolchain: Toolchain,
        packaged_go: Path | None = None,
    ) -> None:
        """`sources` contains the folders that recipes name. `packaged_go` compiles where the machine's own cannot."""
        self._recipes = recipes
        self._sources = sources
        self._toolchain = toolchain
        self._packaged_go = packaged_go
        self._go_command: GoCommand | None = None

    async def has_go(self) -> bool:
        """Whether there is a Go that compiles."""
        command = await self._find_go()
        return command is not None and command.is_at_least(self._toolchain.go)

    async def ready(self) -> None:
        command = await self._find_go()
        if command is None or not command.is_at_least(self._toolchain.go):
            present = command.release if command and command.release else "none"
            raise Permanent(
                f"compiling needs Go {self._toolchain.go} or later, and this machine has {present}: {_INSTALL_GO}"
            )
        missing = [package for name, package in self._toolchain.programs.items() if shutil.which(name) is None]
        if not missing:
            for name, package in self._toolchain.libraries.items():
                code, _, _ = await run_program("pkg-config", "--exists", name, cwd=Path("/"), env={})
                missing += [package] if code else []
        if missing:
            packages = " ".join(sorted(missing))
            raise Permanent(f"compiling needs what `jeroboam setup --compilers` brings: apt-get install {packages}")

    async def recipe(self, program: Program) -> str:
        recipe = self._recipes[program.name]
        our_files = _read_texts(self._sources / recipe.folder) if recipe.folder else {}
        command = await self._find_go()
        return f"modules {command.release if command else ''} {recipe!r} {sorted(our_files.items())!r}"

    async def make(self, program: Program, into: Path) -> None:
        recipe = self._recipes[program.name]
        # Debug information is stripped when linking, so it is not compiled either, which saves a tenth of the time.
        flags = ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false"]
        flags += ["-ldflags", _ldflags(recipe, program.version)]
        flags += ["-tags", recipe.tags] if recipe.tags else []
        env = {"CGO_ENABLED": "1" if recipe.static else "0", "GOBIN": str(into), "GOWORK": "off"}
        if recipe.install:
            packages = [f"{recipe.module}/{place}".rstrip("/.") for place in recipe.install]
            await self._go(program, into, env, "install", *flags, *(f"{name}@{program.version}" for name in packages))
            return
        work_folder = into / "src"
        with as_file(self._sources / recipe.folder) as source_folder:
            await asyncio.to_thread(shutil.copytree, source_folder, work_folder)
        module_file = work_folder / "go.mod"
        if module_file.exists():
            _check_requirements(program, recipe, module_file.read_text())
        else:
            module_file.write_text(await self._go_mod(program, recipe, into, env))
            await self._go(program, work_folder, env, "mod", "tidy")
        await self._go(program, work_folder, env, "build", *flags, "-o", str(into / recipe.output), recipe.build)
        await asyncio.to_thread(shutil.rmtree, work_folder)
        for name in recipe.names:
            (into / name).hardlink_to(into / recipe.output)

    async def _go_mod(self, program: Program, recipe: ModuleRecipe, cwd: Path, env: Mapping[str, str]) -> str:
        lines = [
            f"module jeroboam/{program.name}",
            f"go {self._toolchain.go}",
            *(f"require {module} {program.version}" for module in (recipe.module, *recipe.beside)),
        ]
        if recipe.staging:
            # The repository replaces its staging modules by folders, which are not available to other modules. Each is
            # published under a version that corresponds to the repository's.
            answer = await self._go(program, cwd, env, "mod", "download", "-json", f"{recipe.module}@{program.version}")
            module_file = await asyncio.to_thread(Path(json.loads(answer)["GoMod"]).read_text)
            staging_version = f"v0.{program.version.removeprefix('v1.')}"
            lines += [f"replace {module} => {module} {staging_version}" for module in _STAGING.findall(module_file)]
        return "\n".join([*lines, ""])

    async def _find_go(self) -> GoCommand | None:
        if self._go_command is None:
            self._go_command = await find_go(self._toolchain.go, self._packaged_go)
        return self._go_command

    async def _go(self, program: Program, cwd: Path, env: Mapping[str, str], *args: str) -> str:
        command = await self._find_go()
        code, out, errors = await run_program(command.path if command else "go", *args, cwd=cwd, env=env)
        if code != 0:
            raise _build_error(f"compiling {program.name} {program.version}", errors or out)
        return out


_INSTALL_GO = "`jeroboam setup --compilers` brings it, and so do Go's own downloads"


def _build_error(action: str, output: str) -> DriverError:
    """Return the error for a compiler's output, with its last lines, which have the cause."""
    lines = [line[:_LONGEST_LINE] for line in output.splitlines() if line and not line.startswith("go: downloading ")]
    if _NO_ROOM in output:
        # Go writes to folders of its own too: the line shows which disk is full.
        disk_line = next(line for line in output.splitlines() if _NO_ROOM in line)[-_LONGEST_LINE:]
        return Permanent(f"{action}: {disk_line}; free some GiB and start again, what was finished is kept")
    text = "\n".join(lines[-_LAST_LINES:]) or "it was ended by something else"
    if _AWAY.search(output):
        return Temporary(f"{action}: the Go proxy does not answer; a next try goes on from here\n{text}")
    return Permanent(f"{action} failed:\n{text}")


def read_recipes(data: Mapping[str, Any]) -> dict[str, ModuleRecipe]:
    """Return the recipes of a `modules.toml`."""
    return {name: ModuleRecipe(**freeze_lists(table)) for name, table in data.items()}


def _check_requirements(program: Program, recipe: ModuleRecipe, go_mod: str) -> None:
    """Raise `Permanent` if a go.mod of ours requires another version of the program than was asked for."""
    required_versions = dict(_REQUIREMENT.findall(go_mod))
    for module in (recipe.module, *recipe.beside):
        version = required_versions.get(module)
        if version != program.version:
            raise Permanent(
                f"compiling {program.name} {program.version}: {recipe.folder}/go.mod requires {version} of {module}"
            )


def _ldflags(recipe: ModuleRecipe, version: str) -> str:
    bare = version.removeprefix("v")
    major, minor = bare.split(".")[:2]
    values = {"version": version, "bare": bare, "major": major, "minor": minor}
    flags = ["-s", "-w", *(f"-X {name}={value.format(**values)}" for name, value in recipe.defines.items())]
    return " ".join([*flags, *(["-linkmode external", "-extldflags -static"] if recipe.static else [])])


def _read_texts(folder: Traversable) -> dict[str, str]:
    texts: dict[str, str] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            texts |= {f"{entry.name}/{name}": text for name, text in _read_texts(entry).items()}
        else:
            texts[entry.name] = entry.read_text()
    return texts
