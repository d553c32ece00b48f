"""The source *this host*: programs that are installed here, with the libraries they load, as a tar.

Neighbours: the recipes in the folders beside this file. Where no registry can be reached, the engine that runs
here is the one engine that is sure to work here.
"""

import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from jeroboam.domain.errors import Permanent

SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec/docker:/usr/lib/docker/cli-plugins"
# Any change of the host's libraries passes through the linker's cache, so that it need not be asked for each.
_LINKER_CACHE = Path("/etc/ld.so.cache")
_LIBRARY = re.compile(r"(/\S+) \(0x")
_LDD_SECONDS = 30
_WHEN = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What goes into an image. Programs keep their names and come into /usr/sbin; files keep their paths."""

    name: str
    repository: str
    distro: str
    coes: tuple[str, ...]
    data: str
    programs: tuple[str, ...]
    optional_programs: tuple[str, ...]
    folders: tuple[str, ...]
    """Folders of plug-ins; patterns, of which at least none has to match."""
    files: tuple[str, ...]
    """Copied where this host has them."""
    directories: tuple[str, ...]
    links: dict[str, str]
    packages: str
    """What to install where a program is missing."""
    contents: dict[str, tuple[str, int]]
    """Text and mode by path, of files that come with the recipe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What a recipe found on this host: paths here by paths in the image."""

    files: dict[str, Path]

    def digest(self, recipe: Recipe) -> str:
        """Names this content: changes whenever a program, a library or the recipe does."""
        seen = hashlib.sha256(repr(recipe).encode())
        for inside, path in sorted(self.files.items()):
            seen.update(f"{inside}={_stamp(path)}\n".encode())
        seen.update(_stamp(_LINKER_CACHE).encode())
        return seen.hexdigest()[:16]


def find(recipe: Recipe) -> Parts:
    """Look for the recipe's programs and files here. Raises `Permanent` naming what is missing."""
    wanted = {name: _program(name) for name in recipe.programs}
    missing = sorted(name for name, path in wanted.items() if path is None)
    if missing:
        raise Permanent(
            f"the node image {recipe.name} needs programs that this machine has not: {', '.join(missing)}; "
            f"on Debian: apt-get install {recipe.packages}"
        )
    wanted |= {name: _program(name) for name in recipe.optional_programs}
    files = {f"usr/sbin/{name}": path for name, path in wanted.items() if path is not None}
    for pattern in recipe.folders:
        for folder in Path("/").glob(pattern.lstrip("/")):
            files |= {str(path).lstrip("/"): path for path in folder.iterdir() if path.is_file()}
    files |= {name.lstrip("/"): Path(name) for name in recipe.files if Path(name).is_file()}
    return Parts(files=files)


def write_tar(recipe: Recipe, parts: Parts, into: IO[bytes]) -> None:
    """Write the image's root folder. The same parts give the same octets."""
    files = dict(parts.files)
    for library in _libraries(sorted(parts.files.values())):
        files.setdefault(library.lstrip("/"), Path(library))
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in _folders([*recipe.directories, *files, *recipe.contents, *recipe.links], recipe.directories):
            tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755))
        for inside, path in sorted(files.items()):
            info = _entry(inside, tarfile.REGTYPE, 0o755 if os.access(path, os.X_OK) else 0o644)
            with path.open("rb") as source:
                info.size = os.fstat(source.fileno()).st_size
                tar.addfile(info, source)
        for inside, (text, mode) in sorted(recipe.contents.items()):
            info = _entry(inside.lstrip("/"), tarfile.REGTYPE, mode)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
        for inside, target in sorted({**_applets(parts), **recipe.links}.items()):
            info = _entry(inside.lstrip("/"), tarfile.SYMTYPE, 0o777)
            info.linkname = target
            tar.addfile(info)


def _program(name: str) -> Path | None:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SEARCH}")
    return Path(found).resolve() if found else None


def _stamp(path: Path) -> str:
    try:
        seen = path.stat()
    except FileNotFoundError:
        return "none"
    return f"{path}:{seen.st_size}:{seen.st_mtime_ns}"


def _libraries(paths: Sequence[Path]) -> set[str]:
    """What `ldd` names for these; static programs and plain files have none."""
    with_code = [str(path) for path in paths if os.access(path, os.X_OK) or path.suffix == ".so"]
    ldd = _program("ldd")
    if ldd is None:
        raise Permanent("`ldd` is missing, so that the libraries of the node image cannot be found")
    done = subprocess.run(  # noqa: S603 - paths that `find` chose, no shell
        [str(ldd), *with_code], capture_output=True, text=True, check=False, timeout=_LDD_SECONDS
    )
    return set(_LIBRARY.findall(done.stdout))


def _applets(parts: Parts) -> dict[str, str]:
    """Links in /bin for every busybox applet that is not a program of its own."""
    busybox = parts.files.get("usr/sbin/busybox")
    if busybox is None:
        return {}
    listed = subprocess.run(  # noqa: S603 - as above
        [str(busybox), "--list"], capture_output=True, text=True, check=True, timeout=_LDD_SECONDS
    ).stdout.split()
    own = {Path(inside).name for inside in parts.files}
    return {f"bin/{name}": "/usr/sbin/busybox" for name in listed if name not in own}


def _folders(inside: Iterable[str], also: Iterable[str]) -> list[str]:
    parents = {str(parent) for name in inside for parent in Path(name.lstrip("/")).parents}
    return sorted((parents | {name.lstrip("/") for name in also}) - {"."})


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = mode
    info.mtime = _WHEN
    return info


def blocks(source: IO[bytes], size: int = 1 << 20) -> Iterator[bytes]:
    """The file from its start, in blocks."""
    source.seek(0)
    while block := source.read(size):
        yield block
