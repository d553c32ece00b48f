"""Images of one Docker Engine, for `runtime`: pulled by the rules of the operator, looked at, listed, removed."""

from collections.abc import Callable, Sequence

from jeroboam.clients.addresses import AddressRules
from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.clients.docker_images import (
    RegistryUnreachable,
    check_access,
    check_image,
    check_pull,
    has_image,
    list_images,
    pull_image,
    read_image,
    remove_image,
)
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.host_images import LocalImage
from jeroboam.domain.registries import RegistryLogin
from jeroboam.runtimes.base import ImageRegistryUnreachable


class EngineImages:
    """The methods of the contract that are about images. `engine` returns the client to use."""

    def __init__(self, engine: Callable[[], DockerClient], rules: AddressRules) -> None:
        self._engine = engine
        self._rules = rules

    async def pull(
        self, image: str, policy: str | None, *, login: RegistryLogin | None, report: Callable[[str], None] | None
    ) -> None:
        check_image(image)
        if policy != "always" and await has_image(self._engine(), image):
            return
        if policy == "never":
            raise Permanent(f"image {image} is not on this host, and the pull policy is never")
        try:
            await check_pull(image, self._rules)
            await pull_image(self._engine(), image, login=login, report=report)
        except Temporary as error:
            if policy == "always" and await has_image(self._engine(), image):
                return
            raise _translate(error) from error

    async def find_image(self, image: str) -> LocalImage | None:
        check_image(image)
        return await read_image(self._engine(), image)

    async def list_images(self) -> Sequence[LocalImage]:
        with translate_errors("listing images"):
            return await list_images(self._engine())

    async def check_image(self, image: str, login: RegistryLogin | None) -> None:
        try:
            await check_pull(image, self._rules)
            await check_access(self._engine(), image, login=login)
        except Temporary as error:
            raise _translate(error) from error

    async def remove_image(self, image: str) -> None:
        check_image(image)
        await remove_image(self._engine(), image)


def _translate(error: Temporary) -> Temporary:
    return ImageRegistryUnreachable(error.reason) if isinstance(error, RegistryUnreachable) else error
