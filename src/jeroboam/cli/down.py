"""The command `down`: takes away what an installation made, and what stays of it otherwise.

Neighbours: `jeroboam.bootstrap.upkeep` and `images` do the work; `clusters.changes`, which knows contexts.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jeroboam import settings as options
from jeroboam.bootstrap.state import StateFolder, StateInUse
from jeroboam.cli.clusters.changes import remove_contexts
from jeroboam.cli.log import STANDARD_ERROR
from jeroboam.cli.own_command import format_command
from jeroboam.cli.terminal import Config, State, fail, report_errors, show_line
from jeroboam.kit.words import format_count

_INTERRUPTED = 130

if TYPE_CHECKING:
    from jeroboam.bootstrap.upkeep import Removal


def remove_installation(
    state: State = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Also the images that nodes boot from.")] = False,
    cache: Annotated[bool, typer.Option("--cache", help="Also the programs that these were made of.")] = False,
    config: Config = None,
) -> None:
    """Remove all that this installation made, and its state.

    That is every cluster, container and network, and contexts in your kubeconfig. The service must not run.
    """
    with report_errors():
        settings = options.load(config, state=state)
        has_installation = StateFolder(settings.state).exists
        if not (has_installation or images or cache):
            raise ValueError(f"there is no installation in {settings.state}")
        if not yes:
            if has_installation:
                _check_stopped(settings)
            also = [text for text, is_wanted in (("node images", images), ("the cache", cache)) if is_wanted]
            own = [f"everything of the installation in {settings.state}"] if has_installation else []
            subject = " and ".join([*own, *also])
            typer.confirm(f"Remove {subject}?", abort=True)
        try:
            if has_installation:
                _remove_state(settings)
            else:
                show_line(f"there is no installation in {settings.state}")
            if images:
                asyncio.run(_remove_images(settings))
            if cache:
                _remove_cache(settings)
        except KeyboardInterrupt:
            fail("interrupted; run it again to remove the rest", status=_INTERRUPTED)


def _check_stopped(settings: options.Settings) -> None:
    """Raise `ValueError` while the service runs: nobody is asked for what cannot be done."""
    try:
        with StateFolder(settings.state):
            return
    except StateInUse as error:
        raise _explain_use(error, settings) from error


def _explain_use(error: StateInUse, settings: options.Settings) -> ValueError:
    return ValueError(f"{error}; stop it first: {format_command('stop', settings.state)}")


def _remove_state(settings: options.Settings) -> None:
    removed = asyncio.run(_remove_objects(settings))
    for uuid in removed.known_clusters:
        remove_contexts(uuid)
    counts = f"{format_count(len(removed.clusters), 'cluster')}, {format_count(len(removed.containers), 'container')}"
    show_line(f"removed {counts} and {settings.state}")
    log_file = settings.log_file
    if log_file not in ("", STANDARD_ERROR) and Path(log_file).exists():
        show_line(f"kept {log_file}, which [DEFAULT] log_file names")


async def _remove_objects(settings: options.Settings) -> "Removal":
    from jeroboam.bootstrap.upkeep import remove  # noqa: PLC0415

    try:
        with StateFolder(settings.state) as folder:
            return await remove(settings, folder, _show_removed)
    except StateInUse as error:
        raise _explain_use(error, settings) from error


def _show_removed(kind: str, uuid: str, name: str) -> None:
    show_line(f"removed {kind} {f'{name} ({uuid})' if name else uuid}")


async def _remove_images(settings: options.Settings) -> None:
    from jeroboam.bootstrap.images import remove_all_images  # noqa: PLC0415

    async for line in remove_all_images(settings):
        show_line(line)


def _remove_cache(settings: options.Settings) -> None:
    from jeroboam.bootstrap.images import remove_cache  # noqa: PLC0415

    for line in remove_cache(settings):
        show_line(line)
    _show_go_caches()


def _show_go_caches() -> None:
    """Name what Go keeps by itself, for other programs too."""
    folders = [
        folder for folder in (Path.home() / ".cache" / "go-build", Path.home() / "go" / "pkg") if folder.exists()
    ]
    if folders:
        show_line(f"kept {' and '.join(map(str, folders))}: what Go keeps, maybe for others too")
