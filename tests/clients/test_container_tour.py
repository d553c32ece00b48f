"""A tour of `openstack appcontainer` on a real Engine: terminals, files, rebuilds, history."""

import asyncio
import contextlib
import json
import pathlib
import time

import pytest

from tests.clients.openstack_shell import Shell
from tests.clients.terminal import Terminal
from tests.fault.installation import Installation

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SECONDS = 60.0
LONGER_THAN_A_PING = 22.0


@pytest.fixture(scope="module")
def installation(tmp_path_factory, busybox):
    made = Installation(tmp_path_factory.mktemp("tour"))
    asyncio.run(made.up())
    yield made
    made.down()


@pytest.fixture(scope="module")
def member(installation):
    shell = Shell(installation.state, "jeroboam")
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def box(member, busybox):
    """A container with a shell in a terminal."""
    member(f"appcontainer create --name box --interactive --cpu 0.5 --memory 64 {busybox} sh")
    until(member, "box", "Created")
    member("appcontainer start box")
    until(member, "box", "Running")
    return "box"


def until(member, name: str, status: str) -> dict:
    deadline = time.monotonic() + SECONDS
    while (shown := member.json(f"appcontainer show {name}"))["status"] != status:
        assert time.monotonic() < deadline, shown
        assert shown["status"] != "Error", shown
        time.sleep(0.1)
    return shown


@contextlib.contextmanager
def typing(installation, *arguments: str, **size: int):
    terminal = Terminal(installation.state, "appcontainer", *arguments, **size)
    try:
        yield terminal
    finally:
        terminal.close()


def test_attach_in_a_terminal(installation, box):
    with typing(installation, "attach", box, rows=33, columns=101) as terminal:
        terminal.wait_for("press Enter to continue")
        terminal.wait_for_prompt()
        terminal.type("stty size\r")
        terminal.wait_for("33 101")
        terminal.set_size(40, 120)
        terminal.notify_size()
        terminal.type("until stty size | grep '40 120'; do sleep 0.1; done\r")
        terminal.wait_for("\n40 120")


def test_exec_in_a_terminal(installation, box):
    with typing(installation, "exec", "--interactive", box, "sh") as terminal:
        terminal.wait_for("press Enter to continue")
        terminal.wait_for_prompt()
        # The published client blocks for good when something comes that is no output, such as a ping of the WebSocket.
        time.sleep(LONGER_THAN_A_PING)
        terminal.type("echo héllo $((6*7))\r")
        terminal.wait_for("héllo 42")
        terminal.type("exit 0\r")
        assert terminal.wait_end() == 0


def test_run_interactive(installation, busybox):
    with typing(installation, "run", "--name", "talk", "--interactive", "--memory", "64", busybox, "sh") as terminal:
        terminal.wait_for("press Enter to continue")
        terminal.wait_for_prompt()
        terminal.type("echo talk $((40+2))\r")
        terminal.wait_for("talk 42")
        terminal.type("exit\r")
        assert terminal.wait_end() == 0


def test_files_go_in_and_come_out(member, box, tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_bytes(bytes(range(256)) * 4096)
    (folder / "script").write_text("#!/bin/sh\n")
    (folder / "script").chmod(0o751)
    (folder / "link").symlink_to("deep/file")
    member(f"appcontainer cp {folder} {box}:/tmp")
    assert "751" in member(f"appcontainer exec {box} stat -c %a /tmp/folder/script")
    back = tmp_path / "back"
    back.mkdir()
    member(f"appcontainer cp {box}:/tmp/folder {back}")
    assert (back / "folder" / "deep" / "file").read_bytes() == bytes(range(256)) * 4096
    assert (back / "folder" / "link").readlink() == pathlib.Path("deep/file")
    assert (back / "folder" / "script").stat().st_mode & 0o777 == 0o751
    assert "nowhere" in member.refused(f"appcontainer cp {box}:/nowhere {back}")


def test_rebuild_and_history(member, box, busybox):
    before = member.json(f"appcontainer show {box}")
    member(f"appcontainer exec {box} touch /made")
    member(f"appcontainer rebuild --image {busybox} {box}")
    until(member, box, "Running")
    assert "No such file" in member.run(f"appcontainer exec {box} ls /made")["out"]
    assert member.json(f"appcontainer show {box}")["uuid"] == before["uuid"]
    actions = member.json(f"appcontainer action list {box}")
    assert [action["action"] for action in actions][:3] == ["rebuild", "start", "create"]
    one = member.json(f"appcontainer action show {box} {actions[0]['request_id']}")
    assert json.loads(json.dumps(one))["events"][0]["result"] == "Success"


def test_nothing_of_the_tour_is_left(member, installation):
    member("appcontainer delete --stop box talk")
    deadline = time.monotonic() + SECONDS
    while member.json("appcontainer list"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "token=" not in pathlib.Path(installation.log).read_text()
    installation.clean = True
