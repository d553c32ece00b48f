"""Commands for the images that nodes of clusters boot from. Neighbours: `jeroboam.bootstrap.images` does the work."""

import asyncio
from pathlib import Path
from typing import Annotated, Self

import typer

from jeroboam import settings as options
from jeroboam.cli.help import UserCommand
from jeroboam.cli.terminal import Config, Output, OutputFormat, console, report_errors, show_json, show_line, show_table

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
        with _BuildProgress() as progress:
            arguments = {"version": version, "source": source, "mirror": mirror}
            line = asyncio.run(build(settings, name, progress, **arguments, checksums=checksums))
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


class _BuildProgress:
    """Prints a line for each part that was built, with its time; on a terminal also the part in progress."""

    def __init__(self) -> None:
        self._status = console.status("")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def begin(self, what: str) -> None:
        self._status.update(what)

    def end(self, what: str, seconds: float | None) -> None:
        self._status.update("")
        show_line(f"{what:<32}{'there already' if seconds is None else f'{seconds:.1f} s':>14}")
