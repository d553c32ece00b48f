"""Pulls the images of containers, and gives up a registry that does not answer. Neighbours: the two executors."""

from jeroboam.agent.image_access import ImageAccess
from jeroboam.agent.journal import Journal
from jeroboam.domain.containers import ContainerSpec
from jeroboam.domain.errors import Permanent
from jeroboam.domain.registries import RegistryLogin
from jeroboam.kit.clock import Clock
from jeroboam.runtimes.base import ImageRegistryUnreachable

PULL_SECONDS = 20.0
"""The longest time without an answer of the registry. An attempt that has begun by then is not interrupted."""


class ImagePulls:
    """Pulls images for ops, which are tried again: each has its own time to find its registry."""

    def __init__(self, *, access: ImageAccess, journal: Journal, clock: Clock) -> None:
        self._access = access
        self._journal = journal
        self._clock = clock
        self._since: dict[str, tuple[int, float]] = {}

    async def pull(
        self, uuid: str, op_seq: int, spec: ContainerSpec, *, project: str, login: RegistryLogin | None
    ) -> None:
        """Pull the image. Raises `Permanent` after `PULL_SECONDS` without a registry, as for a misspelt name."""
        seq, since = self._since.get(uuid, (-1, 0.0))
        if seq != op_seq:
            since = self._clock.monotonic()
            self._since[uuid] = (op_seq, since)
        try:
            is_new = await self._access.provide(spec.full_image, spec.image_pull_policy, project=project, login=login)
        except ImageRegistryUnreachable as error:
            if self._clock.monotonic() - since >= PULL_SECONDS:
                raise Permanent(error.reason) from error
            raise
        self._journal.note_image(spec.full_image, self._clock.now(), is_pulled=is_new)

    def forget(self, uuid: str) -> None:
        """Begin the time anew: the op has ended, or its container is not assigned any more."""
        self._since.pop(uuid, None)
