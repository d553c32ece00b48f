"""Registries and images of hosts in their tables."""

import datetime as dt
from dataclasses import replace

from jeroboam.domain.host_images import HostImage, ImageStatus
from jeroboam.domain.registries import Registry
from jeroboam.store import tables
from jeroboam.store.rows import Page, RowKind, Rows
from jeroboam.store.selectors import HostImageSelector, RegistrySelector

REGISTRY = RowKind(tables.registry, Registry, RegistrySelector)
HOST_IMAGE = RowKind(tables.image, HostImage, HostImageSelector)
_BATCH = 200


class RegistryRows(Rows[Registry, RegistrySelector]):
    """Registries. Their user names are sealed, so the database cannot filter by them."""

    async def list_page(self, page: Page, selector: RegistrySelector, username: str | None = None) -> list[Registry]:
        """Return a page of the selected registries; with `username`, of those with that user name."""
        if username is None:
            return await self.select(selector, page=page)
        matches: list[Registry] = []
        limit = page.limit or _BATCH
        batch = replace(page, limit=max(limit, _BATCH))
        while True:
            registries = await self.select(selector, page=batch)
            matches += [registry for registry in registries if registry.login.registry_username == username]
            if len(matches) >= limit or len(registries) < (batch.limit or 0):
                return matches[:limit]
            batch = replace(batch, marker=registries[-1].uuid)


class HostImageRows(Rows[HostImage, HostImageSelector]):
    """Images on hosts."""

    async def give_up(self, now: dt.datetime) -> None:
        """End the pulls whose deadline has passed."""
        table = tables.image
        for image in await self.where(table.c.status == ImageStatus.PULLING, table.c.deadline_at < now):
            reason = f"Timed out: {image.status_reason or f'host {image.host} did not answer'}"
            failed_image = replace(
                image, status=ImageStatus.ERROR, status_reason=reason, deadline_at=None, updated_at=now
            )
            await self.update(failed_image)
