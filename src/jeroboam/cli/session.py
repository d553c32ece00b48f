"""Logs a command in: as `OS_*` variables say, else as the member of this machine's own installation.

Neighbours: the commands of users; `jeroboam.clients`.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from jeroboam import settings as options
from jeroboam.cli.terminal import fail, report_errors, show_failure
from jeroboam.clients import container, container_infra
from jeroboam.clients.container import ContainerClient
from jeroboam.clients.container_infra import ContainerInfraClient
from jeroboam.clients.openstack import ServiceDown, find_clouds
from jeroboam.domain.errors import DriverError

C = TypeVar("C", ContainerInfraClient, ContainerClient)
T = TypeVar("T")

_INTERRUPTED = 130

# The libraries also log what they raise. Without a handler Python would print that on stderr.
for _name in ("keystoneauth", "openstack"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


def ask_infra(work: Callable[[ContainerInfraClient], Awaitable[T]], *, state: str | None, config: Path | None) -> T:
    """Log in to the container-infra API and return the result of `work`. Ends the command if that fails."""
    return _ask(lambda clouds: container_infra.log_in(clouds=clouds), work, state=state, config=config)


def ask_containers(work: Callable[[ContainerClient], Awaitable[T]], *, state: str | None, config: Path | None) -> T:
    """Log in to the container API and return the result of `work`. Ends the command if that fails."""
    return _ask(lambda clouds: container.log_in(clouds=clouds), work, state=state, config=config)


async def do_for_all(work: Callable[[str], Awaitable[None]], idents: Sequence[str]) -> None:
    """Do the work as `try_all` does. The command ends with status 1 if it fails for one object."""
    if not await try_all(work, idents):
        sys.exit(1)


async def try_all(work: Callable[[str], Awaitable[None]], idents: Sequence[str]) -> bool:
    """Do the work for one object after the other, as `docker` and `kubectl` do. An object that fails keeps none.

    Each failure is one line on stderr. Return whether there is none.
    """
    is_done = True
    for ident in dict.fromkeys(idents):
        try:
            await work(ident)
        except ServiceDown:
            # The others would fail alike.
            raise
        except (DriverError, ValueError) as error:
            show_failure(error)
            is_done = False
    return is_done


def _ask(
    log_in: Callable[[Path | None], Awaitable[C]],
    work: Callable[[C], Awaitable[T]],
    *,
    state: str | None,
    config: Path | None,
) -> T:
    clients: list[C] = []

    async def run() -> T:
        clients.append(await log_in(find_clouds(options.load(config, state=state).state)))
        return await work(clients[0])

    with report_errors(state=state, config=config):
        try:
            return asyncio.run(run())
        except KeyboardInterrupt:
            goes_on = "; what was asked for goes on" if any(client.has_sent_change() for client in clients) else ""
            fail(f"interrupted{goes_on}", status=_INTERRUPTED)
