"""`jeroboam down`: what it takes away, what it leaves, and that it says both."""

import asyncio
import fcntl
import signal

import pytest
import yaml

from jeroboam.cli.clusters.kubeconfig_file import KubeconfigFile
from tests.cli.test_interrupts import start
from tests.cli.test_kubeconfig import content
from tests.cli.test_up import CONFIG, run
from tests.fault.installation import Installation

PROGRAM = "runc-v1.5.1-0123456789abcdef"


@pytest.fixture
async def installation(tmp_path):
    """One on fakes, with a log file of its own."""
    installation = Installation(tmp_path, f"[DEFAULT]\nlog_file = {tmp_path / 'own.log'}\n{CONFIG}")
    await installation.up()
    yield installation
    installation.kill()


@pytest.mark.slow
async def test_what_an_installation_made_goes_with_it_line_by_line(tmp_path, installation):
    kubeconfig, log_file = tmp_path / "kubeconfig", tmp_path / "own.log"
    template = {"name": "t", "coe": "fake", "image_id": "swarm-node", "external_network_id": "public"}
    made = await installation.ask("POST", "/container-infra/v1/clustertemplates", template)
    assert made.status == 201, made.body
    cluster = {"name": "dev", "cluster_template_id": made.body["uuid"]}
    uuid = (await installation.ask("POST", "/container-infra/v1/clusters", cluster)).body["uuid"]
    kubeconfig.write_text("contexts: [{name: theirs, context: {cluster: theirs, user: theirs}}]\n")
    KubeconfigFile(kubeconfig).add("jeroboam-dev", content("jeroboam-dev"), uuid=uuid, make_current=True)

    down = f"down --yes --config {installation.config}"
    # Without --yes nobody is asked either.
    for line in (down, down.replace("--yes ", "")):
        refused = await run(installation.state, line, KUBECONFIG=str(kubeconfig))
        assert (refused.status, refused.out) == (1, "")
        assert "stop it first: " in refused.err
    assert await installation.stop() == 0
    done = await run(installation.state, down, KUBECONFIG=str(kubeconfig))
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"context jeroboam-dev is no more in {kubeconfig}",
        f"removed 0 clusters, 0 containers and {installation.state}",  # fake nodes end with the service
        f"kept {log_file}, which [DEFAULT] log_file names",
    ]
    assert not installation.state.exists()
    assert [entry["name"] for entry in yaml.safe_load(kubeconfig.read_text())["contexts"]] == ["theirs"]


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache" / "jeroboam"
    (folder / PROGRAM).mkdir(parents=True)
    (folder / PROGRAM / "runc").write_bytes(b"x" * 3_000_000)
    for name in (f"{PROGRAM}.lock", "image-v1.36.3.lock", "build-times.json"):
        (folder / name).touch()
    return folder


async def test_where_nothing_is_nobody_is_asked(tmp_path):
    done = await run(tmp_path / "state", "down")
    assert (done.status, done.out) == (1, "")
    assert done.err == f"jeroboam: there is no installation in {tmp_path}/state\n"


async def remove_cache(tmp_path):
    return await run(
        tmp_path / "state", "down --yes --cache", XDG_CACHE_HOME=str(tmp_path / "cache"), HOME=str(tmp_path)
    )


async def test_the_cache_goes_without_an_installation_too(tmp_path, cache):
    (tmp_path / "go" / "pkg").mkdir(parents=True)
    done = await remove_cache(tmp_path)
    assert (done.status, done.out.splitlines()) == (
        0,
        [
            f"there is no installation in {tmp_path}/state",
            f"removed programs in {cache} (3 MB)",
            f"removed {cache}",
            f"kept {tmp_path}/go/pkg: what Go keeps, maybe for others too",
        ],
    )
    assert not cache.exists()


async def test_files_of_others_in_the_cache_stay(tmp_path, cache):
    (cache / "thesis.pdf").touch()
    done = await remove_cache(tmp_path)
    assert done.out.splitlines()[1:] == [
        f"removed programs in {cache} (3 MB)",
        f"kept {cache}: thesis.pdf is not the service's",
    ]
    assert [path.name for path in cache.iterdir()] == ["thesis.pdf"]


async def test_a_build_keeps_the_cache(tmp_path, cache):
    with (cache / f"{PROGRAM}.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = await remove_cache(tmp_path)
    assert (done.status, done.err) == (1, f"jeroboam: a build uses {cache}: end it first\n")
    assert (cache / PROGRAM / "runc").exists()


async def test_ctrl_c_says_that_something_is_left(tmp_path):
    state, is_asked = tmp_path / "state", asyncio.Event()
    state.mkdir(mode=0o700)
    (state / "installation").write_text("6b1f7f0e-7d0c-4f83-9a0b-0d3a4f1c2b5e")

    async def stay_silent(reader, writer):
        is_asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stay_silent, "127.0.0.1", 0) as server:
        config = tmp_path / "jeroboam.conf"
        address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config.write_text(CONFIG.replace("runtime = fake", f"runtime = docker\n[docker]\nurl = {address}"))
        command = await start("down", "--yes", "--state", str(state), "--config", str(config))
        await asyncio.wait_for(is_asked.wait(), 60)
        command.send_signal(signal.SIGINT)
        _, err = await command.communicate()
    assert (command.returncode, err) == (130, b"jeroboam: interrupted; run it again to remove the rest\n")
    assert (state / "installation").exists()
