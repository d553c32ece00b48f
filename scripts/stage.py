"""The tools of a demonstration: timed steps, an interactive client, a service, waits.

Neighbours: `demo`, and `demo_kubernetes`, its second half.
"""

import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from rich.console import Console

BIN = pathlib.Path(sys.executable).parent
SENTINEL = "---done---"
DEADLINE_SECONDS = 600
"""When a step that does not end counts as failed. An emulated processor takes minutes for what usually is seconds."""
END_SECONDS = 60
console = Console(highlight=False, soft_wrap=True)
times: list[tuple[str, float]] = []


class StepFailed(Exception):
    """A step did not do what it should."""


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Show the title during the step, and its time at the end."""
    started = time.monotonic()
    with console.status(title):
        yield
    took = time.monotonic() - started
    times.append((title, took))
    console.print(f"[green]ok[/green] {took:6.2f} s  {title}")


class OpenStack:
    """One `openstack` process that takes command after command, as a user at its prompt would type them."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [BIN / "openstack"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # What the client prints comes before the sentinel, which another process prints.
            env=environment | {"PYTHONUNBUFFERED": "1"},
        )

    def __call__(self, command: str) -> str:
        """Return the output of the command, which is shown as a user would type it."""
        console.print(f"[dim]            openstack {command}[/dim]")
        return self.quietly(command)

    def quietly(self, command: str) -> str:
        """Return the output of the command without showing the command, for repeated looks."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n!echo {SENTINEL}\n")
        self._process.stdin.flush()
        lines = []
        for line in self._process.stdout:
            if line.strip() == SENTINEL:
                return "".join(lines)
            lines.append(line)
        raise StepFailed(f"the client ended: {''.join(lines)}")

    def json(self, command: str) -> object:
        """Return what the command printed with `-f json`."""
        text = self.quietly(f"{command} -f json")
        try:
            return json.loads(text)
        except ValueError as error:
            raise StepFailed(f"openstack {command}: {text}") from error

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=END_SECONDS)
        self._process.stdout.close()


def expect(seen: object, wanted: object, what: str) -> None:
    """Raise `StepFailed` unless both are equal."""
    if seen != wanted:
        raise StepFailed(f"{what}: {seen!r}, and not {wanted!r}")


def until(what: str, look: Callable[[], object], wanted: object, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until `look` returns the wanted value. The error has the last value."""
    end = time.monotonic() + seconds
    while (seen := look()) != wanted:
        if time.monotonic() > end:
            raise StepFailed(f"{what}: {seen!r} after {seconds:.0f} s, and not {wanted!r}")
        if isinstance(seen, str) and (seen.endswith("FAILED") or seen == "Error"):
            raise StepFailed(f"{what}: {seen}")
        time.sleep(0.1)


def run(*command: str | pathlib.Path, environment: dict[str, str] | None = None) -> str:
    """Return the output of a command, which has to succeed."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS, env=environment
    )
    if done.returncode != 0:
        raise StepFailed(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def service(state: pathlib.Path) -> Iterator[None]:
    """Run `jeroboam up` until the block ends. If the block fails, the log is kept and its place is shown.

    The service is no part of the terminal's group: Ctrl-C is for the demonstration, which then ends the service.
    """
    log_file = state.parent / "up.log"
    command = [BIN / "jeroboam", "up", "--state", state, "--listen", "127.0.0.1:0", "--keystone-listen", "127.0.0.1:0"]
    with log_file.open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + DEADLINE_SECONDS
        while "jeroboam is up" not in log_file.read_text():
            if process.poll() is not None or time.monotonic() > end:
                raise StepFailed(f"jeroboam up: {_last_lines(log_file)}")
            time.sleep(0.05)
        yield
        process.send_signal(signal.SIGTERM)
        expect(process.wait(timeout=END_SECONDS), 0, "exit status of jeroboam up")
    except Exception:
        kept = pathlib.Path(tempfile.gettempdir()) / f"{state.parent.name}.log"
        shutil.copyfile(log_file, kept)
        console.print(f"the log of the service is kept in {kept}", markup=False)
        raise
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=END_SECONDS)
        process.kill()
        process.wait()


def _last_lines(file: pathlib.Path, count: int = 5) -> str:
    return "\n".join(file.read_text().splitlines()[-count:])


@contextlib.contextmanager
def end_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, so that everything in it is ended and removed."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    former = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, former, strict=True):
            signal.signal(number, handler)


def leftovers(installation: str) -> list[str]:
    """Return the ids of the installation's objects that the Engine still has.

    The network of a project does not count: it stays for a minute after its last container.
    """
    label = f"label=jeroboam.installation={installation}"
    found = []
    for kind in (("container", "ls", "-a"), ("network", "ls"), ("volume", "ls")):
        found += run("docker", *kind, "-q", "--filter", label).split()
    networks = run("docker", "network", "ls", "-q", "--filter", label, "--filter", "label=jeroboam.project").split()
    return [ident for ident in found if ident not in networks]
