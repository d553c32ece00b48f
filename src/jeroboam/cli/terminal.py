"""Common code of all commands: options, tables, and the display of errors.

Neighbours: the commands.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from jeroboam.cli.engine import describe_engine_fault
from jeroboam.domain.errors import DriverError
from jeroboam.secrets.base import KeyFileError

console = Console()


class OutputFormat(StrEnum):
    """How a command prints what it read."""

    TABLE = "table"
    JSON = "json"


State = Annotated[str | None, typer.Option(help="Folder of everything that lasts.")]
Config = Annotated[Path | None, typer.Option(help="A jeroboam.conf.", exists=True, dir_okay=False)]
Output = Annotated[OutputFormat, typer.Option("--output", "-o", help="For people, or JSON for programs.")]


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Show an error that the user can correct in one line, and exit with status 1."""
    try:
        yield
    except DriverError as error:
        text = describe_engine_fault(error) or error.reason
        console.print(f"jeroboam: {text}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except (ValueError, OSError, KeyFileError) as error:
        console.print(f"jeroboam: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)


def table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    grid = Table(title=title, title_justify="left", show_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    console.print(grid)
