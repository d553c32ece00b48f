"""A published command in a pseudo terminal, as somebody types it."""

import os
import pathlib
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl

SECONDS = 60.0
_BIN = pathlib.Path(sys.executable).parent


class Terminal:
    """A running `openstack` command with a terminal of that size."""

    def __init__(self, state: pathlib.Path, *arguments: str, rows: int = 24, columns: int = 80) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        environment |= {
            "OS_CLIENT_CONFIG_FILE": str(state / "clouds.yaml"),
            "OS_CLOUD": "jeroboam",
            "SHELL": "/bin/bash",
            "TERM": "xterm",
        }
        self._ours, theirs = pty.openpty()
        self.set_size(rows, columns)
        self._process = subprocess.Popen(
            [_BIN / "openstack", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""

    def set_size(self, rows: int, columns: int) -> None:
        """Change the size, as a window does."""
        ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def notify_size(self) -> None:
        """The signal that a window sends after a change of its size."""
        self._process.send_signal(28)  # SIGWINCH

    def type(self, text: str) -> None:
        """Type the text."""
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> None:
        """Return once the terminal shows the text after what was waited for before."""
        deadline = time.monotonic() + SECONDS
        while text not in self.shown:
            remaining = deadline - time.monotonic()
            assert remaining > 0, self.shown
            if select.select([self._ours], [], [], remaining)[0]:
                self.shown += self._read()
        self.shown = self.shown.partition(text)[2]

    def wait_for_prompt(self, prompt: str = "# ") -> None:
        """Press Enter until the shell in the container asks for the next command."""
        deadline = time.monotonic() + SECONDS
        while prompt not in self.shown:
            assert time.monotonic() < deadline, self.shown
            self.type("\r")
            if select.select([self._ours], [], [], 0.5)[0]:
                self.shown += self._read()
        self.shown = self.shown.rpartition(prompt)[2]

    def wait_end(self) -> int:
        """Return the exit status of the command."""
        deadline = time.monotonic() + SECONDS
        while self._process.poll() is None:
            assert time.monotonic() < deadline, self.shown
            if select.select([self._ours], [], [], 0.1)[0]:
                self.shown += self._read()
        return self._process.returncode

    def _read(self) -> str:
        try:
            return os.read(self._ours, 65536).decode(errors="replace")
        except OSError:
            return ""

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._ours)
