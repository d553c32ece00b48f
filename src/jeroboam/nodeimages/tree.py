"""The content of a root folder before it is written, and its tar.

The same tree gives the same bytes, so its digest identifies the content. Neighbours: `host`, which fills trees with
programs of this machine; `engine`, which imports them as images.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_WHEN = 0
_STICKY = frozenset({"tmp", "var/tmp"})


@dataclass(frozen=True, kw_only=True, slots=True)
class RootTree:
    """The content of a root folder. Paths inside have no leading slash."""

    files: Mapping[str, Path] = field(default_factory=dict)
    """Files of this machine, by their path inside."""
    contents: Mapping[str, tuple[bytes, int]] = field(default_factory=dict)
    """Content and mode of files that do not exist on this machine."""
    links: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()

    def under(self, folder: str) -> "RootTree":
        """Return the same tree inside that folder."""
        return RootTree(
            files={f"{folder}/{inside}": path for inside, path in self.files.items()},
            contents={f"{folder}/{inside}": content for inside, content in self.contents.items()},
            links={f"{folder}/{inside}": target for inside, target in self.links.items()},
            folders=tuple(f"{folder}/{inside}" for inside in self.folders),
        )

    def __or__(self, other: "RootTree") -> "RootTree":
        """Return both trees merged; `other` overrides."""
        return RootTree(
            files={**self.files, **other.files},
            contents={**self.contents, **other.contents},
            links={**self.links, **other.links},
            folders=(*self.folders, *other.folders),
        )

    def digest(self) -> str:
        """Return a digest of the tree's paths and of the modification times of its files, which are not read."""
        content_hash = hashlib.sha256(repr((sorted(self.contents.items()), sorted(self.links.items()))).encode())
        content_hash.update(repr(sorted(self.folders)).encode())
        for inside, path in sorted(self.files.items()):
            content_hash.update(f"{inside}={stamp(path)}\n".encode())
        return content_hash.hexdigest()


def stamp(path: Path) -> str:
    """Return a text that changes whenever the file changes."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return "none"
    return f"{path}:{status.st_size}:{status.st_mtime_ns}"


def write_tar(tree: RootTree, into: IO[bytes]) -> None:
    """Write the root folder as a tar. A file with several paths is written once, with hard links to it."""
    first_paths: dict[tuple[int, int], str] = {}
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as tar:
        inside_all = [*tree.folders, *tree.files, *tree.contents, *tree.links]
        for folder in _folders(inside_all, tree.folders):
            tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o1777 if folder in _STICKY else 0o755))
        for inside, path in sorted(tree.files.items()):
            info = _entry(inside, tarfile.REGTYPE, 0o755 if os.access(path, os.X_OK) else 0o644)
            with path.open("rb") as source:
                status = os.fstat(source.fileno())
                first = first_paths.setdefault((status.st_dev, status.st_ino), inside)
                if first != inside:
                    info.type, info.linkname = tarfile.LNKTYPE, first
                    tar.addfile(info)
                else:
                    info.size = status.st_size
                    tar.addfile(info, source)
        for inside, (content, mode) in sorted(tree.contents.items()):
            info = _entry(inside, tarfile.REGTYPE, mode)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for inside, target in sorted(tree.links.items()):
            info = _entry(inside, tarfile.SYMTYPE, 0o777)
            info.linkname = target
            tar.addfile(info)


def _folders(inside: Iterable[str], also: Iterable[str]) -> list[str]:
    parents = {str(parent) for name in inside for parent in Path(name).parents}
    return sorted((parents | set(also)) - {"."})


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = mode
    info.mtime = _WHEN
    return info


def blocks(source: IO[bytes], size: int = 1 << 20) -> Iterator[bytes]:
    """Yield the file from its start in blocks."""
    source.seek(0)
    while block := source.read(size):
        yield block
