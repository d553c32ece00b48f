"""The contract of storage: where a volume's data lies, for the containers of a host.

A volume is identified by its uuid. All methods raise `Temporary` or `Permanent` (jeroboam.domain.errors) with a reason
that users may read. Neighbours: `local` and `fake` implement it, the agent calls it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self


@dataclass(frozen=True, kw_only=True, slots=True)
class StorageSettings:
    """What a storage driver is made from."""

    folder: Path
    """The folder of this installation for volumes. The driver makes it when it is needed."""


class Storage(Protocol):
    """Provides volumes on this host."""

    @classmethod
    def from_settings(cls, settings: StorageSettings) -> Self:
        """Storage with these settings. Nothing is touched yet."""
        ...

    async def provide(self, uuid: str, *, size: int) -> Path:
        """Return the folder with the volume's data, for a runtime to mount into containers.

        A volume that is not there is made empty, with `size` GiB; one that is there is never made anew, whatever it
        holds. It may be called often.
        """
        ...

    def is_ready(self, uuid: str) -> bool:
        """Whether containers can use the volume at once: `provide` was called since the machine was started."""
        ...

    async def remove(self, uuid: str) -> None:
        """Remove the volume with its data. One that is gone is no error. Raises `Temporary` while it is in use."""
        ...

    async def list_owned(self) -> Sequence[str]:
        """Return the uuids of the volumes on this host."""
        ...

    async def release(self) -> None:
        """Let go of all volumes, so that their data can be moved or removed. Raises `Temporary` while one is in use."""
        ...
