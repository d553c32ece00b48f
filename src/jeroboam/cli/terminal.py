r"""Common code of all commands: options, tables, JSON, and the display of errors.

Nothing that somebody may copy is broken over lines by us: a terminal that is too narrow wraps it, and a copy is whole.
Much of what is printed was written by others. A character that commands the terminal, or that changes the order of
others, is printed as its code: ESC as `\x1b`. Neighbours: the commands.
"""

import contextlib
import json
import re
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

from jeroboam import settings as options
from jeroboam.cli.engine import describe_engine_fault
from jeroboam.cli.own_command import format_command
from jeroboam.clients.openstack import NoLogin, ServiceDown
from jeroboam.domain.errors import DriverError
from jeroboam.kit.controls import CONTROLS, LINE_CONTROLS, escape_controls, escape_line, format_code
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
def report_errors(*, state: str | None = None, config: Path | None = None) -> Iterator[None]:
    """Show an error that the user can correct in one line on stderr, and exit with status 1.

    `state` and `config` are the options of the command: a service of this machine can be started with them.
    """
    try:
        yield
    except ServiceDown as error:
        fail(f"{error.reason}{_suggest_start(error.address, options.load(config, state=state).state, config)}")
    except NoLogin as error:
        start = f"start one with: {format_command('up', error.state, config=config)}"
        clouds = "for a cloud elsewhere set OS_CLOUD, or OS_AUTH_URL and so on"
        fail(f"there is no installation in {error.state}; {start} (or name its folder: --state DIR); {clouds}")
    except DriverError as error:
        # Ours may have several lines, those of servers have one.
        fail(describe_engine_fault(error) or escape_line(error.reason))
    except BrokenPipeError:
        # Nobody reads any more; `jeroboam.__main__` ends it.
        raise
    except (ValueError, OSError, KeyFileError) as error:
        fail(str(error))


def fail(reason: str, *, status: int = 1) -> NoReturn:
    """Show the reason in one line on stderr, and exit."""
    show_error(reason)
    sys.exit(status)


def show_error(reason: str) -> None:
    """Show the reason on stderr. The command goes on."""
    error_console.print(f"jeroboam: {escape_controls(reason)}", style="red", soft_wrap=True)


def show_failure(error: DriverError | ValueError) -> None:
    """Show an error on stderr in one line. The command goes on."""
    show_error(escape_line(error.reason if isinstance(error, DriverError) else str(error)))


def show_line(text: str | Text = "") -> None:
    """Print a line as it stands, with control characters as their codes."""
    console.print(_escape_styled(text, CONTROLS) if isinstance(text, Text) else escape_controls(text), soft_wrap=True)


def show_output(text: str) -> None:
    """Print what a program in a container has written.

    A pipe gets it unchanged. A terminal gets control characters as their codes, although `kubectl logs` and `docker
    logs` send them: whoever reads the log of a server did not write it, and a client of that server may have.
    """
    if sys.stdout.isatty():
        text = escape_controls(text.replace("\r\n", "\n"))
    # Half a character (a surrogate) cannot be sent.
    sys.stdout.write(text.encode(errors="backslashreplace").decode())


def _escape_styled(text: Text, controls: re.Pattern[str]) -> Text:
    places = [place for match in controls.finditer(text.plain) for place in match.span()]
    if not places:
        return text
    escaped = Text(style=text.style)
    for piece in text.divide(places):
        is_control = len(piece) == 1 and controls.match(piece.plain)
        escaped.append_text(Text(controls.sub(format_code, piece.plain)) if is_control else piece)
    return escaped


def _format_json_code(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def show_api_command(words: Sequence[object]) -> None:
    """Print a command of `openstack`, as a shell takes it."""
    show_line(shlex.join(["openstack", *map(str, words)]))


def show_json(value: Any) -> None:
    """Print a value as JSON, with control characters as JSON's codes."""
    # Outside its strings JSON has no control character but the new line.
    print(CONTROLS.sub(_format_json_code, json.dumps(value, indent=2, ensure_ascii=False, default=str)))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, title: str = "") -> None:
    """Print rows in columns, with a head. A cell is never broken or cut."""
    if title:
        show_line(Text(title, style="bold"))
    head = [Text(column.upper(), style="dim") for column in columns]
    lines = [head, *([_build_cell(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(line[index].plain) for line in lines) for index in range(len(columns))]
    for line in lines:
        text = Text()
        for cell, width in zip(line, widths, strict=True):
            text.append_text(cell)
            text.append(" " * (width - cell_len(cell.plain) + 2))
        text.rstrip()
        show_line(text)


def _build_cell(content: str | Text) -> Text:
    if isinstance(content, Text):
        return _escape_styled(content, LINE_CONTROLS)
    return Text(escape_line(content))


def _suggest_start(address: str, state: Path, config: Path | None) -> str:
    # The address may be that of an installation whose folder nobody has named.
    if not _is_this_machine(address) or not (state / "clouds.yaml").exists():
        return ""
    return f"; start it with: {format_command('up', state, config=config)}"


def _is_this_machine(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
