"""What every runtime's archives and attached terminals must do: one suite, passed by the fake and by a real Engine."""

import asyncio
import io
import tarfile
import uuid as uuids
from collections.abc import AsyncIterator

import pytest

from jeroboam.domain.containers import ContainerSpec
from jeroboam.domain.errors import Permanent
from jeroboam.domain.streams import ByteStream, CloseReason, StreamClosed, TerminalSize
from jeroboam.runtimes.base import ContainerGone, InvalidRequest, SupportsArchives, SupportsAttach
from jeroboam.runtimes.docker.runtime import DockerRuntime
from jeroboam.runtimes.fake import FakeRuntime
from tests.contract.rigs import docker_runtime
from tests.stream_rig import SECONDS, read_all, read_some

Runtime = FakeRuntime | DockerRuntime
LARGE = 8 << 20


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
async def runtime(request: pytest.FixtureRequest) -> AsyncIterator[Runtime]:
    if request.param == "fake":
        fake = FakeRuntime()
        yield fake
        await fake.close()
        return
    async with docker_runtime() as docker:
        yield docker


async def start(runtime: Runtime, image: str, *command: str, tty: bool = False) -> str:
    uuid = str(uuids.uuid4())
    spec = ContainerSpec(image=image, command=command, cpu=0.5, memory=64, interactive=True, tty=tty)
    await runtime.create(uuid, "a", spec, project="p")
    await runtime.start(uuid)
    return uuid


def pack(**files: bytes) -> bytes:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return into.getvalue()


async def write(runtime: Runtime, uuid: str, path: str, archive: bytes) -> ByteStream:
    stream = await runtime.write_archive(uuid, path)
    for begin in range(0, len(archive), 1 << 16):
        await stream.send(archive[begin : begin + (1 << 16)])
    await stream.end()
    return stream


def test_both_have_them() -> None:
    for kind in (FakeRuntime, DockerRuntime):
        runtime = kind(installation="test")
        assert isinstance(runtime, SupportsAttach)
        assert isinstance(runtime, SupportsArchives)


async def test_the_containers_own_process_is_talked_to(runtime: Runtime, busybox: str) -> None:
    uuid = await start(runtime, busybox, "cat")
    stream = await runtime.open_attach(uuid)
    await stream.send(b"hello")
    assert await read_some(stream, 5) == b"hello"
    await stream.close()
    again = await runtime.open_attach(uuid)
    await again.send(b"again")
    assert await read_some(again, 5) == b"again"
    await runtime.kill(uuid, "SIGKILL")
    assert await read_all(again) == b""
    ending = await again.wait_closed()
    assert (ending.reason, ending.exit_code) == (CloseReason.ENDED, 137)
    await again.close()


@pytest.mark.docker
async def test_the_terminal_of_a_container_has_a_size(busybox: str) -> None:
    async with docker_runtime() as runtime:
        uuid = await start(runtime, busybox, "sh", "-c", "while read line; do stty size; done", tty=True)
        stream = await runtime.open_attach(uuid)
        await runtime.resize_terminal(uuid, TerminalSize(rows=33, columns=101))
        await stream.send(b"\n")
        shown = b""
        async with asyncio.timeout(SECONDS):
            while b"33 101" not in shown:
                shown += await read_some(stream, 1)
        await stream.close()


async def test_what_goes_in_comes_out(runtime: Runtime, busybox: str) -> None:
    uuid = await start(runtime, busybox, "cat")
    writing = await write(runtime, uuid, "/tmp", pack(note=b"x" * LARGE))
    assert await writing.receive() is None
    assert (await writing.wait_closed()).reason is CloseReason.ENDED
    await writing.close()
    path = "/tmp" if isinstance(runtime, FakeRuntime) else "/tmp/note"
    stat = await runtime.stat_path(uuid, path)
    assert stat.name == path.rpartition("/")[2]
    reading = await runtime.read_archive(uuid, path)
    with tarfile.open(fileobj=io.BytesIO(await read_all(reading))) as archive:
        note = archive.extractfile("note")
        assert note is not None
        assert note.read() == b"x" * LARGE
    assert (await reading.wait_closed()).reason is CloseReason.ENDED
    await reading.close()


async def test_paths_and_containers_that_are_not_there(runtime: Runtime, busybox: str) -> None:
    uuid = await start(runtime, busybox, "cat")
    for ask in (runtime.stat_path, runtime.read_archive):
        with pytest.raises(InvalidRequest, match="/nowhere"):
            await ask(uuid, "/nowhere")
        with pytest.raises(ContainerGone):
            await ask(str(uuids.uuid4()), "/")
    for connect in (runtime.open_attach, lambda absent: runtime.write_archive(absent, "/")):
        with pytest.raises(ContainerGone):
            await connect(str(uuids.uuid4()))
    await runtime.kill(uuid, "SIGKILL")
    with pytest.raises(Permanent):
        await runtime.open_attach(uuid)


@pytest.mark.docker
async def test_an_archive_that_the_engine_cannot_unpack_is_told(busybox: str) -> None:
    async with docker_runtime() as runtime:
        uuid = await start(runtime, busybox, "cat")
        for path in ("/nowhere", "/etc/passwd/x", f"/{'x' * 300}"):
            with pytest.raises(InvalidRequest, match="no such file or folder"):
                await runtime.write_archive(uuid, path)
        stream = await write(runtime, uuid, "/tmp", b"no archive" * 100)
        with pytest.raises(StreamClosed) as caught:
            await stream.receive()
        assert caught.value.ending.reason is CloseReason.INVALID
        assert caught.value.ending.detail
        await stream.close()


@pytest.mark.docker
async def test_nothing_leaves_the_container(busybox: str, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        for name in ("link/outside", f"../../../..{outside}"):
            entry = tarfile.TarInfo(name)
            entry.size = 7
            archive.addfile(entry, io.BytesIO(b"changed"))
    async with docker_runtime() as runtime:
        uuid = await start(runtime, busybox, "cat")
        stream = await write(runtime, uuid, "/tmp", into.getvalue())
        # The Engine may refuse the archive; what counts is what became of the file.
        await stream.wait_closed()
        await stream.close()
        with pytest.raises(InvalidRequest):
            await runtime.stat_path(uuid, f"/../../..{outside}")
    assert outside.read_text() == "untouched"


@pytest.mark.docker
async def test_files_that_a_container_is_created_with(busybox: str) -> None:
    mount = {"type": "bind", "source": "aGVsbG8=", "destination": "/data/deep/note"}
    spec = ContainerSpec(image=busybox, command=("cat", "/data/deep/note"), cpu=0.5, memory=64, mounts=(mount,))
    async with docker_runtime() as runtime:
        uuid = str(uuids.uuid4())
        # The second call is that of an agent that was killed before all was written.
        for _ in range(2):
            await runtime.create(uuid, "a", spec, project="p")
        await runtime.start(uuid)
        logs = await runtime.follow_logs(uuid, stdout=True, stderr=True, timestamps=False, tail=None, since=None)
        assert await read_all(logs) == b"hello"
        await logs.close()


@pytest.mark.docker
async def test_a_command_whose_user_leaves_reads_the_end_of_its_input(busybox: str) -> None:
    async with docker_runtime() as runtime:
        uuid = await start(runtime, busybox, "sleep", "600")
        stream = await runtime.open_exec(uuid, ["sh", "-c", "cat; touch /over"], tty=False, size=None)
        await stream.send(b"x")
        assert await read_some(stream, 1) == b"x"
        await stream.close()
        wait = ["sh", "-c", "for i in $(seq 50); do test -e /over && exit 0; sleep 0.1; done; exit 1"]
        assert (await runtime.execute(uuid, wait, limit=SECONDS)).exit_code == 0
