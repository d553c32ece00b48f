"""The set-up of a machine that has nothing: what it installs, and how it starts an Engine."""

import pathlib
import shutil

import jeroboam.bootstrap
from tests.install.machine import Machine

SETUP = pathlib.Path(jeroboam.bootstrap.__file__).with_name("setup.sh")
COMPILERS = {"gcc", "pkg-config", "libc6-dev", "libseccomp-dev"}


def test_systemd_starts_the_engine_after_all_packages_are_there(tmp_path):
    done = Machine(tmp_path, has_systemd=True).run(SETUP, then="[ ! -e /usr/sbin/policy-rc.d ]")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "set-up: the Docker Engine answers"
    assert {"docker.io", "iptables", "busybox-static", "haproxy"} <= done.installed
    assert not done.installed & (COMPILERS | {"postgresql"})
    install, guarded, *later = done.calls[1:]
    assert install.startswith("apt-get -qq install -y --no-install-recommends ")
    assert guarded == "guarded", "no package starts anything by itself"
    assert later[:2] == [
        "systemctl disable --quiet haproxy.service",
        "systemctl enable --quiet --now docker.socket docker.service",
    ]


def test_compilers_and_the_database_of_tests_come_when_they_are_asked_for(tmp_path):
    machine = Machine(tmp_path, has_systemd=True)
    done = machine.run(SETUP, "--compilers")
    assert done.installed >= COMPILERS
    assert "postgresql" not in done.installed
    done = machine.run(SETUP, "--tests")
    assert not done.installed & COMPILERS
    assert "postgresql" in done.installed
    assert "systemctl disable --quiet postgresql.service" in done.calls
    refused = machine.run(SETUP, "--compiler")
    assert (refused.status, refused.calls) == (2, [])
    assert refused.err == "set-up: there is no option --compiler; there is --compilers, --tests and --undo\n"


def test_a_busybox_that_needs_libraries_does_not_do(tmp_path):
    machine = Machine(tmp_path, has_systemd=True)
    for name, program in (("busybox", "ls"), ("ldd", "ldd")):
        (tmp_path / "bin" / name).symlink_to(shutil.which(program))
    assert "busybox-static" in machine.run(SETUP).installed


def test_an_engine_that_systemd_cannot_start_is_a_line(tmp_path):
    done = Machine(tmp_path, has_systemd=True, works=False).run(SETUP)
    assert (done.status, done.err) == (1, "set-up: the Docker Engine ended: see journalctl -u docker\n")


def test_without_systemd_the_set_up_starts_the_engine_itself(tmp_path):
    done = Machine(tmp_path, has_systemd=False).run(SETUP)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-2:] == [
        "set-up: starting the Docker Engine (log: /var/log/jeroboam-dockerd.log)",
        "set-up: the Docker Engine answers",
    ]
    assert not any(call.startswith("systemctl") for call in done.calls)


def test_without_systemd_an_engine_that_ends_is_a_line_with_what_it_said(tmp_path):
    done = Machine(tmp_path, has_systemd=False, works=False).run(SETUP)
    assert (done.status, done.err) == (1, "set-up: the Docker Engine ended: no room\n")
