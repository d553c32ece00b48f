"""Images of the fake runtime: those of registries, some behind a login, and those on its host."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from jeroboam.domain.errors import Permanent
from jeroboam.domain.host_images import LocalImage
from jeroboam.domain.registries import RegistryLogin
from jeroboam.runtimes.base import ImageRegistryUnreachable, SupportsImages


@dataclass(slots=True)
class FakeImages:
    """What can be pulled, and what was."""

    published: set[str] | None = None
    """Images that registries have; None: any."""
    logins: dict[str, tuple[str, str]] = field(default_factory=dict)
    """User and password of registries that want a login, by the begin of their images' names."""
    is_away: bool = False
    """Whether no registry answers."""
    local: dict[str, LocalImage] = field(default_factory=dict)
    """Images on the host by name."""

    def pull(self, image: str, policy: str | None, login: RegistryLogin | None) -> None:
        """Pull as `Runtime.pull` does."""
        is_local = self.find(image) is not None
        if is_local and policy != "always":
            return
        if policy == "never":
            if self.published is not None and image not in self.published:
                raise Permanent(f"image {image}: is not on this host")
            return
        try:
            self.check(image, login)
        except ImageRegistryUnreachable:
            if not is_local:
                raise
            return
        image_id = f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
        self.local[image] = LocalImage(image_id=image_id, names=(image,), size=1 << 20)

    def find(self, image: str) -> LocalImage | None:
        """Return the image of that name or id on the host."""
        return next((local for name, local in self.local.items() if image in {name, local.image_id}), None)

    def check(self, image: str, login: RegistryLogin | None) -> None:
        """Ask the registry as `SupportsImages.check_image` does."""
        if self.is_away:
            raise ImageRegistryUnreachable(f"pulling image {image}: its registry does not answer")
        if self.published is not None and image not in self.published:
            raise Permanent(f"image {image}: not found")
        shown = None if login is None else (login.registry_username, login.registry_password)
        for begin, wanted in self.logins.items():
            if image.startswith(begin) and shown != wanted:
                raise Permanent(f"image {image}: its registry keeps it private")


class FakeImageStore(SupportsImages):
    """The part of the fake runtime that is about images."""

    def __init__(self) -> None:
        self.registry = FakeImages()
        """The images of all registries, and those on this host."""
        self.in_use: set[str] = set()
        """Images that cannot be removed."""

    async def find_image(self, image: str) -> LocalImage | None:
        return self.registry.find(image)

    async def list_images(self) -> Sequence[LocalImage]:
        return list(self.registry.local.values())

    async def check_image(self, image: str, login: RegistryLogin | None) -> None:
        self.registry.check(image, login)

    async def remove_image(self, image: str) -> None:
        if image in self.in_use:
            raise Permanent(f"removing image {image}: a container uses it")
        self.registry.local.pop(image, None)
