"""The `fake` storage, for tests: volumes in memory, which can be told to fail."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self, final

from jeroboam.domain.errors import DriverError, Permanent, Temporary
from jeroboam.kit.ids import is_uuid
from jeroboam.storage.base import Storage, StorageSettings


@final
class FakeStorage(Storage):
    """Implements `Storage` in memory. `failure` is raised by each call while it is set."""

    def __init__(self, folder: Path = Path("/volumes")) -> None:
        self._folder = folder
        self.failure: DriverError | None = None
        self.sizes: dict[str, int] = {}
        """The size of each volume, in GiB."""
        self.in_use: set[str] = set()
        """Volumes that cannot be removed now."""
        self._ready: set[str] = set()

    @classmethod
    def from_settings(cls, settings: StorageSettings) -> Self:
        return cls(settings.folder)

    async def provide(self, uuid: str, *, size: int) -> Path:
        self._check(uuid)
        self.sizes.setdefault(uuid, size)
        self._ready.add(uuid)
        return self._folder / uuid

    def is_ready(self, uuid: str) -> bool:
        return uuid in self._ready

    def restart_machine(self) -> None:
        """Lose what a machine loses that is started again."""
        self._ready.clear()

    async def remove(self, uuid: str) -> None:
        self._check(uuid)
        if uuid in self.in_use:
            raise Temporary(f"volume {uuid} is in use")
        self.sizes.pop(uuid, None)
        self._ready.discard(uuid)

    async def list_owned(self) -> Sequence[str]:
        return sorted(self.sizes)

    async def release(self) -> None:
        if self.in_use:
            raise Temporary(f"volume {min(self.in_use)} is in use")
        self._ready.clear()

    def _check(self, uuid: str) -> None:
        if self.failure is not None:
            raise self.failure
        if not is_uuid(uuid):
            raise Permanent(f"{uuid[:80]!r} is no uuid of a volume")
