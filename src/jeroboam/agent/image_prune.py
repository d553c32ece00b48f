"""Removes images that containers of this service have brought to the host and that none has used for long.

Only what the journal says was pulled here is removed, name by name, and never by force: an image that a container uses
stays. Images that administrators pull through the API stay too. Neighbour: `executor`, which notes pulls and uses.
"""

import datetime as dt

import structlog

from jeroboam.agent.journal import Journal
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.clock import Clock
from jeroboam.runtimes.base import Runtime, SupportsImages

log = structlog.get_logger(__name__)

LOOK_SECONDS = 3600.0


class ImagePruner:
    """Looks once an hour. `days` is how long an image stays unused; 0 removes none."""

    def __init__(self, *, runtime: Runtime, journal: Journal, clock: Clock, days: int) -> None:
        self._runtime = runtime
        self._journal = journal
        self._clock = clock
        self._days = days

    async def run(self) -> None:
        """Look until cancelled. Ends at once where nothing is to be removed."""
        while self._days and isinstance(self._runtime, SupportsImages):
            await self._clock.sleep(LOOK_SECONDS)
            await self._look(self._runtime)

    async def _look(self, runtime: SupportsImages) -> None:
        oldest = self._clock.now() - dt.timedelta(days=self._days)
        for image in self._journal.list_images_unused_since(oldest):
            try:
                await runtime.remove_image(image)
            except Permanent:
                # A container that was created long ago uses it.
                self._journal.note_image(image, self._clock.now(), is_pulled=False)
            except Temporary as error:
                log.info("agent.images-not-pruned", error=error.reason)
                return
            else:
                log.info("agent.image-pruned", image=image)
                self._journal.forget_image(image)
