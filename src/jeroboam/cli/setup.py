"""The command `setup`. Neighbours: `jeroboam.bootstrap.setup` does the work; `node_images` shows what is made."""

import asyncio
import sys
from typing import Annotated

import typer

from jeroboam import settings as options
from jeroboam.cli.node_images import BuildReport
from jeroboam.cli.terminal import Config, report_errors, show_line


def set_up_machine(
    compilers: Annotated[
        bool, typer.Option("--compilers", help="Also what compiles the programs of Kubernetes nodes.")
    ] = False,
    tests: Annotated[bool, typer.Option("--tests", hidden=True)] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take back what it did, but for Debian's packages, which it names.")
    ] = False,
    config: Config = None,
) -> None:
    """Bring to this machine what the service needs.

    That is a Docker Engine, programs that nodes are made of, and images, each only where it is missing. On Debian,
    as root.
    """
    with report_errors():
        settings = options.load(config)
        wishes = {"--compilers": compilers, "--tests": tests, "--undo": undo}
        asyncio.run(_set_up(settings, [option for option, is_wanted in wishes.items() if is_wanted]))


async def _set_up(settings: options.Settings, wishes: list[str]) -> None:
    from jeroboam.bootstrap import setup  # noqa: PLC0415

    if status := await setup.run_script(*wishes):
        # The script has said why.
        sys.exit(status)
    if "--undo" in wishes:
        return
    if "--compilers" in wishes and (line := await setup.install_go()):
        show_line(f"set-up: {line}")
    with BuildReport() as progress:
        async for line in setup.build_images(settings, progress):
            show_line(f"set-up: {line}")
