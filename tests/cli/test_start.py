"""What `up` prints, where its log goes, the service in the background, and systemd."""

import asyncio
import contextlib
import os
import pathlib
import shlex
import socket
import stat
import subprocess
import sys

import pytest

from jeroboam.cli.greeting import StartSteps, format_greeting
from jeroboam.cli.log import LogFile, find_log_file
from jeroboam.cli.own_command import find_program, format_command
from jeroboam.cli.systemd import notify
from jeroboam.settings import default_state
from tests.cli.test_help import invoke
from tests.cli.test_up import CONFIG, PROGRAM, run
from tests.unix_engine import serve_engine

FREE_PORTS = "[api]\nlisten = 127.0.0.1:0\n[keystone]\nlisten = 127.0.0.1:0\n"


@pytest.fixture
async def config(tmp_path):
    path = tmp_path / "jeroboam.conf"
    path.write_text(CONFIG + FREE_PORTS)
    yield path
    await run(tmp_path / "state", "stop")


@pytest.mark.slow
async def test_a_service_in_the_background_says_how_to_use_and_to_end_it(tmp_path, config):
    state = tmp_path / "state"
    started = await run(state, f"up --detach --config {config}")
    assert (started.status, started.err) == (0, "")
    lines = started.out.splitlines()
    assert lines[0] == f"jeroboam starts: state in {state}, log in {state}/jeroboam.log"
    for step in ("Keystone: is set up", "database: ready", "Keystone: answers", "API: listens", "memory: "):
        assert any(step in line for line in lines), step
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.glob("openrc*")} == {
        "openrc": 0o600,
        "openrc-admin": 0o600,
    }

    process = (await run(state, "status -o json")).json()["service"]["process"]
    refused = await run(state, f"up --detach --config {config}")
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith(f"jeroboam: another jeroboam (process {process}) uses the state in {state}; ")

    # The lines of the greeting as they stand, in a shell in which another cloud was chosen before.
    source, made = (next(line for line in lines if mark in line) for mark in ("source ", " run "))
    typed = f"set -e\n{source}\n{made.replace('sleep 600', '')}\n"
    await asyncio.to_thread(
        subprocess.run, ["bash", "-c", typed], env=os.environ | {"OS_CLOUD": "far"}, check=True, capture_output=True
    )
    assert [item["name"] for item in (await run(state, "ps -o json")).json()] == ["hello"]

    ended = await run(state, "stop")
    assert (ended.status, ended.out) == (0, f"stopped process {process}; clusters and containers stay\n")
    log = (state / "jeroboam.log").read_text()
    assert "event='dispatch.session'" in log
    assert "draining; clusters and containers stay" in log, "what is printed later goes to the log"
    again = await run(state, "stop")
    assert (again.status, again.err) == (1, f"jeroboam: no service runs on the state in {state}\n")


async def test_a_start_in_the_background_that_fails_says_why(tmp_path, config):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = await run(tmp_path / "state", f"up --detach --config {config} --keystone-listen {address}")
    assert done.status == 1
    assert done.err.startswith(f"jeroboam: the embedded Keystone cannot listen on {address}: Address already in use")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "state").exists()
    assert (await run(tmp_path / "state", f"up --detach --log-file - --config {config}")).status == 1


async def test_a_start_with_a_broken_policy_makes_no_keystone(tmp_path, config):
    (tmp_path / "policy.yaml").write_text('"cluster:nonsense": "@"\n')
    config.write_text(f"{CONFIG}[api]\nlisten = 127.0.0.1:0\npolicy_file = {tmp_path}/policy.yaml\n")
    done = await run(tmp_path / "state", f"up --detach --keystone-listen 127.0.0.1:0 --config {config}")
    assert (done.status, "policy" in done.err, "Keystone" in done.out) == (1, True, False)
    assert not (tmp_path / "state").exists()


@pytest.mark.slow
async def test_few_lines_stand_on_a_terminal_and_the_log_is_in_a_file(tmp_path, config):
    state = tmp_path / "state"
    terminal, end = os.openpty()
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "up", "--state", state, "--config", config),
        stdin=end,
        stdout=end,
        stderr=end,
        env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
    )
    os.close(end)
    try:
        text = await asyncio.wait_for(asyncio.to_thread(read_until, terminal, "clusters and containers stay"), 180)
        process.terminate()
        assert await process.wait() == 0
        assert [manager.recv(100) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        os.close(terminal)
        manager.close()
    assert "event=" not in text
    assert len(text.splitlines()) < 20
    assert "Ctrl-C ends this process" in text
    assert "event=" in (state / "jeroboam.log").read_text()


def read_until(terminal: int, mark: str) -> str:
    text = ""
    while mark not in text:
        text += os.read(terminal, 4096).decode()
    return text


SLOW_MACHINE = """\
import sys
class Slow:
    def find_spec(self, name, *_):
        if name == "jeroboam.bootstrap.service":
            open({fifo!r}).read()
sys.meta_path.insert(0, Slow())
"""


async def test_an_engine_that_answers_is_no_fault_while_the_service_is_still_loaded(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "sitecustomize.py").write_text(SLOW_MACHINE.format(fifo=str(fifo)))
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    (tmp_path / "jeroboam.conf").write_text(FREE_PORTS)
    async with serve_engine(tmp_path / "engine") as url:
        process = await asyncio.create_subprocess_exec(
            *(PROGRAM, "up", "--state", tmp_path / "state", "--config", tmp_path / "jeroboam.conf"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": path, "DOCKER_HOST": url},
        )
        try:
            async with asyncio.timeout(30):
                while b"Docker Engine: " not in (line := await process.stdout.readline()):
                    pass
            assert b"Docker Engine: answers" in line
        finally:
            os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))
            process.kill()
            await process.wait()


def test_where_the_log_goes(tmp_path):
    assert find_log_file("", tmp_path, wants_file=False) is None
    assert find_log_file("", tmp_path, wants_file=True) == tmp_path / "jeroboam.log"
    assert find_log_file("-", tmp_path, wants_file=True) is None
    assert find_log_file("/x/y.log", tmp_path, wants_file=False) == pathlib.Path("/x/y.log")


def test_a_log_file_is_private_and_kept_small(tmp_path):
    path = tmp_path / "a.log"
    with contextlib.closing(LogFile(path, largest=10)) as log:
        for line in ("first line\n", "second line\n", "third\n"):
            log.write(line)
            log.flush()
    assert (tmp_path / "a.log.1").read_text() == "second line\n"
    assert path.read_text() == "third\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ValueError, match=r"\[DEFAULT\] log_file: cannot write .*: No such file or directory"):
        LogFile(tmp_path / "nowhere" / "a.log")


def test_a_program_that_is_not_on_the_path_has_its_full_path(monkeypatch):
    beside = pathlib.Path(sys.executable).with_name("openstack")
    monkeypatch.setenv("PATH", str(beside.parent))
    assert find_program("openstack") == "openstack"
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_program("openstack") == shlex.quote(str(beside))
    assert find_program("no-such-program") == "no-such-program"


def test_a_command_that_is_printed_names_its_installation(monkeypatch):
    monkeypatch.setenv("PATH", str(pathlib.Path(sys.executable).parent))
    state, config = pathlib.Path("/a folder"), pathlib.Path("/etc/j.conf")
    assert format_command("up", state, config=config) == "jeroboam up --state '/a folder' --config /etc/j.conf"
    assert format_command("run", state, "busybox ls") == "jeroboam run --state '/a folder' busybox ls"
    assert format_command("up", default_state()) == "jeroboam up"


def test_lines_of_the_greeting_are_for_pasting(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("PATH", str(pathlib.Path(sys.executable).parent))
    text = format_greeting(pathlib.Path("/a folder"), "http://h:1", "http://h:2", end="Ctrl-C ends it")
    assert "  source '/a folder/openrc'\n" in text
    assert "  jeroboam cluster create dev --state '/a folder'\n" in text
    assert "  jeroboam cluster create dev\n" in format_greeting(default_state(), "", "", end="")

    names = [line.split("--name ")[1].split()[0] for line in text.splitlines() if "--name " in line]
    assert len(set(names)) == len(names) == 2, "both blocks may be pasted"

    class Clock:
        def monotonic(self) -> float:
            return 1.0

    StartSteps(Clock()).show("a step whose line is longer than the terminal is wide")
    assert capsys.readouterr().out == "   0.0 s  a step whose line is longer than the terminal is wide\n"


def test_a_unit_of_systemd():
    unit = invoke("systemd-unit").stdout
    program = pathlib.Path(sys.executable).with_name("jeroboam")
    assert f"\nExecStart={program} up --state /var/lib/jeroboam\n" in unit
    assert "\nType=notify\n" in unit
    elsewhere = invoke("systemd-unit", "--state", "/srv/100% x").stdout
    assert f"\nExecStart={program} up --state '/srv/100%% x'\n" in elsewhere
    assert "\nReadWritePaths=/run '/srv/100%% x'\n" in elsewhere


@pytest.mark.parametrize("form", ["a path", "abstract"])
def test_systemd_is_told_when_the_service_answers(tmp_path, monkeypatch, form):
    address = str(tmp_path / "notify") if form == "a path" else f"@jeroboam-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")
