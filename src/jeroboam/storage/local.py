"""The `local` storage: volumes in files of this machine.

A volume is a folder of its own with a file `image`, in which is an ext4 file system of its size, mounted beside it: so
it cannot grow beyond that size. Where this process may not mount for the whole machine, as under a hardened unit of
systemd, a new volume is a plain folder without a limit. Containers get a folder inside of the file system, so that one
that is not mounted is missing and no container writes beside it. Neighbour: `jeroboam.clients.filesystems`.
"""

import asyncio
import contextlib
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Self, final

import structlog

from jeroboam.clients import filesystems
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.ids import is_uuid
from jeroboam.storage.base import Storage, StorageSettings

_IMAGE, _MOUNTED, _PLAIN, _DATA = "image", "mounted", "plain", "data"
# Any user of a container may write, as into an emptyDir of Kubernetes.
_OPEN = 0o777

log = structlog.get_logger(__name__)


@final
class LocalStorage(Storage):
    """Implements `Storage` with files of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @classmethod
    def from_settings(cls, settings: StorageSettings) -> Self:
        return cls(settings.folder)

    async def provide(self, uuid: str, *, size: int) -> Path:
        folder = self._find_folder(uuid)
        async with self._locks[uuid]:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (folder / _IMAGE).exists() and not (folder / _PLAIN).exists():
                await self._make(folder, size)
            if (folder / _PLAIN).exists():
                return folder / _PLAIN
            await filesystems.mount_image(folder / _IMAGE, folder / _MOUNTED)
            return _open_folder(folder / _MOUNTED / _DATA)

    def is_ready(self, uuid: str) -> bool:
        folder = self._find_folder(uuid)
        return (folder / _PLAIN).exists() or (folder / _MOUNTED / _DATA).exists()

    async def remove(self, uuid: str) -> None:
        folder = self._find_folder(uuid)
        async with self._locks[uuid]:
            if folder.exists():
                await filesystems.unmount(folder / _MOUNTED)
                try:
                    await asyncio.to_thread(shutil.rmtree, folder)
                except OSError as error:
                    raise Temporary(f"volume {uuid} cannot be removed: {error.strerror}") from error
        self._locks.pop(uuid, None)

    async def list_owned(self) -> Sequence[str]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(path.name for path in self._folder.iterdir() if is_uuid(path.name) and path.is_dir())
        return ()

    async def release(self) -> None:
        for uuid in await self.list_owned():
            await filesystems.unmount(self._folder / uuid / _MOUNTED)

    def _find_folder(self, uuid: str) -> Path:
        if not is_uuid(uuid):
            raise Permanent(f"{uuid[:80]!r} is no uuid of a volume")
        return self._folder / uuid

    async def _make(self, folder: Path, size: int) -> None:
        """Make the volume. One without an image or a plain folder has held nothing yet."""
        if filesystems.may_mount():
            await filesystems.create_image(folder / _IMAGE, size=size)
            return
        log.warning("a volume has no limit: this process may not mount file systems", volume=folder.name)
        _open_folder(folder / _PLAIN)


def _open_folder(folder: Path) -> Path:
    """Make a folder that everybody may write to, unless it is there: its mode is its users' own matter then."""
    if not folder.exists():
        unfinished = folder.with_suffix(".part")
        unfinished.mkdir(exist_ok=True)
        unfinished.chmod(_OPEN)
        unfinished.rename(folder)
    return folder
