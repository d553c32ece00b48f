"""What only a real Engine can show: limits, output, commands, labels, other people's containers, an absent Engine."""

import asyncio
import ipaddress
import re
import time
import uuid as uuids

import aiodocker
import pytest

from jeroboam.domain.containers import ContainerSpec, HealthCheck, RestartPolicy, RuntimeState, Ulimit
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.runtimes.base import (
    CommandTimedOut,
    ContainerGone,
    ImageRegistryUnreachable,
    InvalidRequest,
    RuntimeOptions,
)
from jeroboam.runtimes.docker.runtime import DockerRuntime
from tests.contract.rigs import docker_runtime
from tests.engine_proxy import proxied

pytestmark = pytest.mark.docker

SECONDS = 20.0
MIB = 1024 * 1024


LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


@pytest.fixture
async def runtime(busybox):
    options = RuntimeOptions(registry_networks=(LOOPBACK,), log_files=4)
    async with docker_runtime(options=options) as made:
        yield made


@pytest.fixture
async def engine():
    async with aiodocker.Docker() as made:
        yield made


@pytest.fixture
def uuid():
    return str(uuids.uuid4())


@pytest.fixture
def run(runtime, uuid):
    async def make(*command, **changes):
        spec = ContainerSpec(image="busybox", command=command, cpu=0.5, memory=64, **changes)
        await runtime.create(uuid, "a", spec, project="p")
        return await runtime.start(uuid)

    return make


async def ended(runtime, uuid):
    """Wait for the container's end by its events."""
    async with asyncio.timeout(SECONDS):
        stream = runtime.events()
        seen = await runtime.inspect(uuid)
        if seen.state is RuntimeState.EXITED:
            return seen
        async for _ in stream:
            seen = await runtime.inspect(uuid)
            if seen.state is RuntimeState.EXITED:
                return seen
    return seen


async def read(runtime, uuid, path):
    return (await runtime.execute(uuid, ["cat", path], limit=SECONDS)).output.strip()


async def test_limits_are_set_and_felt(runtime, engine, run, uuid):
    seen = await run("sleep", "600")
    config = (await engine.containers.container(seen.runtime_id).show())["HostConfig"]
    assert config["NanoCpus"] == 500_000_000
    assert config["Memory"] == config["MemorySwap"] == 64 * MIB
    assert await read(runtime, uuid, "/sys/fs/cgroup/memory/memory.limit_in_bytes") == str(64 * MIB)
    period = int(await read(runtime, uuid, "/sys/fs/cgroup/cpu/cpu.cfs_period_us"))
    assert int(await read(runtime, uuid, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")) == period // 2

    await runtime.resize(uuid, cpu=0.25, memory=128)
    assert await read(runtime, uuid, "/sys/fs/cgroup/memory/memory.limit_in_bytes") == str(128 * MIB)
    assert int(await read(runtime, uuid, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")) == period // 4


async def test_what_needs_more_memory_is_killed(runtime, run, uuid):
    await run("sh", "-c", "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}")
    seen = await ended(runtime, uuid)
    assert seen.exit_code != 0
    assert "200000000" not in await runtime.logs(
        uuid, stdout=True, stderr=True, timestamps=False, tail=None, since=None
    )


async def test_the_whole_spec_reaches_the_engine(runtime, engine, uuid):
    spec = ContainerSpec(
        image="busybox",
        entrypoint=("sleep",),
        command=("600",),
        cpu=1.0,
        memory=32,
        workdir="/tmp",
        labels={"colour": "red", "jeroboam.installation": "theirs", "jeroboam.container": "theirs"},
        environment={"A": "1=2"},
        restart_policy=RestartPolicy(name="on-failure", maximum_retry_count=3),
        interactive=True,
        tty=True,
        exposed_ports={"80/tcp": {}, "53/udp": {}, "53/tcp": {}},
        hostname="box",
        healthcheck=HealthCheck(test="true", interval=7, retries=2, timeout=3),
    )
    await runtime.create(uuid, "a", spec, project="p")
    seen = await runtime.start(uuid)
    assert seen.ports == (53, 80)
    assert seen.hostname == "box"
    assert seen.health in {"starting", "healthy"}
    shown = await engine.containers.container(f"jeroboam-{uuid}").show()
    config = shown["Config"]
    assert config["Entrypoint"] == ["sleep"]
    assert config["Cmd"] == ["600"]
    assert config["WorkingDir"] == "/tmp"
    assert config["Labels"]["colour"] == "red"
    assert config["Labels"]["jeroboam.container"] == uuid
    assert "A=1=2" in config["Env"]
    assert config["Tty"]
    assert config["OpenStdin"]
    assert config["Healthcheck"] == {
        "Test": ["CMD-SHELL", "true"],
        "Interval": 7_000_000_000,
        "Timeout": 3_000_000_000,
        "Retries": 2,
    }
    assert shown["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}


async def test_commands(runtime, run, uuid):
    await run("sleep", "600")
    result = await runtime.execute(uuid, ["sh", "-c", "echo out; echo err >&2; exit 3"], limit=SECONDS)
    assert sorted(result.output.split()) == ["err", "out"]
    assert result.exit_code == 3
    missing = await runtime.execute(uuid, ["nosuchprogram"], limit=SECONDS)
    assert missing.exit_code in {126, 127}
    assert "nosuchprogram" in missing.output
    with pytest.raises(Permanent, match="16 MiB"):
        await runtime.execute(uuid, ["cat", "/dev/zero"], limit=SECONDS)
    with pytest.raises(CommandTimedOut):
        await runtime.execute(uuid, ["sleep", "600"], limit=0.3)
    await runtime.stop(uuid, 0)
    with pytest.raises(Permanent, match="not running"):
        await runtime.execute(uuid, ["true"], limit=SECONDS)


async def test_logs(runtime, run, uuid):
    before = time.time()
    await run("sh", "-c", "echo bad >&2; echo one; echo two; exit 4")
    seen = await ended(runtime, uuid)
    assert seen.exit_code == 4

    async def logs(**changes):
        asked = {"stdout": True, "stderr": True, "timestamps": False, "tail": None, "since": None} | changes
        return await runtime.logs(uuid, **asked)

    assert sorted((await logs()).splitlines()) == ["bad", "one", "two"]
    assert await logs(stderr=False) == "one\ntwo\n"
    assert await logs(stdout=False) == "bad\n"
    # The Engine counts the lines of both streams, whichever are asked for.
    assert await logs(tail=1) == (await logs()).splitlines(keepends=True)[-1]
    assert await logs(tail=0) == ""
    assert await logs(stdout=False, stderr=False) == ""
    assert await logs(since=time.time() + 60) == ""
    assert len((await logs(since=before - 1)).splitlines()) == 3
    first, _, text = (await logs(stderr=False, timestamps=True)).splitlines()[-1].partition(" ")
    assert first.endswith("Z")
    assert text == "two"


async def test_logs_of_a_terminal(runtime, run, uuid):
    await run("sh", "-c", "echo one", tty=True)
    await ended(runtime, uuid)
    assert (await runtime.logs(uuid, stdout=True, stderr=True, timestamps=False, tail=None, since=None)).split() == [
        "one"
    ]


async def test_of_endless_logs_the_newest_are_given(runtime, run, uuid):
    await run("sh", "-c", "yes $(seq 1 300 | tr '\\n' x) | head -c 20000000; echo end")
    await ended(runtime, uuid)
    text = await runtime.logs(uuid, stdout=True, stderr=True, timestamps=False, tail=None, since=None)
    first, _, rest = text.partition("\n")
    assert re.fullmatch(r"\[the first \d{7,8} bytes of this log are left out; .*\]", first)
    assert int(first.split()[2]) + len(rest) == 20_000_004
    assert text.endswith("end\n")
    assert 15 * MIB < len(text) <= 16 * MIB
    assert (await runtime.logs(uuid, stdout=True, stderr=True, timestamps=False, tail=2, since=None)).endswith("end\n")


async def test_processes_and_use(runtime, run, uuid):
    await run("sleep", "600")
    listed = await runtime.top(uuid, None)
    assert any("sleep 600" in row[-1] for row in listed["Processes"])
    assert len(listed["Titles"]) == len(listed["Processes"][0])
    assert (await runtime.top(uuid, "-o pid,comm"))["Titles"] == ["PID", "COMMAND"]
    assert (await runtime.top(uuid, "-p 1"))["Processes"] == []
    for nonsense in ("nonsense", "--help", "-o cmd", "-C x"):
        with pytest.raises(InvalidRequest, match=f"field 'ps_args', value '{nonsense}'"):
            await runtime.top(uuid, nonsense)
    sample = await runtime.stats(uuid)
    assert sample["memory_limit_mib"] == 64
    assert 0 < sample["memory_mib"] < 64
    assert sample["cpu_percent"] >= 0
    assert {"block_read", "block_write", "net_rx", "net_tx"} <= sample.keys()


async def test_images(runtime):
    await runtime.pull("busybox", None)
    await runtime.pull("busybox:latest", "never")
    await runtime.pull("busybox", "ifnotpresent")
    with pytest.raises(Permanent, match="never"):
        await runtime.pull("nosuch/image:1", "never")
    with pytest.raises(ImageRegistryUnreachable, match=r"127\.0\.0\.1:1/nosuch"):
        await runtime.pull("127.0.0.1:1/nosuch:1", None)
    for wrong in ("NOT/An//Image", "../containers/json?", "a/../b", "a b", "busybox:"):
        with pytest.raises(Permanent):
            await runtime.pull(wrong, None)


async def test_always_falls_back_only_when_the_registry_is_away(runtime, engine, busybox):
    name = "127.0.0.1:1/jeroboam-test"
    await engine.images.tag(busybox, repo=name, tag="1")
    try:
        await runtime.pull(f"{name}:1", "always")
    finally:
        await engine.images.delete(f"{name}:1")
    with pytest.raises(Temporary):
        await runtime.pull(f"{name}:1", "always")


async def test_what_the_host_refuses_is_permanent_in_the_engines_words(runtime, run):
    with pytest.raises(Permanent, match="nosuchprogram"):
        await run("nosuchprogram")


async def test_privileged_is_run_or_refused_for_good(run):
    try:
        state, reason = (await run("sleep", "600", privileged=True)).state, ""
    except Permanent as error:
        state, reason = None, error.reason
    assert state is RuntimeState.RUNNING or "operation not permitted" in reason


async def test_what_this_runtime_cannot_give_is_refused(runtime, uuid):
    for spec in (
        ContainerSpec(image="jeroboam/nosuch:1"),
        ContainerSpec(image="busybox", cpu=10_000.0),
    ):
        with pytest.raises(Permanent):
            await runtime.create(uuid, "a", spec, project="p")
    assert await runtime.list_owned() == []


async def test_another_installations_container_is_not_touched(runtime, run, uuid):
    await run("sleep", "600")
    async with docker_runtime() as other:
        for asked in (other.stop(uuid, 0), other.inspect(uuid), other.kill(uuid, "SIGKILL"), other.pause(uuid)):
            with pytest.raises(ContainerGone):
                await asked
        await other.remove(uuid, force=True)
        with pytest.raises(Permanent, match="taken"):
            await other.create(uuid, "a", ContainerSpec(image="busybox"), project="p")
        assert await other.list_owned() == []
    assert (await runtime.inspect(uuid)).state is RuntimeState.RUNNING


async def test_an_engine_that_dies_is_noticed_and_found_again(tmp_path, run, uuid, runtime):
    await run("sleep", "600")
    async with proxied(tmp_path / "engine.sock") as (proxy, url):
        through = DockerRuntime(installation=runtime.installation, url=url)
        stream = through.events()
        told = asyncio.ensure_future(anext(stream))
        try:
            await through.kill(uuid, "SIGKILL")
            async with asyncio.timeout(SECONDS):
                assert await told == uuid
                await proxy.cut()
                with pytest.raises(Temporary):
                    while True:
                        await anext(stream)
                with pytest.raises(Temporary):
                    await through.inspect(uuid)
                await proxy.open()
                assert (await through.inspect(uuid)).state is RuntimeState.EXITED
        finally:
            await through.close()


async def test_an_absent_engine_is_told_quickly(tmp_path):
    runtime = DockerRuntime(installation="x", url=f"unix://{tmp_path}/none.sock")
    try:
        for asked in (runtime.facts(), runtime.list_owned(), runtime.pull("busybox", None), anext(runtime.events())):
            async with asyncio.timeout(SECONDS):
                with pytest.raises(Temporary, match="Engine"):
                    await asked
    finally:
        await runtime.close()


@pytest.mark.parametrize("what", ["crashes again and again", "is paused"])
@pytest.mark.parametrize("end", ["stop", "kill", "remove"])
async def test_what_does_not_run_as_it_should_can_be_ended(runtime, run, uuid, what, end):
    if what == "is paused":
        await run("sleep", "600")
        await runtime.pause(uuid)
    else:
        await run("sh", "-c", "exit 1", restart_policy=RestartPolicy(name="always"))
        stream = runtime.events()
        async with asyncio.timeout(SECONDS):
            while (await runtime.inspect(uuid)).state is not RuntimeState.RESTARTING:
                await anext(stream)
    if end == "remove":
        await runtime.remove(uuid, force=True)
        assert await runtime.list_owned() == []
        return
    await (runtime.stop(uuid, 1) if end == "stop" else runtime.kill(uuid, "SIGKILL"))
    assert (await ended(runtime, uuid)).state is RuntimeState.EXITED
    assert isinstance(await runtime.logs(uuid, stdout=True, stderr=True, timestamps=False, tail=None, since=None), str)


async def test_the_process_is_as_asked_for(runtime, run):
    state = await run(
        "sleep",
        "600",
        user="1000:100",
        ulimits={"nofile": Ulimit(soft=128, hard=256)},
        read_only=True,
        tmpfs={"/run": 1},
        cap_drop=("ALL",),
        sysctls={"net.ipv4.ip_local_port_range": "20000 30000"},
    )
    script = (
        "id -u; id -g; grep 'open files' /proc/1/limits; grep CapEff /proc/self/status; touch /x 2>&1; "
        "dd if=/dev/zero of=/run/big bs=1M count=2 2>&1 | grep -c 'No space'; "
        "cat /proc/sys/net/ipv4/ip_local_port_range"
    )
    lines = (await runtime.execute(state.uuid, ["sh", "-c", script], limit=5)).output.split("\n")
    assert lines[:2] == ["1000", "100"]
    assert lines[2].split()[3:5] == ["128", "256"]
    assert lines[3].split() == ["CapEff:", "0" * 16]
    assert "Read-only file system" in lines[4]
    assert lines[5] == "1"
    assert lines[6].split() == ["20000", "30000"]


async def test_raw_sockets_only_where_they_were_asked_for(runtime, run):
    bit = 1 << 13
    for added, has_it in (((), False), (("NET_RAW",), True)):
        state = await run("sleep", "600", cap_add=added)
        text = (await runtime.execute(state.uuid, ["grep", "CapEff", "/proc/self/status"], limit=5)).output
        assert bool(int(text.split()[1], 16) & bit) is has_it
        await runtime.remove(state.uuid, force=True)


async def test_dedicated_cores_are_a_containers_own_and_no_other_ones(busybox, uuid):
    async with docker_runtime(options=RuntimeOptions(dedicated_cpus=(0,))) as pinning:
        for cpuset in ((0,), ()):
            spec = ContainerSpec(image="busybox", command=("sleep", "600"))
            state = await pinning.create(uuid, "a", spec, project="p", cpuset=cpuset)
            await pinning.start(state.uuid)
            text = (await pinning.execute(uuid, ["grep", "Cpus_allowed_list", "/proc/self/status"], limit=5)).output
            allowed = text.split()[1]
            assert allowed == "0" if cpuset else allowed.startswith("1")
            await pinning.remove(uuid, force=True)
        assert (await pinning.facts()).enable_cpu_pinning
