"""What every runtime with sandboxes must do: one suite, passed by the fake and by a real Docker Engine."""

import asyncio
import uuid as uuids

import pytest

from jeroboam.domain.capsules import EMPTY_DIR, SandboxSpec
from jeroboam.domain.containers import ContainerSpec, RuntimeState
from jeroboam.domain.errors import Permanent
from jeroboam.runtimes.base import ContainerGone, SupportsClose
from jeroboam.runtimes.docker.runtime import DockerRuntime
from jeroboam.runtimes.fake import FakeRuntime
from jeroboam.runtimes.sandboxes import SupportsSandboxes
from tests.contract.rigs import eventually

SECONDS = 20.0
REAL = [pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture
async def runtime(request, busybox):
    kind = {"fake": FakeRuntime, "docker": DockerRuntime}[request.param]
    made = kind(installation=f"test-{uuids.uuid4()}")
    yield made
    for sandbox in await made.list_sandboxes():
        await made.remove_sandbox(sandbox.uuid)
    await made.tidy()
    if isinstance(made, SupportsClose):
        await made.close()


both = pytest.mark.parametrize("runtime", ["fake", *REAL], indirect=True)
real = pytest.mark.parametrize("runtime", REAL, indirect=True)


@pytest.fixture
def sandbox():
    return SandboxSpec(
        uuid=str(uuids.uuid4()),
        name="pod",
        project_id="p",
        hostname="pod-host",
        ports=("80/tcp",),
        volumes=("scratch",),
    )


@pytest.fixture
def sleeper(busybox):
    return ContainerSpec(image=busybox, command=("sleep", "600"), cpu=0.5, memory=64)


async def add_member(runtime, sandbox, spec) -> str:
    uuid = str(uuids.uuid4())
    await runtime.create_member(sandbox, uuid, "a", spec)
    await runtime.start_member(uuid)
    return uuid


@both
async def test_a_sandbox_runs_with_an_address(runtime: SupportsSandboxes, sandbox):
    state = await runtime.run_sandbox(sandbox)
    assert (state.uuid, state.state, state.members) == (sandbox.uuid, RuntimeState.RUNNING, ())
    (address,) = state.addresses
    assert address.version == 4
    assert await runtime.run_sandbox(sandbox) == state
    assert await runtime.inspect_sandbox(sandbox.uuid) == state


@both
async def test_members_are_made_started_and_listed_with_their_sandbox(runtime, sandbox, sleeper):
    await runtime.run_sandbox(sandbox)
    uuid = str(uuids.uuid4())
    created = await runtime.create_member(sandbox, uuid, "a", sleeper)
    assert (created.uuid, created.state) == (uuid, RuntimeState.CREATED)
    assert (await runtime.create_member(sandbox, uuid, "a", sleeper)).runtime_id == created.runtime_id
    started = await runtime.start_member(uuid)
    assert started.state is RuntimeState.RUNNING
    assert (await runtime.start_member(uuid)).started_at == started.started_at
    [listed] = await runtime.list_sandboxes()
    assert [(member.uuid, member.state) for member in listed.members] == [(uuid, RuntimeState.RUNNING)]
    assert await runtime.list_owned() == [], "what is in a sandbox is no container of its own"


@both
async def test_members_are_asked_as_containers(runtime, sandbox, sleeper):
    await runtime.run_sandbox(sandbox)
    uuid = await add_member(runtime, sandbox, sleeper)
    assert (await runtime.execute(uuid, ["true"], limit=SECONDS)).exit_code == 0
    stopped = await runtime.stop(uuid, 0)
    assert (stopped.state, stopped.exit_code) == (RuntimeState.EXITED, 137)
    await runtime.remove(uuid, force=True)
    with pytest.raises(ContainerGone):
        await runtime.inspect(uuid)
    assert (await runtime.inspect_sandbox(sandbox.uuid)).members == ()


@both
async def test_a_stopped_sandbox_stays_to_be_read(runtime, sandbox, sleeper):
    await runtime.run_sandbox(sandbox)
    uuid = await add_member(runtime, sandbox, sleeper)
    await runtime.stop_sandbox(sandbox.uuid)
    await runtime.stop_sandbox(sandbox.uuid)
    state = await eventually(
        lambda: runtime.inspect_sandbox(sandbox.uuid), lambda state: state.state is not RuntimeState.RUNNING
    )
    assert [(member.uuid, member.state) for member in state.members] == [(uuid, RuntimeState.EXITED)]
    assert state.addresses == ()
    with pytest.raises(Permanent):
        await runtime.run_sandbox(sandbox)
    await runtime.stop_sandbox(str(uuids.uuid4()))


@both
async def test_a_removal_leaves_nothing(runtime, sandbox, sleeper):
    await runtime.run_sandbox(sandbox)
    uuid = await add_member(runtime, sandbox, sleeper)
    await runtime.remove_sandbox(sandbox.uuid)
    await runtime.remove_sandbox(sandbox.uuid)
    with pytest.raises(ContainerGone):
        await runtime.inspect_sandbox(sandbox.uuid)
    with pytest.raises(ContainerGone):
        await runtime.inspect(uuid)
    assert await runtime.list_sandboxes() == []


@both
async def test_events_name_the_sandbox(runtime, sandbox, sleeper):
    await runtime.run_sandbox(sandbox)
    uuid = await add_member(runtime, sandbox, sleeper)
    stream = runtime.events()
    async with asyncio.timeout(SECONDS):
        follower = asyncio.ensure_future(anext(aiter(stream)))
        await runtime.kill(uuid, "SIGKILL")
        assert await follower == sandbox.uuid
        await stream.aclose()


@real
async def test_members_share_network_name_and_memory_but_no_processes(runtime, sandbox, sleeper):
    await runtime.run_sandbox(sandbox)
    first, second = [await add_member(runtime, sandbox, sleeper) for _ in range(2)]

    async def run(uuid, *command):
        result = await runtime.execute(uuid, ["sh", "-c", " ".join(command)], limit=SECONDS)
        assert result.exit_code == 0, result.output
        return result.output

    assert await run(first, "hostname") == "pod-host\n"
    assert await run(second, "hostname") == "pod-host\n"
    await run(first, "(echo hello | nc -l -p 8080) >/dev/null 2>&1 &")
    answer = await eventually(lambda: runtime.execute(second, ["nc", "127.0.0.1", "8080"], limit=SECONDS), bool)
    assert answer.output == "hello\n"
    await run(first, "echo shared > /dev/shm/file")
    assert await run(second, "cat /dev/shm/file") == "shared\n"
    assert "nc" not in await run(second, "ps")


@real
async def test_folders_are_shared_and_go_with_the_sandbox(runtime, sandbox, sleeper, docker, busybox):
    await runtime.run_sandbox(sandbox)
    mount = {"type": EMPTY_DIR, "source": "scratch", "destination": "/data"}
    writer = ContainerSpec(image=busybox, command=("sleep", "600"), cpu=0.5, memory=64, mounts=(mount,))
    reader = ContainerSpec(
        image=busybox, command=("sleep", "600"), cpu=0.5, memory=64, mounts=({**mount, "readonly": "true"},)
    )
    first, second = [await add_member(runtime, sandbox, spec) for spec in (writer, reader)]
    await runtime.execute(first, ["sh", "-c", "echo shared > /data/file"], limit=SECONDS)
    assert (await runtime.execute(second, ["cat", "/data/file"], limit=SECONDS)).output == "shared\n"
    assert (await runtime.execute(second, ["touch", "/data/other"], limit=SECONDS)).exit_code != 0
    await runtime.remove_sandbox(sandbox.uuid)
    filters = {"label": [f"jeroboam.sandbox={sandbox.uuid}"]}
    assert not (await docker.volumes.list(filters=filters))["Volumes"]


@real
async def test_what_somebody_else_has_marked_is_no_member(runtime, sandbox, docker, busybox):
    await runtime.run_sandbox(sandbox)
    labels = {
        "jeroboam.kind": "member",
        "jeroboam.installation": runtime.installation,
        "jeroboam.sandbox": sandbox.uuid,
        "jeroboam.container": str(uuids.uuid4()),
    }
    foreign = await docker.containers.create({"Image": busybox, "Cmd": ["sleep", "60"], "Labels": labels})
    try:
        assert (await runtime.inspect_sandbox(sandbox.uuid)).members == ()
        await runtime.remove_sandbox(sandbox.uuid)
        await foreign.show()
    finally:
        await foreign.delete(force=True)


@real
async def test_a_sandbox_whose_container_is_gone_is_found_by_its_members(runtime, sandbox, sleeper, docker):
    await runtime.run_sandbox(sandbox)
    uuid = await add_member(runtime, sandbox, sleeper)
    await (await docker.containers.get(f"jeroboam-{sandbox.uuid}")).delete(force=True)
    [state] = await runtime.list_sandboxes()
    assert (state.uuid, state.state) == (sandbox.uuid, RuntimeState.ABSENT)
    assert [member.uuid for member in state.members] == [uuid]
    await runtime.remove_sandbox(sandbox.uuid)
    assert await runtime.list_sandboxes() == []
