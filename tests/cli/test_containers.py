"""`jeroboam run`, `ps`, `logs`, `exec`, `rm` at a real API with an agent on a fake runtime."""

import asyncio
import json
import sys

import pytest
from typer.testing import CliRunner

from jeroboam.cli import app
from jeroboam.cli.own_command import find_program
from jeroboam.domain.errors import Permanent
from jeroboam.domain.streams import CloseReason, StreamEnding
from jeroboam.runtimes.fake import InjectedFault


async def test_the_life_of_a_container(cli, service):
    uuid, name = (await cli("run --name box -e A=b=c -m 64 --cpu 0.5 -w /srv busybox sleep --help")).split()
    assert name == "box"
    [shown] = json.loads(await cli("ps -o json"))
    assert (shown["uuid"], shown["status"]) == (uuid, "Running")
    assert (shown["command"], shown["environment"]) == (["sleep", "--help"], {"A": "b=c"})
    head, row = (await cli("ps")).splitlines()
    assert head.split() == ["NAME", "UUID", "STATUS", "IMAGE", "ADDRESSES"]
    assert row.split()[:4] == ["box", uuid, "Running", "busybox"]

    service.runtime.printed[uuid] += ["one\n", "two\n"]
    assert await cli("logs box") == "one\ntwo\n"
    assert await cli("logs box --tail 1") == "two\n"
    assert await cli("exec box sh -c 'echo $A; ls -l'") == "sh -c echo $A; ls -l"

    assert await cli("exec box -- ls -l") == "ls -l"
    assert await cli("exec box env -- ls") == "env -- ls"

    assert await cli("rm --force box") == "box\n"
    assert json.loads(await cli("ps -o json")) == []


async def test_a_container_that_runs_is_not_removed_by_chance(cli):
    await cli("run --name box busybox")
    assert (
        await cli.refused("rm box")
        == f"jeroboam: box: it runs; to stop it first: {find_program('jeroboam')} rm --force box"
    )
    assert len(json.loads(await cli("ps -o json"))) == 1


async def test_of_several_those_that_can_be_removed_are(cli):
    for name in ("one", "two", "runs"):
        await cli(f"run --name {name} busybox")
    done = await cli.run("rm --force one nope two")
    assert (done.status, done.out) == (1, "one\ntwo\n")
    assert done.err == "jeroboam: looking for container nope: Container nope could not be found.\n"
    done = await cli.run("rm nope runs")
    assert (done.status, done.err.count("\n")) == (1, 2)
    assert [container["name"] for container in json.loads(await cli("ps -o json"))] == ["runs"]


class Gate(asyncio.Event):
    """Tells when so many wait at it."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.is_full = asyncio.Event()
        self._missing = count

    async def wait(self) -> bool:
        self._missing -= 1
        if self._missing == 0:
            self.is_full.set()
        return await super().wait()


async def test_all_are_asked_to_go_before_one_is_waited_for(cli, service):
    for name in ("one", "two"):
        await cli(f"run --name {name} busybox")
    gate = Gate(2)
    for method in ("stop", "kill", "remove"):
        service.runtime.misbehave(method, InjectedFault(gate=gate))
    removal = asyncio.ensure_future(cli("rm --force one two"))
    await asyncio.wait_for(gate.is_full.wait(), 30)
    gate.set()
    assert await removal == "one\ntwo\n"


@pytest.mark.parametrize(("size", "mebibytes"), [("64", 64), ("64m", 64), ("1g", 1024), ("1GiB", 1024), ("1.5G", 1536)])
async def test_a_size_of_memory_may_have_a_unit(cli, size, mebibytes):
    await cli(f"run --name box --memory {size} busybox")
    [shown] = json.loads(await cli("ps -o json"))
    assert shown["memory"] in (mebibytes, str(mebibytes), f"{mebibytes}M")


async def test_a_failure_is_told(cli, service):
    service.runtime.misbehave("create", InjectedFault(error=Permanent("no such image: nosuch")))
    done = await cli.run("run --name box nosuch")
    assert (done.status, done.err) == (1, "jeroboam: container box: no such image: nosuch\n")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("run -e A busybox", "--env A: NAME=VALUE is expected"),
        (
            "run -m much busybox",
            "--memory much: a size such as 512m, 1g or 1GiB is expected, or a number of MiB",
        ),
        ("logs nope", "reading the logs of container nope: Container nope could not be found."),
        ("rm nope", "looking for container nope: Container nope could not be found."),
        ("exec nope ls", "running a command in container nope: Container nope could not be found."),
    ],
)
async def test_what_is_refused_is_one_line(cli, line, reason):
    assert await cli.refused(line) == f"jeroboam: {reason}"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("run -d busybox", "No such option: -d; a container always runs in the background"),
        ("run --name box --detach busybox", "No such option: --detach; a container always runs in the background"),
        (
            "run -p 8080:80 busybox",
            "No such option: -p; no port is published; `jeroboam ps` shows the address of the container",
        ),
        ("run -it busybox sh", "No such option: -i; `jeroboam exec -it` has a terminal"),
        ("run --nonsense busybox", "No such option: --nonsense"),
        ("cluster scale dev -12", "-12: a number of 0 or more is expected"),
        ("kubectl --nonsense dev", "No such option: --nonsense"),
        ("cluster shell --nonsense node", "No such option: --nonsense"),
    ],
)
def test_an_option_that_is_not_there_is_no_image(line, reason):
    invoked = CliRunner().invoke(app, line.split(), prog_name="jeroboam")
    assert (invoked.exit_code, invoked.stderr.splitlines()[-1]) == (2, f"Error: {reason}")


async def test_the_printed_command_makes_the_same(cli):
    options = "-e A=b -m 64 --cpu 0.5 -w /srv --restart always busybox"
    printed = await cli(f"run --show-api --name one {options} sh -c 'echo $A'")
    assert json.loads(await cli("ps -o json")) == [], "nothing was made"
    await cli.openstack(printed)
    await cli(f"run --name two {options} sh -c 'echo $A'")
    containers = {item["name"]: item for item in json.loads(await cli("ps -o json"))}
    compared = ("image", "command", "environment", "cpu", "memory", "workdir", "restart_policy")
    assert {key: containers["one"][key] for key in compared} == {key: containers["two"][key] for key in compared}


async def test_behind_the_image_all_is_the_containers_own(cli):
    await cli("run --name box busybox app --show-api -o json")
    [shown] = json.loads(await cli("ps -o json"))
    assert shown["command"] == ["app", "--show-api", "-o", "json"]


async def test_the_other_printed_commands_are_taken(cli):
    await cli("run --name box busybox")
    for line in ("ps --show-api", "logs --show-api box --tail 5", "exec --show-api box ls -l", "rm --show-api -f box"):
        await cli.openstack(await cli(line))


async def type_at(cli, *words):
    """The command in a process of its own, which has an input."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jeroboam", *words),
        env=cli.environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_a_command_with_input(cli, service):
    uuid, _ = (await cli("run --name box busybox")).split()
    command = await type_at(cli, "exec", "-i", "box", "cat")
    command.stdin.write(b"through the container")
    assert await asyncio.wait_for(command.stdout.readexactly(21), 30) == b"through the container"
    [process] = service.runtime.programs.running[uuid]
    await process.finish(StreamEnding(reason=CloseReason.ENDED, exit_code=7))
    assert await asyncio.wait_for(command.wait(), 30) == 7


@pytest.mark.parametrize("content", [b"all of it\n" * 20_000, b""])
async def test_a_command_ends_with_its_input(cli, content):
    await cli("run --name box busybox")
    command = await type_at(cli, "exec", "-i", "box", "cat")
    out, err = await asyncio.wait_for(command.communicate(content), 30)
    assert (command.returncode, err, out == content) == (0, b"", True)


async def test_a_command_with_input_that_is_broken_off(cli, service):
    uuid, _ = (await cli("run --name box busybox")).split()
    command = await type_at(cli, "exec", "-i", "box", "flood", "10")
    assert await asyncio.wait_for(command.stdout.read(), 30) == b"x" * 10
    assert await command.wait() == 0
    command = await type_at(cli, "exec", "-i", "box", "cat")
    command.stdin.write(b"x")
    await command.stdout.read(1)
    [process] = service.runtime.programs.running[uuid]
    await process.finish(StreamEnding(reason=CloseReason.UNAVAILABLE, detail="the Engine is away"))
    _, err = await asyncio.wait_for(command.communicate(), 30)
    assert (command.returncode, err) == (1, b"jeroboam: running a command in container box: the Engine is away\n")


async def test_logs_are_followed(cli, service):
    uuid, _ = (await cli("run --name box busybox")).split()
    service.runtime.print_output(uuid, "one\n")
    command = await type_at(cli, "logs", "-f", "box")
    assert await asyncio.wait_for(command.stdout.readline(), 30) == b"one\n"
    service.runtime.print_output(uuid, "two\n")
    service.runtime.end(uuid)
    assert await asyncio.wait_for(command.stdout.read(), 30) == b"two\n"
    assert await command.wait() == 0


async def test_what_needs_a_terminal_says_so(cli):
    await cli("run --name box busybox")
    assert await cli.refused("exec -t box sh") == "jeroboam: -t: this is no terminal; -i alone passes the input on"
    assert await cli.refused("logs -f nope") == (
        "jeroboam: following the logs of container nope: Container nope could not be found."
    )
    assert await cli.refused("exec -i nope cat") == (
        "jeroboam: running a command in container nope: Container nope could not be found."
    )
