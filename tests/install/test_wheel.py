"""The wheel in an empty virtual environment, far from a checkout: what it has, and what a user types there."""

import asyncio
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
UV = pathlib.Path(sys.executable).with_name("uv")
FREE_PORTS = "--listen 127.0.0.1:0 --keystone-listen 127.0.0.1:0"
CLOUDS = "clouds: {far: {auth_type: admin_token, auth: {endpoint: 'http://127.0.0.1:1', token: t}}}\n"
# Answers as Go does, and compiles nothing: at the first module of ours it says what is in its folder.
GO = """\
#!/bin/sh
case "$*" in
    *GOVERSION*) echo go1.26.8 ;;
    install*) for word; do case $word in *@*) name=${word%@*}; : >"$GOBIN/${name##*/}" ;; esac; done ;;
    mod*) ;;
    *) echo "sources:" $(ls) >&2; exit 1 ;;
esac
"""


class Environment:
    """An environment of its own, in which a user types from an empty folder."""

    def __init__(self, folder: pathlib.Path, wheel: pathlib.Path, extras: str) -> None:
        self.home = folder / "home"
        self._programs = folder / "venv" / "bin"
        self.home.mkdir(parents=True)
        subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
        install = [UV, "pip", "install", "--quiet", "--python", self._programs / "python"]
        subprocess.run([*install, "--constraints", ROOT / "requirements.lock", f"{wheel}{extras}"], check=True)

    async def type(self, line: str, **environment: str) -> tuple[int, str, str]:
        """Run a program of the environment. Return its status and what it has printed."""
        program, *words = line.split()
        kept = {key: os.environ[key] for key in ("PATH", "DOCKER_HOST", "SSL_CERT_FILE") if key in os.environ}
        process = await asyncio.create_subprocess_exec(
            *(self._programs / program, *words),
            cwd=self.home,
            env=kept | {"HOME": str(self.home)} | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    async def __call__(self, line: str, **environment: str) -> str:
        """What a command prints that has to succeed."""
        status, out, err = await self.type(f"jeroboam {line}", **environment)
        assert (status, err) == (0, ""), (out, err)
        return out


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory, wheel):
    return Environment(tmp_path_factory.mktemp("bare"), wheel, "")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, wheel):
    return Environment(tmp_path_factory.mktemp("whole"), wheel, "[embedded,clients]")


def test_everything_of_the_package_is_in_the_wheel(wheel):
    source = ROOT / "src"
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("jeroboam/")}
    assert {name for name in files if "__pycache__" not in name and ".egg-info" not in name} == packed
    assert {"jeroboam/bootstrap/setup.sh", "jeroboam/nodeimages/requirements-go.lock"} <= packed


async def test_a_missing_extra_is_named_in_a_line(bare):
    assert (await bare("--version")).startswith("jeroboam ")
    status, _, err = await bare.type(f"jeroboam up {FREE_PORTS}")
    assert (status, err) == (
        1,
        "jeroboam: Keystone, which `jeroboam up` runs, is not installed: pip install 'jeroboam[embedded]'\n",
    )
    assert not (bare.home / ".local" / "state" / "jeroboam").exists(), "nothing of an installation is left"
    clouds = bare.home / "clouds.yaml"
    clouds.write_text(CLOUDS)
    for line in ("ps", "cluster list"):
        status, out, err = await bare.type(f"jeroboam {line}", OS_CLOUD="far", OS_CLIENT_CONFIG_FILE=str(clouds))
        missing = "jeroboam: openstacksdk, which logs in, is not installed: pip install 'jeroboam[clients]'\n"
        assert (status, out, err) == (1, "", missing)


@pytest.mark.docker
@pytest.mark.slow
async def test_a_user_who_has_no_checkout_gets_to_a_cluster(whole):
    made = await whole("setup")
    for image in ("busybox:latest", "jeroboam/swarm-node:latest", "jeroboam/load-balancer:latest"):
        assert f"set-up: {image}: " in made
    assert "jeroboam/swarm-node:latest: there already" in await whole("node-image build swarm")
    assert "jeroboam/load-balancer:latest: there already" in await whole("node-image build load-balancer")
    try:
        assert "jeroboam is up" in await whole(f"up --detach {FREE_PORTS}")
        # Ports that are free are looked for too, which another process may have taken.
        assert (await whole.type("jeroboam doctor -o json"))[0] in (0, 1)
        assert "dev" in await whole("cluster create dev --coe swarm --workers 1")
        assert [item["name"] for item in json.loads(await whole("cluster list -o json"))] == ["dev"]
        status, shown, _ = await whole.type(
            "openstack coe cluster list -f json",
            OS_CLOUD="jeroboam",
            OS_CLIENT_CONFIG_FILE=str(whole.home / ".local/state/jeroboam/clouds.yaml"),
        )
        assert (status, json.loads(shown)[0]["name"]) == (0, "dev")
    finally:
        await whole.type("jeroboam stop")
        removed = await whole.type("jeroboam down --yes")
    assert removed[0] == 0, removed
    assert not (whole.home / ".local/state/jeroboam").exists()


@pytest.mark.docker
async def test_the_sources_of_kubernetes_nodes_are_there_to_compile(whole, tmp_path):
    go = tmp_path / "go"
    go.write_text(GO)
    go.chmod(0o755)
    status, _, err = await whole.type(
        "jeroboam node-image build kubernetes --from modules", PATH=f"{tmp_path}:{os.environ['PATH']}"
    )
    assert status == 1
    assert "compiling etcd" in err
    assert "sources: go.mod main.go" in err


@pytest.mark.docker
async def test_the_set_up_installs_the_pinned_go_where_there_is_none_that_compiles(whole, tmp_path):
    for name, text in (("go", "echo go1.19.8"), ("uv", f'echo "$@" >{tmp_path}/call')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    made = await whole("setup --compilers", PATH=f"{tmp_path}:{os.environ['PATH']}")
    environment = whole.home.parent / "venv"
    assert f"set-up: Go is installed in {environment}\n" in made
    call = (tmp_path / "call").read_text().split()
    assert call[:5] == ["pip", "install", "--python", f"{environment}/bin/python", "--quiet"]
    assert call[5:7] == ["--require-hashes", "-r"]
    assert pathlib.Path(call[7]).name == "requirements-go.lock"
