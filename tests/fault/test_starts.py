"""Starting, ending and starting again: nothing that was made minds, and no half-made state is in the way."""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import sqlite3
import time

import pytest

from tests.fault.engine import things
from tests.fault.installation import until

pytestmark = [pytest.mark.docker, pytest.mark.slow]

DRAINED_SECONDS = 5.0


async def ends(installation) -> tuple[int, str]:
    """Another process on the same state and ports: its exit status and what it said."""
    begin = installation.log.stat().st_size if installation.log.exists() else 0
    status = await asyncio.to_thread(installation.spawn().wait, 30)
    return status, " ".join(installation.said(begin).split())


async def test_a_second_one_on_the_same_state_is_refused(shared):
    status, said = await ends(shared)
    assert status == 1
    assert f"another jeroboam (process {shared.process.pid}) uses the state in" in said
    assert "Traceback" not in said
    await shared.good("GET", "/container/v1/containers")
    shared.clean = True


async def test_a_port_that_is_taken_is_named(own):
    for number, option in enumerate(("api", "keystone")):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            own.ports = tuple(f"127.0.0.1:{port if number == place else 0}" for place in (0, 1))
            status, said = await ends(own)
        assert status == 1, option
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in said
        assert "Traceback" not in said


async def settled(installation, cluster: str, container: str):
    async def look():
        shown = await installation.good("GET", f"/container-infra/v1/clusters/{cluster}")
        run = await installation.good("GET", f"/container/v1/containers/{container}")
        return (shown["status"], run["status"], run["task_state"]) == ("CREATE_COMPLETE", "Running", None)

    await until(look)


async def test_it_drains_and_the_next_one_takes_over(shared, engine):
    cluster = await shared.cluster("stays")
    container = await shared.container("stays", "sleep", "600")
    # Ended in the midst of making both, and again when both are there.
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        began = time.monotonic()
        shared.process.send_signal(signal_number)
        assert await asyncio.to_thread(shared.process.wait, 30) == 0
        assert time.monotonic() - began < DRAINED_SECONDS
        before = await things(engine, shared.id)
        await shared.up()
        await settled(shared, cluster, container)
        after = await things(engine, shared.id)
        kept = {found["Id"] for found in [*before.nodes.get(cluster, []), *before.containers.get(container, [])]}
        running = [*after.nodes[cluster], *after.containers[container]]
        assert kept <= {found["Id"] for found in running}
        assert [found["State"] for found in running] == ["running"] * 3
    assert len(kept) == 3
    assert {found["Id"]: found["Created"] for found in before.nodes[cluster]} == {
        found["Id"]: found["Created"] for found in after.nodes[cluster]
    }
    await shared.good("DELETE", f"/container-infra/v1/clusters/{cluster}")
    await shared.good("DELETE", f"/container/v1/containers/{container}?stop=true")


def children(state: pathlib.Path) -> list[str]:
    """Processes that work on that state, whoever started them."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                said = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(state) in said:
                found.append(said)
    return found


async def test_one_that_is_killed_as_it_starts_leaves_nothing_in_the_way(own):
    async def keystone():
        return any("keystone_child" in said for said in children(own.state))

    for seconds in (0.5, None, 1.5, 2.5, 4.0):
        process = own.spawn()
        if seconds is None:
            # Its child is there and has done nothing yet.
            await until(keystone)
        else:
            await asyncio.sleep(seconds)
        process.kill()
        process.wait()

        async def alone():
            return not children(own.state)

        await until(alone, 20, what=lambda: children(own.state))
    await own.up()
    templates = (await own.good("GET", "/container-infra/v1/clustertemplates"))["clustertemplates"]
    assert sorted(template["name"] for template in templates) == ["kubernetes", "swarm"]


async def test_a_keystone_that_dies_is_started_again(shared):
    children = pathlib.Path(f"/proc/{shared.process.pid}/task/{shared.process.pid}/children")
    (keystone,) = map(int, children.read_text().split())
    os.kill(keystone, signal.SIGKILL)
    async with asyncio.timeout(30):
        assert await shared.token(), "who logs in meanwhile waits, and is answered"
    assert children.read_text().split() != [str(keystone)]
    await shared.good("GET", "/container/v1/containers")
    shared.clean = True


@pytest.mark.security
async def test_what_lies_in_the_state_is_its_owners_alone(own):
    await own.up()
    files = [path for path in own.state.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 10
    assert [path for path in files if path.stat().st_mode & 0o077] == []
    passwords = json.loads((own.state / "passwords.json").read_text()).values()
    (keystone,) = pathlib.Path(f"/proc/{own.process.pid}/task/{own.process.pid}/children").read_text().split()
    for number in (keystone, own.process.pid):
        for name in ("environ", "cmdline"):
            shown = pathlib.Path(f"/proc/{number}/{name}").read_text(errors="replace")
            assert not [word for word in passwords if word in shown], (number, name)
    await own.stop()
    # What was left open to others, by a copy perhaps, is closed at the next start.
    (own.state / "jeroboam.db").chmod(0o644)
    await own.up()
    assert (own.state / "jeroboam.db").stat().st_mode & 0o077 == 0
    await own.stop()

    installation = own.state / "installation"
    name = installation.read_text()
    for junk in ("", "\n", "none\n", "\xff\xfe", None):
        if junk is None:
            installation.unlink()
        else:
            installation.write_text(junk)
        status, words = await ends(own)
        assert status == 1
        assert str(installation).replace("/", "") in words.replace("/", "").replace(" ", "")
        assert "Traceback" not in words
    installation.write_text(name)

    key = own.state / "secrets.key"
    with contextlib.closing(sqlite3.connect(own.state / "jeroboam.db")) as database:
        database.execute(
            "INSERT INTO certificate (cluster_id, kind, pem, sealed_key, created_at) VALUES (?, ?, ?, ?, ?)",
            ("c", "main", "", b"\x01" + b"x" * 40, "2026-01-01 00:00:00"),
        )
        database.commit()
        kept = key.read_bytes()
        key.unlink()
        status, words = await ends(own)
        assert status == 1
        assert "1 of 1 keys of clusters were sealed with a key that is not in it" in words
        assert "Traceback" not in words
        database.execute("DELETE FROM certificate")
        database.commit()
    key.write_bytes(kept)


async def test_a_file_that_cannot_be_used_is_named(own):
    own.state.mkdir(mode=0o700)
    for name in ("jeroboam.db", "agent.db", "passwords.json"):
        file = own.state / name
        kept = file.read_bytes() if file.exists() else None
        file.write_bytes(b"\x00junk" * 1000)
        status, words = await ends(own)
        assert status == 1
        assert str(file).replace("/", "") in words.replace("/", "").replace(" ", "")
        assert "Traceback" not in words
        for left in own.state.glob(f"{name}*"):
            left.unlink()
        if kept is not None:
            file.write_bytes(kept)
    own.config.write_text("[database]\nconnection = postgresql+asyncpg://user:secretpw@127.0.0.1:1/none\n")
    status, words = await ends(own)
    assert status == 1
    name = "postgresql+asyncpg://user:***@127.0.0.1:1/none"
    assert f"{name}: the database does not work: it does not answer" in words
    assert "secretpw" not in words
    own.config.write_text("")
