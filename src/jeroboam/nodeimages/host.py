"""The source *this host*: programs that are installed here, with the libraries that they load.

It needs no registry, and the engine that runs on this host is sure to work on it. Neighbours: the recipes in the
folders beside this file; `tree`, which holds the result.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from jeroboam.domain.errors import Permanent
from jeroboam.nodeimages.tree import RootTree, stamp

SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec/docker:/usr/lib/docker/cli-plugins"
ENTRY = "usr/lib/jeroboam/entry"
MACHINE = "usr/lib/jeroboam/machine"
"""The part of every entry script that makes a container a machine."""
# The linker's cache changes with every change of the host's libraries, so its stamp covers all of them.
_LINKER_CACHE = Path("/etc/ld.so.cache")
_LIBRARY = re.compile(r"(/\S+) \(0x")
_LDD_SECONDS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class RootRecipe:
    """The content of a root folder. Programs keep their names and go to /usr/sbin; files keep their paths."""

    name: str
    programs: tuple[str, ...]
    packages: str
    """The packages to install when a program is missing."""
    optional_programs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    """Patterns of folders with plug-ins; a pattern need not match."""
    files: tuple[str, ...] = ()
    """Files that are copied if this host has them."""
    directories: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Text and mode, by path, of files that are part of the recipe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRecipe(RootRecipe):
    """The content of a node image, and its labels."""

    repository: str
    distro: str
    coes: tuple[str, ...]
    data: str


def load_recipe(package: str, scripts: Mapping[str, str]) -> ImageRecipe:
    """Load the recipe of a package: `recipe.toml`, its scripts (paths by file name) and the script `machine.sh`."""
    folder = files(package)
    data = tomllib.loads((folder / "recipe.toml").read_text())
    machine = (files(__package__) / "machine.sh").read_text()
    executables = {MACHINE: machine, **{path: (folder / name).read_text() for name, path in scripts.items()}}
    texts = {path: (text, 0o644) for path, text in data.pop("texts").items()}
    return ImageRecipe(
        **freeze_lists(data), contents={**texts, **{path: (text, 0o755) for path, text in executables.items()}}
    )


def read_root_recipe(data: Mapping[str, Any]) -> RootRecipe:
    """Return the recipe of a root folder, given its table in a recipe file."""
    return RootRecipe(**freeze_lists(data))


def freeze_lists(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table of a recipe file as arguments, with tuples in place of lists: recipes are immutable."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedRecipe:
    """The files of a recipe: paths on this host by paths in the image."""

    files: Mapping[str, Path]

    def digest(self, recipe: RootRecipe) -> str:
        """Return a digest that changes whenever a program, a library or the recipe changes."""
        content_hash = hashlib.sha256(repr(recipe).encode())
        content_hash.update(RootTree(files=self.files).digest().encode())
        content_hash.update(stamp(_LINKER_CACHE).encode())
        return content_hash.hexdigest()[:16]

    def tree(self, recipe: RootRecipe) -> RootTree:
        """Return the root folder, with libraries."""
        tree_files = dict(self.files)
        for library in list_libraries(sorted(self.files.values())):
            tree_files.setdefault(library.lstrip("/"), Path(library))
        links = {inside.lstrip("/"): target for inside, target in recipe.links.items()}
        return RootTree(
            files=tree_files,
            contents={inside.lstrip("/"): (text.encode(), mode) for inside, (text, mode) in recipe.contents.items()},
            links={**_applet_links(self), **links},
            folders=tuple(folder.lstrip("/") for folder in recipe.directories),
        )


def resolve_recipe(recipe: RootRecipe, extra_files: Mapping[str, Path] | None = None) -> ResolvedRecipe:
    """Find the recipe's programs and files on this host; `extra_files` are further ones by their path inside.

    Raises `Permanent` with what is missing.
    """
    program_paths = {name: _find_program(name) for name in recipe.programs}
    missing = sorted(name for name, path in program_paths.items() if path is None)
    if missing:
        raise Permanent(
            f"the node image {recipe.name} needs programs that this machine has not: {', '.join(missing)}; "
            f"on Debian: apt-get install {recipe.packages}"
        )
    program_paths |= {name: _find_program(name) for name in recipe.optional_programs}
    paths = {f"usr/sbin/{name}": path for name, path in program_paths.items() if path is not None}
    for pattern in recipe.folders:
        for folder in Path("/").glob(pattern.lstrip("/")):
            paths |= {str(path).lstrip("/"): path for path in folder.iterdir() if path.is_file()}
    paths |= {name.lstrip("/"): Path(name) for name in recipe.files if Path(name).is_file()}
    return ResolvedRecipe(files={**paths, **(extra_files or {})})


def _find_program(name: str) -> Path | None:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SEARCH}")
    return Path(path).resolve() if path else None


def list_libraries(paths: Sequence[Path]) -> set[str]:
    """Return the libraries that `ldd` lists for these; static programs and plain files have none."""
    with_code = [str(path) for path in paths if os.access(path, os.X_OK) or path.suffix == ".so"]
    ldd = _find_program("ldd")
    if ldd is None:
        raise Permanent("`ldd` is missing, so that the libraries of the node image cannot be found")
    result = subprocess.run(  # noqa: S603 - paths that `resolve_recipe` chose, no shell
        [str(ldd), *with_code], capture_output=True, text=True, check=False, timeout=_LDD_SECONDS
    )
    return set(_LIBRARY.findall(result.stdout))


def _applet_links(parts: ResolvedRecipe) -> dict[str, str]:
    """Return links in /bin for every busybox applet, unless the image has a program of that name."""
    busybox = parts.files.get("usr/sbin/busybox")
    if busybox is None:
        return {}
    applet_names = subprocess.run(  # noqa: S603 - as above
        [str(busybox), "--list"], capture_output=True, text=True, check=True, timeout=_LDD_SECONDS
    ).stdout.split()
    program_names = {Path(inside).name for inside in parts.files}
    return {f"bin/{name}": "/usr/sbin/busybox" for name in applet_names if name not in program_names}
