"""The tools of `make demo` when a step fails or the user stops it. The program `jeroboam` is a script here."""

import os
import pathlib
import signal
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SERVICE = """\
#!/bin/sh
echo $$ >{pid}
trap 'echo drained; exit 0' TERM
echo a line of the log
echo jeroboam is up
while :; do sleep 0.05; done
"""
BUILD = """\
#!/bin/sh
echo $$ >{pid}
echo "kube v1: 1 of 2, about 5 min left …"
{does}
"""

CLIENT = """\
#!{python}
import subprocess, sys
for line in sys.stdin:
    if line.startswith("!"):
        subprocess.run(line[1:], shell=True)
    else:
        print("answer to", line.strip())
"""


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """The tools, with programs of this test and the folder for temporary files in it."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import stage

    for name in ("bin", "kept", "jeroboam-demo-1"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(stage, "BIN", tmp_path / "bin")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "kept"))
    return stage


def write_program(tmp_path, text: str, **values: str) -> pathlib.Path:
    pid = tmp_path / "pid"
    program = tmp_path / "bin" / "jeroboam"
    program.write_text(text.format(pid=pid, **values))
    program.chmod(0o755)
    return pid


def is_running(pid: pathlib.Path) -> bool:
    return pathlib.Path("/proc", pid.read_text().strip()).exists()


def test_a_step_that_fails_keeps_the_log_and_shows_none_of_it(tmp_path, stage, capsys):
    pid = write_program(tmp_path, SERVICE)
    with pytest.raises(stage.StepFailed, match="no token"), stage.service(tmp_path / "jeroboam-demo-1" / "state"):
        assert is_running(pid)
        raise stage.StepFailed("no token")
    kept = tmp_path / "kept" / "jeroboam-demo-1.log"
    assert "a line of the log" in kept.read_text()
    assert capsys.readouterr().out == f"the log of the service is kept in {kept}\n"
    assert not is_running(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_service_and_leaves_nothing(tmp_path, stage, capsys, number):
    pid = write_program(tmp_path, SERVICE)
    with (
        pytest.raises(KeyboardInterrupt),
        stage.end_on_signals(),
        stage.service(tmp_path / "jeroboam-demo-1" / "state"),
    ):
        signal.raise_signal(number)
    assert not is_running(pid)
    assert capsys.readouterr().out == ""
    assert "drained" in (tmp_path / "jeroboam-demo-1" / "up.log").read_text()


def test_a_build_that_fails_or_is_stopped(tmp_path, stage, monkeypatch, capsys):
    import demo_kubernetes

    monkeypatch.setattr(demo_kubernetes, "BIN", tmp_path / "bin")
    write_program(tmp_path, BUILD, does="echo 'jeroboam: no room' >&2; exit 1")
    build = demo_kubernetes.ImageBuild()
    with pytest.raises(stage.StepFailed, match="its last lines above say why"):
        try:
            build.wait()
        finally:
            build.stop()
    shown = capsys.readouterr().out
    assert "node image | kube v1: 1 of 2, about 5 min left …" in shown
    assert "node image | jeroboam: no room" in shown

    pid = write_program(tmp_path, BUILD, does="exec sleep 600")
    pid.unlink()
    build = demo_kubernetes.ImageBuild()
    build.stop()
    assert not pid.exists() or not is_running(pid)


def test_the_demonstration_says_how_to_go_on(stage, capsys):
    import demo

    assert demo._end_early(has_image=False) == 1
    assert capsys.readouterr().out == "run it again: make demo-quick\n"
    assert demo._end_early(has_image=True) == 1
    assert capsys.readouterr().out == "run it again: make demo; what was finished of the node image is kept\n"


def test_what_the_client_printed_belongs_to_its_command_whatever_the_machine_buffers(tmp_path, stage):
    program = tmp_path / "bin" / "openstack"
    program.write_text(CLIENT.format(python=sys.executable))
    program.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    client = stage.OpenStack(environment)
    assert [client.quietly("list"), client.quietly("show")] == ["answer to list\n", "answer to show\n"]
    client.close()
