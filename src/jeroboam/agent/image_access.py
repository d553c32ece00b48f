"""Which project may use which image that lies on this host.

An image that a registry gives to those with a login only is private: on the host it is for the projects that have shown
the registry a login that works. Any other project has to show its own first, also for an image that is here and
needs no pull. The journal keeps which repositories are private and who has shown a login; it is written before the
pull, so that a kill in between leaves no image that anybody may use. What a registry gives without a login is no
secret. Neighbours: `executor` and `images`, which get images through this module; `journal`.
"""

from collections.abc import Callable, Sequence

from jeroboam.agent.journal import Journal
from jeroboam.domain.errors import Permanent
from jeroboam.domain.host_images import LocalImage
from jeroboam.domain.images import parse_reference
from jeroboam.domain.registries import RegistryLogin
from jeroboam.runtimes.base import ImageRegistryUnreachable, Runtime, SupportsImages


class ImageAccess:
    """Brings images to the host for projects."""

    def __init__(self, *, runtime: Runtime, journal: Journal) -> None:
        self._runtime = runtime
        self._journal = journal

    async def provide(
        self,
        image: str,
        policy: str | None,
        *,
        project: str,
        login: RegistryLogin | None,
        report: Callable[[str], None] | None = None,
    ) -> bool:
        """Have the image on this host as `Runtime.pull` does. Return whether it was not there before.

        Raises `Permanent` if the project may not use it.
        """
        if not isinstance(self._runtime, SupportsImages):
            await self._runtime.pull(image, policy, login=login, report=report)
            return False
        local = await self._runtime.find_image(image)
        is_pulled = local is None or policy == "always"
        repository = _repository_of(image)
        if local is not None and repository not in _repositories_of(local):
            self._check_named_by_id(image, local, project)
        elif repository is not None:
            if is_pulled and login is not None and not self._journal.is_private(repository):
                try:
                    await self._learn_whether_private(self._runtime, image, repository)
                except ImageRegistryUnreachable:
                    if local is None:
                        raise
                    # As for any pull: what is here is used while the registry is away.
                    return False
            await self._check_login(self._runtime, image, repository, project=project, login=login)
        if is_pulled:
            await self._runtime.pull(image, policy, login=login, report=report)
            if repository is not None:
                # Another project may have pulled it with a login meanwhile.
                await self._check_login(self._runtime, image, repository, project=project, login=login)
        return local is None

    async def _check_login(
        self, runtime: SupportsImages, image: str, repository: str, *, project: str, login: RegistryLogin | None
    ) -> None:
        """Have the registry look at the login, if the repository is private and the project has not shown one yet."""
        if not self._may_use(repository, project):
            await runtime.check_image(image, login)
            self._journal.note_login(repository, project)

    async def _learn_whether_private(self, runtime: SupportsImages, image: str, repository: str) -> None:
        """Ask the registry for the image without a login, and note it if that is refused."""
        try:
            await runtime.check_image(image, None)
        except Permanent:
            self._journal.mark_private(repository)

    def _check_named_by_id(self, image: str, local: LocalImage, project: str) -> None:
        """Raise `Permanent` if the project may use the image under none of its names."""
        repositories = _repositories_of(local)
        if repositories and not any(self._may_use(repository, project) for repository in repositories):
            text = f"image {image} is private: name it by its repository, with a registry that has a login for it"
            raise Permanent(text)

    def _may_use(self, repository: str, project: str) -> bool:
        return not self._journal.is_private(repository) or self._journal.has_shown_login(repository, project)

    async def search(self, name: str, *, exact: bool, project: str) -> Sequence[str]:
        """Return the references on this host with that name in their repository, which the project may use.

        With `exact` the name is the repository's own, with or without its registry.
        """
        if not isinstance(self._runtime, SupportsImages):
            return ()
        references = {
            reference
            for image in await self._runtime.list_images()
            for reference in image.names
            if "@" not in reference and _is_match(reference, name, exact=exact)
        }
        return sorted(reference for reference in references if self._may_use(_repository_of(reference) or "", project))


def _repository_of(image: str) -> str | None:
    """Return the repository with its registry: one name for all that the image may be called by."""
    reference = parse_reference(image)
    if reference is None:
        return None
    is_official = reference.is_of_docker and "/" not in reference.repository
    return f"{reference.registry}/library/{reference.repository}" if is_official else reference.name


def _repositories_of(local: LocalImage) -> frozenset[str]:
    return frozenset(repository for name in local.names if (repository := _repository_of(name)) is not None)


def _is_match(reference: str, name: str, *, exact: bool) -> bool:
    repository, wanted = _repository_of(reference) or "", name.lower()
    if exact:
        return repository == _repository_of(wanted) or repository.endswith(f"/{wanted}")
    return wanted in repository
