"""The tools of the benchmark: a service of its own, a member's requests to it, and the kernel's accounts.

Neighbours: `bench`, `bench_kubernetes`.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import yaml
from rich.console import Console

BIN = pathlib.Path(sys.executable).parent
TICKS = os.sysconf("SC_CLK_TCK")
console = Console(highlight=False, soft_wrap=True)


@dataclass
class Row:
    """One line of the table."""

    what: str
    seen: float | None
    """None if there is no measurement; `peer` says why."""
    unit: str
    bound: float | None
    peer: str = ""

    def cells(self, units: "Units") -> tuple[str, ...]:
        """Return the cells of the table."""
        bound = "" if self.bound is None else f"≤ {self.bound:g} {self.unit}"
        if self.seen is None:
            return self.what, "", "", bound, "[yellow]skipped[/yellow]", self.peer
        verdict = (
            "" if self.bound is None else ("[green]met[/green]" if self.seen <= self.bound else "[red]missed[/red]")
        )
        return (
            self.what,
            f"{self.seen:.2f} {self.unit}",
            units.describe(self.seen, self.unit),
            bound,
            verdict,
            self.peer,
        )


@dataclass(frozen=True)
class Units:
    """A fixed piece of work on this machine, so that figures of two machines can be compared."""

    cpu_ms: float
    """The CPU time to hash 32 MiB and to write and read 1,000 objects of JSON."""
    engine_seconds: float
    """The Engine's time to create and start a container."""

    def describe(self, value: float, unit: str) -> str:
        """Return a figure in units: milliseconds in units of CPU, seconds in units of the Engine's start."""
        match unit:
            case "ms":
                return f"{value / self.cpu_ms:.3f} cpu"
            case "s":
                return f"{value / self.engine_seconds:.1f} starts"
            case _:
                return ""


def measure_cpu(times: int = 5) -> float:
    """Return the least CPU time of the fixed piece of work, in milliseconds."""
    content = bytes(1 << 20)
    objects = [
        {"uuid": f"{number:032x}", "labels": {"a": "b", "c": str(number)}, "nodes": [number] * 8}
        for number in range(1000)
    ]
    spent = []
    for _ in range(times):
        started = time.process_time()
        digest = hashlib.sha256()
        for _ in range(32):
            digest.update(content)
        json.loads(json.dumps(objects))
        spent.append((time.process_time() - started) * 1000)
    return min(spent)


@dataclass
class RunningService:
    """A running `jeroboam up` and a member's session with it."""

    state: pathlib.Path
    process: subprocess.Popen[bytes]
    started: float
    api: str = ""
    token: str = ""
    rows: list[Row] = field(default_factory=list)

    def call(self, method: str, path: str, body: object = None, version: str = "") -> object:
        """Send one request over HTTP; return the answer's JSON."""
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/json", "OpenStack-API-Version": version}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def cpu(self, work: Callable[[], object], times: int) -> float:
        """Return the server's CPU time for one of `times` calls, in milliseconds."""
        work()
        return self.cpu_of([work] * times)

    def cpu_of(self, works: Sequence[Callable[[], object]]) -> float:
        """Return the server's CPU time for one of these calls, in milliseconds."""
        before = _ticks(self.process.pid)
        for work in works:
            work()
        return (_ticks(self.process.pid) - before) / TICKS / len(works) * 1000


def _ticks(pid: int) -> int:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def rss(pid: int) -> float:
    """Return the MiB of the process and of all processes that it started."""
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20 + sum(rss(int(child)) for child in children)


def _login(state: pathlib.Path) -> str:
    cloud = yaml.safe_load((state / "clouds.yaml").read_text())["clouds"]["jeroboam"]["auth"]
    domain = {"id": "default"}
    user = {"name": cloud["username"], "domain": domain, "password": cloud["password"]}
    scope = {"project": {"name": cloud["project_name"], "domain": domain}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    request = urllib.request.Request(
        cloud["auth_url"] + "/auth/tokens", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["X-Subject-Token"]


@contextlib.contextmanager
def up(state: pathlib.Path, config: pathlib.Path) -> Iterator[RunningService]:
    """Give the service, once a member's first request was answered."""
    listen = ["--listen", "127.0.0.1:0", "--keystone-listen", "127.0.0.1:0"]
    (state / "addresses.json").unlink(missing_ok=True)
    started = time.monotonic()
    process = subprocess.Popen(
        [BIN / "jeroboam", "up", "--state", state, "--config", config, *listen], stdout=subprocess.DEVNULL
    )
    service = RunningService(state, process, started)
    try:
        while not (state / "addresses.json").exists():
            assert process.poll() is None, "jeroboam up ended"
            time.sleep(0.01)
        service.api = json.loads((state / "addresses.json").read_text())["api"]
        service.token = _login(state)
        service.call("GET", "/container-infra/v1/clusters")
        service.started = time.monotonic() - started
        yield service
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
