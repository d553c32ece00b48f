"""Removes what builds of node images left behind: images on an Engine, and the cache of programs.

Only what is the service's own goes: an image by its name and its label, a file by its name. What stays is returned with
the reason. Neighbours: `engine`; `programs`, whose cache it is.
"""

import fcntl
import json
import re
import shutil
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.domain.nodes import IMAGE_LABEL, IMAGE_REPOSITORY
from jeroboam.kit.words import format_count
from jeroboam.nodeimages.busybox import BUSYBOX_LABEL
from jeroboam.nodeimages.busybox import NAME as BUSYBOX
from jeroboam.nodeimages.engine import find_image, labels_of

# A program by its version and key, what is made of it at present, its lock; kubectl; locks of images; times of builds;
# what the conformance suite is made of.
_CACHE_NAMES = re.compile(
    r"[a-z0-9_-]+-v[0-9][^/]*-[0-9a-f]{16}(?:\..*\.part)?(?:\.lock)?"
    r"|image-v[0-9.]+\.lock|build-times\.json.*|conformance-v[0-9.]+"
)


async def remove_images(docker: DockerClient) -> AsyncIterator[str]:
    """Remove the node images and the small image that was made here. Yield a line for each, also for what stays."""
    with translate_errors("removing node images"):
        for image in await docker.images.list(filters={"label": [IMAGE_LABEL]}):
            names = [name for name in image.get("RepoTags") or () if name != "<none>:<none>"]
            own_names = [name for name in names if name.startswith(IMAGE_REPOSITORY)]
            # An image that was made from one of ours has its labels, and a name of its maker's.
            if own_names or not names:
                yield await _remove_image(docker, image, own_names or [image["Id"]])
        small_image = await find_image(docker, BUSYBOX)
        if small_image is not None and BUSYBOX_LABEL in labels_of(small_image):
            yield await _remove_image(docker, small_image, [BUSYBOX])


async def _remove_image(docker: DockerClient, image: Mapping[str, Any], names: Collection[str]) -> str:
    shown = ", ".join(names)
    # The Engine itself would take the names from an image in use, all but the last.
    users = await docker.containers.list(all=True, filters=json.dumps({"ancestor": [image["Id"]]}))
    if users:
        return f"kept image {shown}: it has {format_count(len(users), 'container')}"
    for name in names:
        await docker.images.delete(name)
    return f"removed image {shown} ({image['Size'] / 1e6:.0f} MB)"


def remove_cache(folder: Path) -> Iterator[str]:
    """Remove the cache of programs. Yield a line for what has gone and for what stays.

    Raises `ValueError` if a build uses the cache.
    """
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    own_entries = [path for path in entries if _CACHE_NAMES.fullmatch(path.name)]
    _check_locks(path for path in own_entries if path.name.endswith(".lock"))
    size = sum(_measure(path) for path in own_entries)
    for path in own_entries:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if own_entries:
        yield f"removed programs in {folder} ({size / 1e6:.0f} MB)"
    if len(own_entries) < len(entries):
        others = [path.name for path in entries if path not in own_entries]
        yield f"kept {folder}: {', '.join(others)} is not the service's"
    elif folder.is_dir():
        folder.rmdir()
        yield f"removed {folder}"


def _check_locks(locks: Iterator[Path]) -> None:
    for path in locks:
        with path.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(f"a build uses {path.parent}: end it first") from error


def _measure(path: Path) -> int:
    """Return the size of a file or a folder in bytes, with hard links once."""
    files = path.rglob("*") if path.is_dir() else [path]
    stats = [file.lstat() for file in files]
    return sum({(status.st_dev, status.st_ino): status.st_size for status in stats}.values())
