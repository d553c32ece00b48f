"""What conformance suites share: an image that is there without a registry."""

import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "busybox_image.sh"


@pytest.fixture(scope="session")
def busybox():
    subprocess.run([SCRIPT], check=True)
    return "busybox:latest"
