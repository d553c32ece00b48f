"""`make uninstall` in a checkout: the service of systemd, an installation, images, caches and environments go."""

import asyncio
import os
import pathlib
import shutil
import sys

import aiodocker
import pytest

from tests.cli.test_help import invoke
from tests.cli.test_up import CONFIG
from tests.install.engine import running_engine

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "uninstall.sh"
UUID = "11111111-2222-4333-8444-555555555555"
THEIRS = "[Service]\nExecStart=/opt/other/bin/jeroboam up\n"


class Checkout:
    """A folder with the script, the program, and a machine on which nothing else is seen."""

    def __init__(self, folder: pathlib.Path, engine: str) -> None:
        self.path = folder / "checkout"
        self.home = folder / "home"
        self._engine = engine
        self.unit = folder / "units" / "jeroboam.service"
        self.calls = folder / "calls"
        self.program = self.path / ".venv" / "bin" / "jeroboam"
        for path in (self.program, self.path / "build" / "x", self.unit, folder / "bin" / "systemctl"):
            path.parent.mkdir(parents=True)
        (self.path / "scripts").mkdir()
        shutil.copy(SCRIPT, self.path / "scripts")
        self.program.write_text(f'#!/bin/sh\nexec {sys.executable} -m jeroboam "$@"\n')
        systemctl = folder / "bin" / "systemctl"
        systemctl.write_text(f'#!/bin/sh\necho "systemctl $*" >>{self.calls}\n')
        for path in (self.program, systemctl):
            path.chmod(0o755)
        self.calls.touch()
        for state in (self.state, folder / "100% of it"):
            state.mkdir(parents=True)
            (state / "installation").write_text(UUID)
        (self.home / ".cache/jeroboam/runc-v1.5.1-0123456789abcdef").mkdir(parents=True)

    @property
    def state(self) -> pathlib.Path:
        return self.home / ".local/state/jeroboam"

    async def uninstall(self, answer: str = "", **environment: str) -> tuple[int, list[str], str]:
        mounts = f"mount --bind {self.unit.parent} /etc/systemd/system && mount -t tmpfs none /var/lib"
        path = f"{self.unit.parents[1]}/bin:{os.environ['PATH']}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "XDG_"))}
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--map-root-user", "--mount", "sh", "-c", f"{mounts} && exec scripts/uninstall.sh"),
            cwd=self.path,
            env=kept
            | {"HOME": str(self.home), "PATH": path, "DOCKER_HOST": self._engine}
            | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
            | environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(answer.encode())
        return process.returncode, out.decode().splitlines(), err.decode()


@pytest.mark.docker
@pytest.mark.slow
async def test_nothing_of_ours_is_left_and_each_thing_is_named(tmp_path):
    async with running_engine() as engine, aiodocker.Docker(url=engine) as docker:
        checkout = Checkout(tmp_path, engine)
        config = tmp_path / "jeroboam.conf"
        config.write_text(CONFIG)
        unit = invoke("systemd-unit", "--state", str(tmp_path / "100% of it"), "--config", str(config)).stdout
        line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
        checkout.unit.write_text(unit.replace(line.split()[0], f"ExecStart={checkout.program}"))

        status, out, _ = await checkout.uninstall("n\n")
        assert (status, out[-1]) == (1, "uninstall: nothing was removed")
        assert checkout.state.exists()

        status, out, err = await checkout.uninstall(YES="1")
        assert (status, err) == (0, "")
        assert out == [
            "stopped jeroboam.service",
            f"removed 0 clusters, 0 containers and {tmp_path}/100% of it",
            "removed /etc/systemd/system/jeroboam.service",
            f"removed 0 clusters, 0 containers and {checkout.state}",
            f"removed programs in {checkout.home}/.cache/jeroboam (0 MB)",
            f"removed {checkout.home}/.cache/jeroboam",
            "set-up: nothing was done here",
            f"removed {checkout.path}/.venv",
            f"removed {checkout.path}/build",
            f"removed __pycache__ in {checkout.path}",
        ]
        assert checkout.calls.read_text().splitlines() == [
            "systemctl disable --quiet --now jeroboam.service",
            "systemctl daemon-reload",
        ]
        left = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
        assert {str(path) for path in left} == {
            "bin/systemctl",
            "calls",
            "jeroboam.conf",
            "checkout/scripts/uninstall.sh",
        }
        assert await docker.images.list() == []


@pytest.mark.docker
@pytest.mark.slow
async def test_a_service_of_another_program_is_left_alone(tmp_path):
    async with running_engine() as engine:
        checkout = Checkout(tmp_path, engine)
        checkout.unit.write_text(THEIRS)
        status, out, _ = await checkout.uninstall("y\n")
        assert (status, out[0]) == (0, f"removed 0 clusters, 0 containers and {checkout.state}")
        assert checkout.unit.read_text() == THEIRS
        assert (tmp_path / "100% of it").exists()
        assert checkout.calls.read_text() == ""
