"""What an operator can mend ends the start with one line that says so, and with no traceback."""

import asyncio
import contextlib
import pathlib
import sqlite3
import sys

import pytest


async def up(folder: pathlib.Path, conf: str = "") -> tuple[int, str]:
    """Exit status and output of a start that is to fail."""
    config = folder / "jeroboam.conf"
    config.write_text(f"[keystone]\nlisten = 127.0.0.1:0\n[api]\nlisten = 127.0.0.1:0\n{conf}")
    program = pathlib.Path(sys.executable).with_name("jeroboam")
    process = await asyncio.create_subprocess_exec(
        program,
        *("up", "--state", folder / "state", "--config", config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, " ".join(output.decode().split())


@pytest.mark.docker
async def test_keys_that_others_may_read(tmp_path: pathlib.Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "secrets.key").touch(mode=0o644)
    status, said = await up(tmp_path)
    assert status == 1
    assert "jeroboam: key file" in said
    assert "Traceback" not in said


@pytest.mark.docker
async def test_a_policy_file_that_is_not_there(tmp_path: pathlib.Path) -> None:
    status, said = await up(tmp_path, "policy_file = /nowhere/policy.yaml\n")
    assert status == 1
    assert "jeroboam: there is no policy file /nowhere/policy.yaml" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ('"cluster:creat": "role:admin"', 'rule "cluster:creat": nothing asks for a rule of that name'),
        ('"cluster:create": "role:admin or"', """rule "cluster:create": 'role:admin or' cannot be parsed"""),
    ],
)
async def test_a_policy_rule_that_cannot_be(tmp_path: pathlib.Path, rule: str, fault: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(rule)
    status, complaint = await up(tmp_path, f"policy_file = {policy}\n")
    assert status == 1
    assert f"jeroboam: policy file {policy}: {fault}" in complaint
    assert "Traceback" not in complaint


async def test_a_database_of_a_later_version(tmp_path: pathlib.Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(state / "jeroboam.db")) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
        database.commit()
    status, complaint = await up(tmp_path)
    assert status == 1
    assert f"jeroboam: {state}/jeroboam.db: the database has version 9999, and this program knows none" in complaint
    assert "Traceback" not in complaint


async def test_an_option_that_cannot_be(tmp_path: pathlib.Path) -> None:
    status, said = await up(tmp_path, "max_limit = zero\n")
    assert status == 1
    assert said.startswith("jeroboam: ")
    assert "max_limit" in said
    assert not (tmp_path / "state").exists()


@pytest.mark.docker
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limits: [{name: a, max_nodes: 3}]", "unknown field `max_nodes` - at `$.limits[0]`"),
        ("limits: [", "while parsing a flow node"),
        ("limits: [{name: a, cluster_name: '('}]", "limit a: cluster_name: '(' is no regular expression"),
    ],
)
async def test_limits_that_cannot_be(tmp_path: pathlib.Path, text: str, said: str) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text(text)
    status, complaint = await up(tmp_path, f"limits_file = {limits}\n")
    assert status == 1
    assert "jeroboam: limits file " in complaint
    assert said in complaint
    assert "Traceback" not in complaint


@pytest.mark.docker
async def test_an_audit_file_that_cannot_be_written(tmp_path: pathlib.Path) -> None:
    status, said = await up(tmp_path, f"audit_file = {tmp_path}/none/audit.json\n")
    assert status == 1
    assert "jeroboam: [api] audit_file: cannot write" in said
    assert "Traceback" not in said
