"""A PostgreSQL server of the tests' own: on loopback, in a folder that goes away, with no fsync."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator

import asyncpg

PROGRAMS = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))


def _as_server(*command: str) -> list[str]:
    """The server refuses to run as root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.getuid() == 0 else list(command)


class Server:
    """A server that can be stopped, started again and made to hang."""

    def __init__(self, home: pathlib.Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"postgresql+asyncpg://jeroboam@127.0.0.1:{port}/"
        """Without a database."""
        self._home, self._data = home, home / "data"
        self._options = f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -c unix_socket_directories={home}"
        self._run("initdb", "-A", "trust", "-U", "jeroboam", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        command = _as_server(str(PROGRAMS[-1] / program), "-D", str(self._data), *arguments)
        done = subprocess.run(command, cwd=self._home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        self._run("pg_ctl", "-w", "-l", str(self._home / "log"), "-o", self._options, "start")

    def stop(self) -> None:
        """At once: connections break."""
        self._run("pg_ctl", "-m", "immediate", "stop")

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """The server keeps its connections and answers nothing."""
        main = int((self._data / "postmaster.pid").read_text().split()[0])
        children = pathlib.Path(f"/proc/{main}/task/{main}/children").read_text().split()
        processes = [main, *map(int, children)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server, until the end of the block."""
    assert PROGRAMS, "PostgreSQL is not installed: `make install` does it"
    home = pathlib.Path("/tmp") / f"jeroboam-pg-{uuid.uuid4().hex[:8]}"  # a path that the server's user may enter
    home.mkdir()
    if os.getuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    try:
        server = Server(home)
        server.start()
        try:
            yield server
        finally:
            server.stop()
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
