"""Commands for the images that nodes of clusters boot from. Neighbours: `jeroboam.bootstrap.images` does the work."""

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Self

import typer

from jeroboam import settings as options
from jeroboam.cli.help import UserCommand
from jeroboam.cli.terminal import (
    Config,
    Output,
    OutputFormat,
    console,
    error_console,
    report_errors,
    show_json,
    show_line,
    show_table,
)
from jeroboam.domain.errors import DriverError
from jeroboam.nodeimages.build_times import BuildStep

images = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Images that nodes of clusters boot from.")


@images.command("build", cls=UserCommand)
def build_image(
    name: Annotated[str, typer.Argument(help="What the nodes are to run: swarm, kubernetes or load-balancer.")],
    version: Annotated[
        str | None, typer.Option(help="Of Kubernetes, as v1.36.3; the newest without it.", metavar="VERSION")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Where programs of Kubernetes come from: releases or modules.", metavar="SOURCE"),
    ] = None,
    mirror: Annotated[str | None, typer.Option(help="A mirror of releases.", metavar="URL")] = None,
    checksums: Annotated[
        Path | None,
        typer.Option(help="A SHA256SUMS of your own: no others count.", metavar="FILE", exists=True, dir_okay=False),
    ] = None,
    config: Config = None,
) -> None:
    """Make the image that nodes boot from. What was made before is not made again."""
    with report_errors():
        from jeroboam.bootstrap.images import build  # noqa: PLC0415

        settings = options.load(config)
        with BuildReport() as progress:
            arguments = {"version": version, "source": source, "mirror": mirror}
            work = build(settings, name, progress, **arguments, checksums=checksums)
            line = asyncio.run(run_until_stopped(work, progress))
        show_line(line)


@images.command("list", cls=UserCommand)
def list_images(output: Output = OutputFormat.TABLE, config: Config = None) -> None:
    """Show the node images on the Engine."""
    with report_errors():
        from jeroboam.bootstrap.images import list_node_images  # noqa: PLC0415

        node_images = asyncio.run(list_node_images(options.load(config)))
    if output is OutputFormat.JSON:
        show_json(
            [
                {
                    "names": list(image.names),
                    "version": image.version,
                    "coes": list(image.coes),
                    "size": image.size,
                    "created_at": f"{image.created_at:%FT%TZ}",
                }
                for image in node_images
            ]
        )
        return
    rows = [
        (
            ", ".join(image.names),
            image.version,
            ", ".join(image.coes),
            f"{image.size / 1e6:.0f} MB",
            f"{image.created_at:%F %T}",
        )
        for image in node_images
    ]
    show_table(("name", "version", "for", "size", "made (UTC)"), rows)


@images.command("remove", cls=UserCommand)
def remove_image(
    name: Annotated[str, typer.Argument(help="As in the list, or as templates name it: kubernetes-node:v1.36.3.")],
    config: Config = None,
) -> None:
    """Remove a node image from the Engine. What its programs were made of stays in the cache."""
    with report_errors():
        from jeroboam.bootstrap.images import remove  # noqa: PLC0415

        show_line(f"removed {', '.join(asyncio.run(remove(options.load(config), name)))}")


async def run_until_stopped(work: Coroutine[Any, Any, str], progress: "BuildReport") -> str:
    """Return the result of the build. Ctrl-C and SIGTERM end it, with the compilers that it has started."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise ValueError(f"stopped; {_AGAIN}") from None
    except DriverError:
        if progress.has_begun:
            error_console.print(_AGAIN, soft_wrap=True)
        raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


_AGAIN = "run it again, what was finished is kept"


class BuildReport:
    """Prints a line when a part begins and when it was built, with its time; on a terminal also what is in progress."""

    def __init__(self) -> None:
        self._status = console.status("")
        self.has_begun = False
        """Whether the build of something has begun."""

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def begin(self, what: str, step: BuildStep | None = None) -> None:
        self.has_begun = True
        text = what if step is None else f"{what}: {step.number} of {step.count}, {_format_left(step.seconds_left)}"
        self._status.update(text)
        if not console.is_terminal:
            show_line(f"{text} …")

    def wait(self, what: str) -> None:
        text = f"{what}: another process makes it, which is waited for"
        self._status.update(text)
        show_line(text)

    def end(self, what: str, seconds: float | None) -> None:
        self._status.update("")
        show_line(f"{what:<32}{'there already' if seconds is None else f'{seconds:.1f} s':>14}")


def _format_left(seconds: float) -> str:
    """Return the time that is left, as well as it is known."""
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes else "less than a minute left"
