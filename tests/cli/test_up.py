"""The command as a program, with `jeroboam up` on fakes and its own Keystone: who one is; a service that is down."""

import asyncio
import json
import os
import pathlib
import re
import socket
import sys

import pytest

from jeroboam.cli.own_command import find_program
from tests.cli.rig import Done
from tests.fault.installation import Installation

PROGRAM = pathlib.Path(sys.executable).with_name("jeroboam")
CONFIG = """
[clusters]
providers = fake
coes = fake
default_provider = fake
[containers]
runtime = fake
"""

START = "start one with: jeroboam up (or name its folder: --state DIR)"


async def run(state: pathlib.Path, line: str, **environment: str) -> Done:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *line.split(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=kept | {"OS_DEFAULT__STATE": str(state)} | environment,
    )
    out, err = await process.communicate()
    return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def installation(tmp_path):
    installation = Installation(tmp_path, CONFIG)
    await installation.up()
    yield installation
    installation.kill()


@pytest.mark.slow
async def test_the_member_of_this_machine_and_a_service_that_goes_down(installation):
    state = installation.state
    made = await run(state, "run --name box busybox")
    assert (made.status, made.err) == (0, "")
    listed = await run(state, "ps -o json")
    assert [item["name"] for item in listed.json()] == ["box"]
    assert (await run(state, "cluster list -o json")).json() == []

    up = (await run(state, "status -o json")).json()
    assert up["service"]["status"] == "up"
    assert up["service"]["process"] == str(installation.process.pid)
    assert [item["name"] for item in up["containers"]] == ["box"]
    text = await run(state, "status")
    assert text.out.splitlines()[0] == f"service: up (process {installation.process.pid}, {up['service']['api']})"
    assert up["containers"][0]["uuid"] in text.out

    assert await installation.stop() == 0
    start = f"{find_program('jeroboam')} up --state {state}"
    for line in ("ps", "cluster create dev"):
        done = await run(state, line)
        down = f"service: down: nothing answers at http://{installation.ports[1]}; start it with: {start}"
        assert (done.status, done.out, done.err) == (1, "", f"jeroboam: {down}\n")
    text = await run(state, "status")
    assert text.out.splitlines()[0] == f"service: down (start it with: {start})"
    assert (await run(state, "status -o json")).json()["service"]["process"] is None


async def test_without_an_installation_and_without_os_variables_a_line_says_so(tmp_path):
    done = await run(tmp_path / "a folder with a long name that no terminal has room for in one line", "ps")
    assert done.status == 1
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert re.match(r"jeroboam: there is no installation in .+; start one with: .*jeroboam up --state ", done.err)
    assert "OS_CLOUD" in done.err


async def test_what_needs_the_installation_names_the_option_for_its_folder(tmp_path):
    done = await run(tmp_path, "status")
    assert done.err == f"jeroboam: there is no installation in {tmp_path}; {START}\n"


async def test_another_cloud_that_is_down_is_not_for_us_to_start(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    clouds = tmp_path / "clouds.yaml"
    address = f"http://cloud.invalid:{port}"
    auth = {"auth_url": f"{address}/v3", "username": "a", "password": "b", "project_name": "c"}
    auth |= {"user_domain_name": "Default", "project_domain_name": "Default"}
    clouds.write_text(json.dumps({"clouds": {"far": {"auth": auth}}}))
    done = await run(tmp_path, "cluster list", OS_CLOUD="far", OS_CLIENT_CONFIG_FILE=str(clouds))
    assert (done.status, done.err) == (1, f"jeroboam: service: down: nothing answers at {address}\n")
