"""Shows what a cluster does until it has done what was asked for: a line for each event, with its time.

The lines are the cluster's events, which the API shows. On a terminal the last line is what is waited for now. An API
without events, such as Magnum's, has only the status and its reason. Neighbours: `create`, `changes`.
"""

import datetime as dt
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

from rich.text import Text

from jeroboam.cli.terminal import console, show_line
from jeroboam.clients.container_infra import ContainerInfraClient
from jeroboam.domain.errors import Permanent
from jeroboam.kit.clock import Clock, SystemClock
from jeroboam.kit.controls import escape_controls

LOOK_SECONDS = 0.5
MOST_PAGES = 100
"""The most pages of events that are read before the cluster is looked at again."""
EVENTS_SECONDS = 30.0
"""How long that may take."""
_IN_PROGRESS = "_IN_PROGRESS"
_FAILED = "_FAILED"


class ClusterProgress:
    """Follows one cluster. As a context it shows what is waited for; nothing is shown on what is no terminal."""

    def __init__(self, infra: ContainerInfraClient, *, clock: Clock | None = None) -> None:
        self._infra = infra
        self._clock = clock or SystemClock()
        self._status = console.status("")
        self._begin = self._clock.monotonic()
        self._first_moment: dt.datetime | None = None
        """Of the first event that is shown: the service's clock may differ from ours."""
        self._last_event: str | None = None
        self._known_events: set[str] = set()
        self._last_text = ""

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    async def skip_past(self, uuid: str) -> None:
        """Leave out the events until now: they belong to what was asked for before."""
        async for _ in self._list_new_events(uuid):
            pass

    async def wait(self, uuid: str) -> dict[str, Any] | None:
        """Wait until the cluster is in progress no more, and return it; None if it is gone.

        Raises `Permanent` with the reason if the change has failed.
        """
        while True:
            cluster = await self._infra.find_cluster(uuid)
            await self._show_events(uuid)
            if cluster is None:
                if self._last_event is None:
                    self.show("gone")
                return None
            status, reason = cluster["status"], cluster.get("status_reason") or ""
            if not status.endswith(_IN_PROGRESS):
                break
            self._status.update(
                Text(f"{self._clock.monotonic() - self._begin:.0f} s  {escape_controls(reason or status)}")
            )
            if self._last_event is None:
                self.show(reason)
            await self._clock.sleep(LOOK_SECONDS)
        if status.endswith(_FAILED):
            raise Permanent(f"cluster {cluster['name']}: {status}: {reason}")
        return cluster

    def show(self, text: str, *, seconds: float | None = None) -> None:
        """Show a line, unless it was the last one. Without `seconds` the time is now."""
        if not text or text == self._last_text:
            return
        self._last_text = text
        since = self._clock.monotonic() - self._begin if seconds is None else seconds
        show_line(Text.assemble((f"{since:6.1f} s  ", "dim"), text))

    async def _show_events(self, uuid: str) -> None:
        async for event in self._list_new_events(uuid):
            moment = dt.datetime.fromisoformat(event["created_at"])
            moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
            self._first_moment = self._first_moment or moment
            self.show(_describe(event), seconds=(moment - self._first_moment).total_seconds())

    async def _list_new_events(self, uuid: str) -> AsyncIterator[dict[str, Any]]:
        """Return the events after the last one. An API that repeats itself, or that never ends, is left for now."""
        end = self._clock.monotonic() + EVENTS_SECONDS
        for _ in range(MOST_PAGES):
            if self._clock.monotonic() > end:
                return
            page = await self._infra.list_events(uuid, after=self._last_event)
            events = [event for event in page if event["uuid"] not in self._known_events]
            if not events:
                return
            for event in events:
                self._known_events.add(event["uuid"])
                yield event
            self._last_event = events[-1]["uuid"]


def _describe(event: Mapping[str, Any]) -> str:
    status, message = event["status"] or "", event["message"] or ""
    if event["event_type"] == "cluster.health":
        # That it is well is what everybody expects.
        return "" if status == "HEALTHY" else f"health {status}" + (f": {message}" if message else "")
    if status.endswith(_IN_PROGRESS):
        return message
    return f"{status}: {message}" if message else status
