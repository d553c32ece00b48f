"""A PostgreSQL server of the tests' own: on loopback, in a folder that goes away, with no fsync."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator

import asyncpg

PROGRAMS = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))


def _as_server(*command: str) -> list[str]:
    """The server refuses to run as root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.getuid() == 0 else list(command)


def _run(*command: str, cwd: pathlib.Path) -> None:
    done = subprocess.run(_as_server(*command), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def running_server(folder: pathlib.Path) -> Iterator[str]:
    """A running server's URL, without a database."""
    assert PROGRAMS, "PostgreSQL is not installed: `make install` does it"
    programs = PROGRAMS[-1]
    home = pathlib.Path("/tmp") / f"jeroboam-pg-{uuid.uuid4().hex[:8]}"  # a path that the server's user may enter
    home.mkdir()
    if os.getuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = home / "data"
    try:
        _run(str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "jeroboam", "--no-sync", cwd=home)
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -c unix_socket_directories={home}"
        start = [str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(home / "log"), "-o", options, "start"]
        _run(*start, cwd=home)
        try:
            yield f"postgresql+asyncpg://jeroboam@127.0.0.1:{port}/"
        finally:
            _run(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop", cwd=home)
    finally:
        shutil.rmtree(home)


@contextlib.asynccontextmanager
async def database(server: str) -> AsyncIterator[str]:
    """A fresh database on that server."""
    name = f"t{uuid.uuid4().hex[:12]}"
    admin = server.replace("+asyncpg", "") + "postgres"
    connection = await asyncpg.connect(admin)
    await connection.execute(f"CREATE DATABASE {name}")
    try:
        yield server + name
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()
