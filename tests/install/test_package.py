"""What the Debian package does at its purge; `make test-package` builds, installs and removes the whole."""

import pathlib

import pytest

from tests.install.machine import Machine

POSTRM = pathlib.Path(__file__).parents[2] / "packaging" / "postrm"
STATE = "mkdir -p /var/lib/jeroboam && echo 0123 >/var/lib/jeroboam/installation"
NO_ENGINE = "echo no Engine >&2; exit 1"


@pytest.mark.parametrize("docker", ["true", NO_ENGINE])
def test_a_purge_removes_the_state_and_says_so(tmp_path, docker):
    machine = Machine(tmp_path, has_systemd=False)
    machine.add_program("docker", docker)
    done = machine.run(POSTRM, "purge", first=STATE, then="ls -A /var/lib")
    assert (done.status, done.out, done.err) == (0, "jeroboam: removed /var/lib/jeroboam\n", "")


def test_a_purge_keeps_the_state_of_what_is_still_on_the_engine(tmp_path):
    machine = Machine(tmp_path, has_systemd=False)
    machine.add_program("docker", 'case "$*" in *label=jeroboam.installation=0123*) echo 4f ;; esac')
    done = machine.run(POSTRM, "purge", first=STATE, then="ls -A /var/lib")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("jeroboam: kept /var/lib/jeroboam: without it nobody could manage what it made")
    assert done.out.endswith("\njeroboam\n")


def test_a_removal_keeps_the_state_and_says_so(tmp_path):
    done = Machine(tmp_path, has_systemd=True).run(POSTRM, "remove", first=STATE, then="ls -A /var/lib")
    assert (done.status, done.err) == (0, "")
    assert done.out == "jeroboam: kept /var/lib/jeroboam; what it made runs on\njeroboam\n"
    assert done.calls == ["systemctl --system daemon-reload"]
