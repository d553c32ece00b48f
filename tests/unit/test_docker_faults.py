"""What stands between a user and the Docker Engine: found out on real sockets, and said with what to do about it."""

import os
import pathlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace

import aiodocker
import pytest

from jeroboam.cli.engine import UserContext, describe_engine_fault
from jeroboam.clients.docker import connect, translate_errors
from jeroboam.clients.docker_engine import read_engine
from jeroboam.clients.docker_faults import (
    EngineAccessDenied,
    EngineAddressInvalid,
    EngineNotRunning,
    EngineSilent,
    EngineSocketMissing,
    EngineTooOld,
    EngineUnreachable,
)
from jeroboam.domain.errors import DriverError, Permanent, Temporary
from tests.unix_engine import VERSION, serve_engine, serve_silence

NOBODY = 65534
ANN = UserContext(name="ann", is_root=False, groups=["ann"], members=[], docker_host="", has_engine=True)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def path() -> Iterator[pathlib.Path]:
    """A socket's path that is short, and in a folder that everybody may enter."""
    folder = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder / "engine.sock"
    shutil.rmtree(folder)


async def read(url: str | None) -> None:
    await read_engine(url, answer_seconds=5)


async def test_an_engine_that_answers(path: pathlib.Path) -> None:
    async with serve_engine(path) as url:
        facts = await read_engine(url, answer_seconds=5)
    assert (facts.version, facts.api_version, facts.address) == ("20.10.24", "1.41", url)
    assert (facts.cgroup_version, facts.cgroup_driver, facts.host) == ("2", "systemd", "machine")
    assert not facts.is_local


async def test_no_socket(path: pathlib.Path) -> None:
    with pytest.raises(EngineSocketMissing) as raised:
        await read(f"unix://{path}")
    assert raised.value.address == f"unix://{path}"
    assert describe_engine_fault(raised.value, ANN) == (
        f"there is no socket {path}, which [docker] url or the context of `docker` names.\n"
        "Correct it, or start the Engine that listens there"
    )


async def test_a_socket_on_which_nobody_listens(path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    with pytest.raises(EngineNotRunning) as raised:
        await read(f"unix://{path}")
    assert describe_engine_fault(raised.value, ANN) == (
        f"the Docker Engine is installed and does not run (nothing listens on {path}).\n"
        "Start it: sudo systemctl start docker"
    )


async def test_a_socket_that_this_user_may_not_use(path: pathlib.Path) -> None:
    user = os.geteuid()
    async with serve_engine(path) as url:
        path.chmod(0)
        # No mode keeps root out.
        os.seteuid(user or NOBODY)
        try:
            with pytest.raises(EngineAccessDenied) as raised:
                await read(url)
        finally:
            os.seteuid(user)
    assert raised.value.address == url


async def test_an_engine_that_is_too_old(path: pathlib.Path) -> None:
    async with serve_engine(path, {**VERSION, "Version": "18.09.1", "ApiVersion": "1.39"}) as url:
        with pytest.raises(EngineTooOld) as raised:
            await read(url)
    assert isinstance(raised.value, Permanent)
    assert describe_engine_fault(raised.value, ANN) == (
        "the Docker Engine is version 18.09.1 (API 1.39), which is too old.\n"
        "Install Docker 20.10 or later: sudo apt-get install docker.io"
    )


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("<html></html>", 200),
        ("Not found", 404),
        ({"name": "no Engine"}, 200),
        (["a"], 200),
        ({"ApiVersion": "x"}, 200),
    ],
)
async def test_a_server_that_is_no_engine(path: pathlib.Path, version: object, status: int) -> None:
    async with serve_engine(path, version, status=status) as url:
        with pytest.raises(EngineAddressInvalid) as raised:
            await read(url)
    assert describe_engine_fault(raised.value, ANN) == (
        f"{url} is not the address of a Docker Engine.\n"
        "Correct [docker] url, DOCKER_HOST or the context of `docker`; "
        "it looks like unix:///var/run/docker.sock or tcp://HOST:2375"
    )


@pytest.mark.parametrize("info", ["{", "words", [1]])
async def test_a_server_that_only_has_the_version_of_an_engine(path: pathlib.Path, info: object) -> None:
    async with serve_engine(path, info=info) as url:
        with pytest.raises(EngineAddressInvalid):
            await read(url)


async def test_an_engine_that_speaks_tls_only(path: pathlib.Path) -> None:
    async with serve_engine(path, "Client sent an HTTP request to an HTTPS server.\n", status=400) as url:
        with pytest.raises(EngineAddressInvalid) as raised:
            await read(url)
    assert "speaks TLS only.\nName its socket: [docker] url" in str(describe_engine_fault(raised.value, ANN))
    user = replace(ANN, docker_host=url)
    line = str(describe_engine_fault(raised.value, user))
    assert line.startswith(f"DOCKER_HOST={url} is not this installation's Engine; unset DOCKER_HOST")
    assert "\n" not in line


async def test_any_call_to_an_engine_of_a_cluster_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://172.18.0.2:2376")
    with pytest.raises(EngineAddressInvalid) as raised, translate_errors("saving busybox"):
        raise aiodocker.DockerError(400, "Client sent an HTTP request to an HTTPS server.\n")
    assert "\n" not in raised.value.reason
    line = str(describe_engine_fault(raised.value, UserContext.read()))
    assert line.startswith("DOCKER_HOST=tcp://172.18.0.2:2376 is not this installation's Engine; unset DOCKER_HOST")


async def test_an_engine_that_hangs(path: pathlib.Path) -> None:
    async with serve_silence(path) as url:
        with pytest.raises(EngineSilent) as raised:
            await read_engine(url, answer_seconds=0.05)
    assert "takes connections and does not answer.\nLook at its log" in str(describe_engine_fault(raised.value, ANN))


@pytest.mark.parametrize("host", ["", "localhost:2375", "ssh://user@machine", "tcp://no.such.host.invalid:2375"])
async def test_a_wrong_docker_host(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(EngineAddressInvalid) as raised:
        await read(None)
    assert raised.value.address == host
    if host:
        user = UserContext.read()
        assert f"{host} is not the address of a Docker Engine.\nCorrect DOCKER_HOST; it looks like unix://" in str(
            describe_engine_fault(raised.value, user)
        )


async def test_a_docker_host_at_which_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(EngineNotRunning) as raised:
            await read(None)
    assert describe_engine_fault(raised.value) == (
        f"no Docker Engine runs at {host}, which DOCKER_HOST names.\n"
        "Start it there, or take the local one: unset DOCKER_HOST"
    )


async def test_a_context_of_docker_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    with pytest.raises(EngineAddressInvalid):
        await read(None)


@pytest.mark.parametrize(
    ("user", "remedy"),
    [
        (ANN, "Run: sudo usermod -aG docker ann   then log out and in again"),
        (
            UserContext(name="ann", is_root=False, groups=["ann"], members=["ann"], docker_host="", has_engine=True),
            "You are in the group docker since this login: log out and in again, or run: newgrp docker",
        ),
        (
            UserContext(name="ann", is_root=False, groups=["docker"], members=["ann"], docker_host="", has_engine=True),
            "Only the owner and the group of that socket may: see `ls -l /run/docker.sock`",
        ),
    ],
)
def test_a_user_who_is_not_in_the_group(user: UserContext, remedy: str) -> None:
    error = EngineAccessDenied("asking: the Docker Engine does not answer", "unix:///run/docker.sock")
    assert describe_engine_fault(error, user) == (
        f"permission denied on /run/docker.sock: the user ann may not use the Docker Engine.\n{remedy}"
    )


def test_a_machine_without_an_engine() -> None:
    user = UserContext(name="ann", is_root=False, groups=[], members=None, docker_host="", has_engine=False)
    assert describe_engine_fault(EngineSocketMissing("none"), user) == (
        "no Docker Engine is installed on this machine.\nInstall one: sudo apt-get install docker.io"
    )


def test_an_engine_that_is_installed_and_has_no_socket() -> None:
    assert describe_engine_fault(EngineSocketMissing("none"), ANN) == (
        "the Docker Engine is installed and does not run.\nStart it: sudo systemctl start docker"
    )


def test_other_errors_have_no_sentence_of_their_own() -> None:
    assert describe_engine_fault(Temporary("busy"), ANN) is None


async def test_every_call_of_the_client_raises_the_type_and_keeps_its_text(path: pathlib.Path) -> None:
    docker: aiodocker.Docker = connect(f"unix://{path}")
    try:
        with pytest.raises(EngineSocketMissing) as raised, translate_errors("listing"):
            await docker.containers.list()
        assert raised.value.reason == "listing: the Docker Engine does not answer"
        with pytest.raises(DriverError) as unknown, translate_errors("listing"):
            raise TimeoutError
        assert not isinstance(unknown.value, EngineUnreachable)
    finally:
        await docker.close()
