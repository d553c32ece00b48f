"""The client of 2015 as a program: what was typed, and the tables that it printed."""

import os
import pathlib
import re
import subprocess
import time
from dataclasses import dataclass, field

from tests.fault.installation import Installation

MAGNUM = pathlib.Path(__file__).parents[2] / ".venv-2015" / "bin" / "magnum"
SECONDS = 60.0


@dataclass
class Magnum:
    """`magnum` of python-magnumclient 2.0.0, as somebody would type it."""

    environment: dict[str, str]
    typed: set[str] = field(default_factory=set)
    """The commands that were given."""

    def __call__(self, command: str, *words: object) -> str:
        """What it printed, both streams; a failure is among it, since the client says of most that all went well."""
        self.typed.add(command)
        line = [MAGNUM, "--service-type", "container-infra", command, *map(str, words)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, env=self.environment, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def shown(self, command: str, *words: object) -> dict[str, str]:
        """The table of properties that it printed."""
        text = self(command, *words)
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
        assert rows, text
        return {row[0]: row[1] for row in rows[1:]}

    def listed(self, command: str, *words: object) -> list[dict[str, str]]:
        """The table with a row an object that it printed."""
        text = self(command, *words)
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
        assert rows, text
        return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]

    def until(self, wanted: str, command: str, *words: object) -> dict[str, str]:
        """What is shown once its status is that. The client takes its time: there is no need to wait between."""
        end = time.monotonic() + SECONDS
        while (shown := self.shown(command, *words))["status"] != wanted:
            assert time.monotonic() < end, shown
        return shown


def magnum_of(installation: Installation) -> Magnum:
    """The client with what `openrc` sets."""
    assert MAGNUM.exists(), "`make client-2015` makes it"
    said = dict(re.findall(r"export (OS_\w+)='?([^'\n]+)", (installation.state / "openrc").read_text()))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "DOCKER_"))}
    return Magnum(kept | said | {"OS_TENANT_NAME": said["OS_PROJECT_NAME"]})
