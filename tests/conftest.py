"""What tests on a real Engine share: an image that is there without a registry."""

import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "scripts" / "busybox_image.sh"


@pytest.fixture(scope="session")
def busybox():
    subprocess.run([SCRIPT], check=True)
    return "busybox:latest"
