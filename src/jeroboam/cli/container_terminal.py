"""A command in a container with this terminal's input: raw while it lasts, and with its size.

Neighbours: `containers`, whose `exec` uses it; `jeroboam.clients.container_streams`, which carries the bytes.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator

from jeroboam.cli.terminal import show_error
from jeroboam.clients.container import ContainerClient
from jeroboam.clients.container_streams import Terminal
from jeroboam.domain.errors import DriverError
from jeroboam.domain.streams import TerminalSize
from jeroboam.kit.controls import escape_line
from jeroboam.kit.tasks import Tasks

_PIECE_BYTES = 32 << 10


async def run_interactively(zun: ContainerClient, ident: str, command: str, *, with_terminal: bool) -> int:
    """Run the command with our input. Return its exit code."""
    size = _read_size() if with_terminal else None
    terminal = await zun.open_exec(ident, command, tty=with_terminal, size=size)
    tasks = Tasks(_report)
    try:
        with _raw_terminal() if with_terminal else contextlib.nullcontext():
            tasks.start("input", _send_input(terminal))
            if with_terminal:
                tasks.start("sizes", _send_sizes(zun, ident, terminal))
            while (data := await terminal.receive()) is not None:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
        return terminal.exit_code
    finally:
        await tasks.close()
        await terminal.close()


def _read_size() -> TerminalSize:
    columns, rows = shutil.get_terminal_size()
    return TerminalSize(rows=rows, columns=columns)


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Each key goes to the command, also Ctrl-C."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def _send_input(terminal: Terminal) -> None:
    """Send what comes in, and its end."""
    loop, pieces = asyncio.get_running_loop(), asyncio.Queue[bytes]()

    def read() -> None:
        data = b"more"
        while data:
            data = os.read(sys.stdin.fileno(), _PIECE_BYTES)
            # The loop is closed if the program no longer waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(pieces.put_nowait, data)

    threading.Thread(target=read, daemon=True, name="input").start()
    while data := await pieces.get():
        await terminal.send(data)
    await terminal.end()


async def _send_sizes(zun: ContainerClient, ident: str, terminal: Terminal) -> None:
    changed = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, changed.set)
    while True:
        await changed.wait()
        changed.clear()
        with contextlib.suppress(DriverError):
            await zun.resize_exec(ident, terminal.name, _read_size())


def _report(name: str, error: BaseException) -> None:
    # A connection that is over is told by the end of the session.
    if not isinstance(error, OSError):
        show_error(escape_line(f"{name}: {error!r}"))
