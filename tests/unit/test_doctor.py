"""What `doctor` finds: a sound machine has no problem, each limit has its severity and what to do about it."""

import asyncio
import datetime as dt
import json
import pathlib
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from jeroboam.bootstrap import machine
from jeroboam.bootstrap.doctor import (
    Finding,
    Severity,
    check_clock,
    check_disks,
    check_images,
    check_inotify,
    check_memory,
    check_ports,
    describe_engine,
    examine,
)
from jeroboam.bootstrap.engine import find_engine_fault
from jeroboam.bootstrap.state import StateFolder
from jeroboam.cli import app
from jeroboam.clients.docker_engine import EngineFacts, read_engine
from jeroboam.clients.docker_faults import EngineSocketMissing
from jeroboam.kit.clock import SystemClock
from jeroboam.nodeimages.engine import EngineNodeImage
from jeroboam.settings import load
from tests.clock import ManualClock
from tests.unix_engine import INFO, serve_engine

OK, NOTE, PROBLEM = Severity.SOUND, Severity.NOTE, Severity.PROBLEM
COES = ["swarm", "kubernetes"]


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    """A folder with a short name, for sockets."""
    path = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    yield path
    shutil.rmtree(path)


async def facts_of(folder: pathlib.Path, **info: str) -> EngineFacts:
    async with serve_engine(folder / "engine.sock", info={**INFO, **info}) as url:
        return await read_engine(url, answer_seconds=5)


def image(name: str) -> EngineNodeImage:
    return EngineNodeImage(
        id="sha256:1",
        name=name,
        names=(f"jeroboam/{name}:v1", f"jeroboam/{name}:latest"),
        version="",
        coes=(),
        size=1,
        created_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    )


def severities(findings: list[Finding]) -> dict[str, Severity]:
    return {finding.subject: finding.severity for finding in findings}


async def test_the_engine_and_its_cgroups(folder: pathlib.Path) -> None:
    engine, cgroups = describe_engine(await facts_of(folder))
    assert engine == Finding(
        subject="Docker Engine",
        severity=OK,
        message=f"20.10.24 (API 1.41) at unix://{folder}/engine.sock, overlay2",
    )
    assert (cgroups.severity, cgroups.message) == (OK, "version 2, driver systemd")
    _, confined = describe_engine(await facts_of(folder, CgroupDriver="none"))
    assert (confined.severity, "run the Engine as root" in confined.message) == (NOTE, True)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["swarm-node", "kubernetes-node", "load-balancer"], (OK, OK, OK)),
        (["swarm-node"], (OK, NOTE, NOTE)),
        (["load-balancer"], (PROBLEM, PROBLEM, OK)),
        ([], (PROBLEM, PROBLEM, NOTE)),
    ],
)
def test_each_image_by_name(names: list[str], expected: tuple[Severity, ...]) -> None:
    findings = check_images([image(name) for name in names], COES)
    assert [finding.subject for finding in findings] == [
        "image swarm-node",
        "image kubernetes-node",
        "image load-balancer",
    ]
    assert tuple(finding.severity for finding in findings) == expected
    for finding in findings:
        if finding.severity is OK:
            assert finding.message.endswith(":latest")
        else:
            assert re.search(r"`jeroboam node-image build (swarm|kubernetes|load-balancer)`", finding.message)


def test_only_images_of_the_chosen_coes_count() -> None:
    assert severities(check_images([image("swarm-node")], ["swarm"])) == {
        "image swarm-node": OK,
        "image load-balancer": NOTE,
    }


def test_ports_that_are_free_taken_or_the_services_own(folder: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        settings = load(None, state=str(folder / "state"), api__listen=address, keystone__listen="127.0.0.1:0")
        findings = check_ports(settings)
        assert [finding.severity for finding in findings] == [PROBLEM, OK]
        assert findings[0].message == "Address already in use: end what has it, or set [api] listen to another one"
        with StateFolder(settings.state):
            assert check_ports(settings)[0].message == "taken, by the service that runs on this state"
        assert StateFolder(settings.state).find_process() is None


async def test_disks(folder: pathlib.Path) -> None:
    assert severities(check_disks(folder / "not" / "yet", None)) == {"disk of the state": OK}
    # The Engine's folder counts only if the Engine says that it is on this machine.
    assert len(check_disks(folder, await facts_of(folder, DockerRootDir=str(folder)))) == 1
    local = await facts_of(folder, DockerRootDir=str(folder), Name=socket.gethostname())
    assert [finding.subject for finding in check_disks(folder, local)] == ["disk of the state", "disk of the Engine"]


@pytest.mark.parametrize(("free", "severity"), [(4096, OK), (2047, NOTE), (511, PROBLEM)])
def test_memory(free: int, severity: Severity) -> None:
    assert severities(check_memory(free)) == {"memory": severity}


def test_what_this_system_does_not_say_is_no_finding(tmp_path: pathlib.Path) -> None:
    assert check_memory(machine.read_free_memory(tmp_path / "none")) == []
    assert check_inotify(machine.read_inotify_limit("max_user_instances", tmp_path), None) == []


def test_limits_of_inotify(tmp_path: pathlib.Path) -> None:
    (tmp_path / "max_user_instances").write_text("128\n")
    [few] = check_inotify(machine.read_inotify_limit("max_user_instances", tmp_path), None)
    too_few = "too few for several Kubernetes nodes"
    assert (few.severity, few.message) == (
        NOTE,
        f"max_user_instances is 128: {too_few}; sudo sysctl fs.inotify.max_user_instances=512",
    )
    assert [finding.severity for finding in check_inotify(512, 65536)] == [OK, OK]


@pytest.mark.parametrize(
    ("seconds", "is_corrected", "severity"), [(1, True, OK), (1, None, OK), (1, False, NOTE), (60, True, PROBLEM)]
)
async def test_the_clock(folder: pathlib.Path, seconds: float, is_corrected: bool | None, severity: Severity) -> None:
    clock = ManualClock()
    stamp = (clock.now() + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    finding = check_clock(await facts_of(folder, SystemTime=stamp), clock, is_corrected=is_corrected)
    assert finding.severity is severity, finding


def test_times_of_an_engine() -> None:
    now = dt.datetime(2026, 11, 29, 12, 0, tzinfo=dt.UTC)
    assert machine.seconds_between(now, "2026-11-29T13:00:10.5+01:00") == pytest.approx(10)
    assert machine.seconds_between(now, "2026-11-29T12:00:00Z") == 0
    assert machine.seconds_between(now, "") is None
    assert machine.seconds_between(now, "2026-11-29T12:00:00") is None


async def test_a_service_without_docker_needs_no_engine(folder: pathlib.Path) -> None:
    config = folder / "jeroboam.conf"
    config.write_text(f"[docker]\nurl = unix://{folder}/none.sock\n")
    assert isinstance(await find_engine_fault(load(config)), EngineSocketMissing)
    config.write_text(
        f"[docker]\nurl = unix://{folder}/none.sock\n[clusters]\nproviders = fake\n[containers]\nruntime = fake\n"
    )
    assert await find_engine_fault(load(config)) is None


async def test_a_sound_machine_has_no_problem(folder: pathlib.Path) -> None:
    labels = {"jeroboam.node-image": "swarm-node", "jeroboam.coes": "swarm"}
    summary = {"Id": "sha256:1", "RepoTags": ["jeroboam/swarm-node:latest"], "Labels": labels, "Size": 1, "Created": 1}
    now = f"{SystemClock().now():%Y-%m-%dT%H:%M:%S.%fZ}"
    config = folder / "jeroboam.conf"
    words = ["doctor", "--output", "json", "--config", str(config), "--state", str(folder / "state")]
    async with serve_engine(folder / "engine.sock", info={**INFO, "SystemTime": now}, images=[summary]) as url:
        config.write_text(
            f"[docker]\nurl = {url}\n[api]\nlisten = 127.0.0.1:0\n[keystone]\nlisten = 127.0.0.1:0\n"
            "[clusters]\nproviders = fake\ndefault_provider = fake\ncoes = swarm\n"
        )
        done = await asyncio.to_thread(CliRunner().invoke, app, words)
    found = {finding["subject"]: finding["severity"] for finding in json.loads(done.output)}
    expected = {"Docker Engine": "ok", "cgroups": "ok", "image swarm-node": "ok", "registry": "ok"}
    assert {subject: found[subject] for subject in expected} == expected
    assert found["clock"] != "no"
    # Memory and disk are those of the machine that tests.
    assert {subject for subject, mark in found.items() if mark == "no"} <= {"memory", "disk of the state"}
    assert done.exit_code == int("no" in found.values())


def test_the_command_says_why_no_engine_answers_and_fails(folder: pathlib.Path) -> None:
    config = folder / "jeroboam.conf"
    config.write_text(
        f"[docker]\nurl = unix://{folder}/none.sock\n[api]\nlisten = 127.0.0.1:0\n[keystone]\nlisten = 127.0.0.1:0\n"
    )
    words = ["doctor", "--config", str(config), "--state", str(folder / "state")]
    done = CliRunner().invoke(app, [*words, "--output", "json"])
    findings = json.loads(done.output)
    assert done.exit_code == 1
    assert findings[0]["subject"] == "Docker Engine"
    assert findings[0]["severity"] == "no"
    assert "\n" in findings[0]["message"]
    assert {"memory", "clock", "disk of the state"} <= {finding["subject"] for finding in findings}
    # An option's group is no markup of the table.
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 1
    assert "[docker] url" in shown.output


async def test_checks_that_take_long_are_no_difference_of_clocks(folder):
    late: list[bool] = []

    class SlowImage(dict):
        def items(self):
            late.append(True)
            return super().items()

    class LateClock(SystemClock):
        def now(self):
            return super().now() + dt.timedelta(minutes=len(late))

    clock = LateClock()
    info = {**INFO, "SystemTime": clock.now().isoformat()}
    async with serve_engine(folder / "engine.sock", info=info, images=[SlowImage(Id="sha256:1")]) as url:
        settings = replace(load(None, state=folder / "state"), docker_url=url)
        finding = (await examine(settings, clock))[-1]
    assert finding.subject == "clock"
    assert late
    assert "apart" not in finding.message


def test_no_finding_has_a_line_break(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    done = CliRunner().invoke(app, ["doctor", "--state", str(tmp_path)])
    [line] = [line for line in done.stdout.splitlines() if "unset DOCKER_HOST" in line]
    assert "\\n" not in line
