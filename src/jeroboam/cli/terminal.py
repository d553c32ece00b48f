"""Common code of all commands: options, tables, JSON, and the display of errors.

Nothing that somebody may copy is broken over lines by us: a terminal that is too narrow wraps it, and a copy is whole.
Neighbours: the commands.
"""

import contextlib
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from jeroboam.cli.engine import describe_engine_fault
from jeroboam.clients.openstack import ServiceDown
from jeroboam.domain.errors import DriverError
from jeroboam.secrets.base import KeyFileError

console = Console(highlight=False, markup=False, emoji=False)
error_console = Console(stderr=True, highlight=False, markup=False, emoji=False)


class OutputFormat(StrEnum):
    """How a command prints what it read."""

    TABLE = "table"
    JSON = "json"


State = Annotated[str | None, typer.Option(help="Folder of everything that lasts.", metavar="DIR")]
Config = Annotated[Path | None, typer.Option(help="A jeroboam.conf.", exists=True, dir_okay=False, metavar="FILE")]
ShowApi = Annotated[
    bool, typer.Option("--show-api", help="Only print the openstack command that does the same; change nothing.")
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Show what happens, and end when it is done.")]
Output = Annotated[OutputFormat, typer.Option("--output", "-o", help="For people, or JSON for programs.")]


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Show an error that the user can correct in one line on stderr, and exit with status 1."""
    try:
        yield
    except ServiceDown as error:
        start = "; start it with: jeroboam up" if _is_this_machine(error.address) else ""
        fail(f"{error.reason}{start}")
    except DriverError as error:
        fail(describe_engine_fault(error) or error.reason)
    except (ValueError, OSError, KeyFileError) as error:
        fail(str(error))


def fail(reason: str, *, status: int = 1) -> NoReturn:
    """Show the reason in one line on stderr, and exit."""
    error_console.print(f"jeroboam: {reason}", style="red", soft_wrap=True)
    sys.exit(status)


def show_line(text: str | Text = "") -> None:
    """Print a line as it stands."""
    console.print(text, soft_wrap=True)


def show_api_command(words: Sequence[object]) -> None:
    """Print a command of `openstack`, as a shell takes it."""
    show_line(shlex.join(["openstack", *map(str, words)]))


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, title: str = "") -> None:
    """Print rows in columns, with a head. A cell is never broken or cut."""
    if title:
        show_line(Text(title, style="bold"))
    head = [Text(column.upper(), style="dim") for column in columns]
    lines = [head, *([Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)]
    widths = [max(cell_len(line[index].plain) for line in lines) for index in range(len(columns))]
    for line in lines:
        text = Text()
        for cell, width in zip(line, widths, strict=True):
            text.append_text(cell)
            text.append(" " * (width - cell_len(cell.plain) + 2))
        text.rstrip()
        show_line(text)


def _is_this_machine(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
