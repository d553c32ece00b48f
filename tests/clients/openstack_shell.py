"""The `openstack` command of one user, for the tour: `shell` is the process that runs it."""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import time
from typing import ClassVar

HERE = pathlib.Path(__file__).parent
PATIENCE = 120.0


class Shell:
    """The `openstack` command of one user."""

    spoken: ClassVar[list[str]] = []
    """Every command line of the tour so far."""

    def __init__(self, state: pathlib.Path, cloud: str) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        environment |= {"OS_CLIENT_CONFIG_FILE": str(state / "clouds.yaml"), "OS_CLOUD": cloud, "SHELL": "/bin/bash"}
        self._process = subprocess.Popen(
            [sys.executable, HERE / "shell.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def close(self) -> None:
        self._process.communicate(timeout=10)

    def run(self, command: str) -> dict:
        """One command line; status, output and complaint."""
        self.spoken.append(command)
        self._process.stdin.write(json.dumps(shlex.split(command)) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __call__(self, command: str) -> str:
        """What a command that has to succeed prints."""
        done = self.run(command)
        assert done["status"] == 0, (command, done)
        return done["out"].strip()

    def json(self, command: str):
        """The same, as it prints for programs."""
        return json.loads(self(f"{command} -f json"))

    def table(self, command: str) -> dict[str, str]:
        """The same, of a command that prints properties and values for people alone."""
        rows = [line.strip("|").split("|") for line in self(command).splitlines() if line.startswith("|")]
        return {row[0].strip(): row[1].strip() for row in rows}

    def rows(self, command: str) -> list[list[str]]:
        """The same, of one that prints a list for people alone; without its head."""
        lines = [line for line in self(command).splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]

    def refused(self, command: str) -> str:
        """What a command says that the service has to refuse."""
        done = self.run(command)
        assert done["status"] == 1, (command, done)
        return done["err"].strip()

    def until(self, cluster: str, status: str) -> dict:
        """The cluster once it has that status; any other that lasts is a failure."""
        deadline = time.monotonic() + PATIENCE
        while True:
            shown = self.json(f"coe cluster show {cluster}")
            if shown["status"] == status:
                return shown
            assert shown["status"].endswith("_IN_PROGRESS"), shown
            assert time.monotonic() < deadline, shown
            time.sleep(0.2)

    def until_gone(self, cluster: str) -> None:
        """Once nobody finds it any more."""
        deadline = time.monotonic() + PATIENCE
        while self.run(f"coe cluster show {cluster}")["status"] == 0:
            assert time.monotonic() < deadline
            time.sleep(0.2)
